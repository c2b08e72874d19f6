# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects out of networks, compared whole, and networks against pools."""

from __future__ import annotations

import json
from typing import Any

import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._network_definitions import (
    check_networks,
    cni_config,
    cni_plugins,
    definitions,
    needs_whereabouts,
    network_warnings,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import Network, parse_networks
from ansible_collections.nfv.fastpath.tests.unit.manifests import golden

SPEC = yaml.safe_load("""
- name: fast
  type: sriov
  pool: igb_kernel
  namespaces: [default, apps]
  vlan: 100
  mtu: 9000
  trust: true
  ipam: {type: whereabouts, range: 192.0.2.0/24, exclude: [192.0.2.1/32]}
- {name: dpdk, type: sriov, pool: igb_dpdk, vlan: 200}
- {name: whole, type: host-device, pool: igb_kernel, ipam: {type: static}}
- name: local
  type: bridge
  bridge: br1
  mtu: 1400
  is_gateway: true
  ipam: {type: host-local, subnet: 198.51.100.0/24}
- name: mac
  type: macvlan
  master: ens1
  mode: bridge
  plugins:
    - {type: tuning, sysctl: {net.ipv4.conf.IFNAME.arp_filter: "1"}}
- {name: ip, type: ipvlan, master: ens1, mode: l2, ipam: {type: static, addresses: [{address: 203.0.113.5/24}]}}
""")
SRIOV = [
    {
        "pf": {"address": "0000:81:00.0"},
        "num_vfs": 4,
        "vfs": [
            {"indexes": "0-1", "driver": "vfio-pci", "pool": "igb_dpdk"},
            {"indexes": "2-3", "pool": "igb_kernel"},
        ],
    }
]
VDPA = [{"pf": {"address": "0000:02:00.0"}, "indexes": 0, "pool": "vdpa"}]
RESOURCES = {"igb_dpdk": "intel.com/igb_dpdk", "igb_kernel": "intel.com/igb_kernel", "vdpa": "intel.com/vdpa"}
SLICES = parse_node_pools(SRIOV, VDPA)[0].slices


def networks(spec: Any = SPEC) -> tuple[Network, ...]:
    found, problems = parse_networks(spec)
    assert problems == []
    return found


def said(*spec: Any) -> list[str]:
    return [str(problem) for problem in check_networks(networks(list(spec)), SLICES, RESOURCES, spec)]


def readable(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The configuration inside an object as what it is, to be looked at."""
    return [{**item, "spec": {"config": json.loads(item["spec"]["config"])}} for item in objects]


def test_the_objects_of_every_type():
    objects = readable(definitions(networks(), RESOURCES))
    assert objects == golden("networks", objects)


def test_none():
    assert definitions((), {}) == []


def test_one_plugin_is_no_chain():
    (dpdk,) = (network for network in networks() if network.name == "dpdk")
    assert cni_config(dpdk) == {
        "cniVersion": "1.0.0",
        "name": "dpdk",
        "type": "sriov",
        "vlan": 200,
        "capabilities": {"mac": True},
    }


def test_the_same_networks_are_the_same_text():
    assert definitions(networks(), RESOURCES) == definitions(networks(list(reversed(SPEC))), RESOURCES)


def test_binaries_that_are_needed():
    needed = ("bridge", "host-device", "host-local", "ipvlan", "macvlan", "sriov", "static", "tuning", "whereabouts")
    assert cni_plugins(networks()) == needed
    assert cni_plugins(()) == ()
    assert needs_whereabouts(networks())
    assert not needs_whereabouts(networks(SPEC[1:]))


def test_networks_that_fit_their_pools():
    assert said(*SPEC) == []


def test_a_pool_that_does_not_exist():
    (problem,) = said({"name": "a", "type": "sriov", "pool": "igb_kernal"})
    assert problem == (
        "fastpath_networks[0].pool = 'igb_kernal': is a pool that no node has. Did you mean igb_kernel? There are "
        "(from fastpath_sriov, fastpath_vdpa, fastpath_pools): igb_dpdk, igb_kernel, vdpa"
    )
    (problem,) = check_networks(networks([{"name": "a", "type": "sriov", "pool": "p"}]), [], {})
    assert problem.message.endswith("fastpath_pools): none")


def test_another_prefix_than_the_pools():
    (problem,) = said(SPEC[1], {"name": "a", "type": "sriov", "pool": "mellanox.com/igb_kernel"})
    assert problem == (
        "fastpath_networks[1].pool = 'mellanox.com/igb_kernel': has another prefix than the pool: write igb_kernel, "
        "or intel.com/igb_kernel"
    )
    assert said({"name": "a", "type": "sriov", "pool": "intel.com/igb_kernel"}) == []


def test_the_sriov_plugin_and_vdpa():
    (problem,) = said({"name": "a", "type": "sriov", "pool": "vdpa"})
    assert "has vDPA devices (fastpath_vdpa[0]), of which the sriov plugin knows nothing" in problem
    assert said({"name": "a", "type": "host-device", "pool": "vdpa"}) == []


def test_no_mtu_where_there_is_no_interface():
    (problem,) = said({"name": "a", "type": "sriov", "pool": "igb_dpdk", "mtu": 9000})
    assert problem.startswith("fastpath_networks[0].mtu = 9000: cannot be set: VFs of igb_dpdk have driver vfio-pci")
    assert said({"name": "a", "type": "sriov", "pool": "igb_kernel", "mtu": 9000}) == []


def test_addresses_that_two_nodes_hand_out():
    spec = [{"name": "a", "type": "sriov", "pool": "p", "ipam": {"type": "host-local", "subnet": "192.0.2.0/24"}}]
    (warning,) = network_warnings(networks(spec), 2)
    assert "on each of the 2 nodes by itself" in warning
    assert network_warnings(networks(spec), 1) == []
    assert network_warnings(networks(), 2) == []
