# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks as users write them: what is taken, and one sentence for each thing that is not."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import (
    Network,
    merge_specs,
    parse_networks,
)


def accepted(text: str) -> tuple[Network, ...]:
    networks, problems = parse_networks(yaml.safe_load(text))
    assert problems == []
    return networks


def said(*entries: Any) -> list[str]:
    return [str(problem) for problem in parse_networks(list(entries))[1]]


def test_one_of_each_type():
    sriov, device, named, bridge, macvlan, ipvlan = accepted("""
- {name: fast, type: sriov, pool: igb_kernel, vlan: 100, qos: 3, trust: true, spoofchk: false, max_rate: 1000}
- {name: vfio, type: host-device, pool: igb_dpdk, namespaces: [apps, test, apps]}
- {name: nic, type: host-device, device: ens9}
- name: local
  type: bridge
  bridge: br1
  vlan: 5
  mtu: 1400
  is_gateway: true
  ipam: {type: host-local, subnet: 192.0.2.0/24}
- {name: mac, type: macvlan, master: ens1, mode: bridge, namespace: apps}
- {name: ip, type: ipvlan, master: ens1, mode: l3, capabilities: []}
""")
    assert sriov == Network(
        name="fast",
        type="sriov",
        pool="igb_kernel",
        options={
            "vlan": 100,
            "vlanQoS": 3,
            "trust": "on",
            "spoofchk": "off",
            "max_tx_rate": 1000,
        },
        capabilities=("mac",),
        variable="fastpath_networks[0]",
    )
    assert device.namespaces == ("apps", "test")
    assert named.options == {"device": "ens9"}
    assert bridge.options == {"bridge": "br1", "vlan": 5, "isGateway": True}
    assert (bridge.mtu, bridge.capabilities) == (1400, ("mac", "ips"))
    assert (macvlan.namespaces, macvlan.options) == (("apps",), {"master": "ens1", "mode": "bridge"})
    assert ipvlan.capabilities == ()


def test_nothing_is_asked_for():
    assert parse_networks(None) == ((), [])
    assert parse_networks([]) == ((), [])


def test_a_prefix_before_the_pool_is_judged_later():
    (network,) = accepted("[{name: a, type: sriov, pool: intel.com/igb}]")
    assert network.pool == "igb"


SRIOV = {"name": "a", "type": "sriov", "pool": "p"}


@pytest.mark.parametrize(
    ("entry", "variable", "words"),
    [
        ("x", "", "must be a mapping"),
        ({"name": "a"}, ".type", "is missing. Known are sriov"),
        ({"name": "a", "type": "sriovv"}, ".type", "Did you mean sriov?"),
        ({"type": "sriov", "pool": "p"}, ".name", "must be a DNS label"),
        ({**SRIOV, "name": "A_b"}, ".name", "must be a DNS label"),
        ({**SRIOV, "namespace": "kube/system"}, ".namespace", "must be a DNS label"),
        ({**SRIOV, "namespaces": "apps"}, ".namespaces", "must be a list"),
        ({**SRIOV, "namespaces": []}, ".namespaces", "must be a list"),
        ({**SRIOV, "namespaces": ["a", 3]}, ".namespaces[1]", "must be a DNS label"),
        ({**SRIOV, "namespaces": ["a"], "namespace": "b"}, ".namespaces", "use one of them"),
        ({"name": "a", "type": "sriov"}, ".pool", "is missing: say which pool"),
        ({**SRIOV, "pool": "a.b"}, ".pool", "must be the name of a Kubernetes resource"),
        ({**SRIOV, "vlan": 5000}, ".vlan", "from 0 to 4094"),
        ({**SRIOV, "qos": 3}, ".qos", "needs a vlan from 1 to 4094"),
        ({**SRIOV, "vlan": 0, "vlan_proto": "802.1ad"}, ".vlan_proto", "needs a vlan"),
        ({**SRIOV, "vlan": 5, "vlan_proto": "qinq"}, ".vlan_proto", "must be one of 802.1q, 802.1ad"),
        ({**SRIOV, "trust": "maybe"}, ".trust", "true or false"),
        ({**SRIOV, "link_state": "up"}, ".link_state", "auto, enable or disable"),
        ({**SRIOV, "min_rate": 10, "max_rate": 5}, ".min_rate", "is above max_rate 5"),
        ({**SRIOV, "master": "ens1"}, ".master", "only of macvlan and ipvlan"),
        ({**SRIOV, "vlam": 1}, ".vlam", "Did you mean vlan?"),
        ({**SRIOV, "mtu": "big"}, ".mtu", "whole number"),
        ({**SRIOV, "ipam": {"type": "dhcp"}}, ".ipam.type", "must be one of"),
        ({**SRIOV, "capabilities": "mac"}, ".capabilities", "must be a list"),
        ({**SRIOV, "capabilities": ["mac", "vlan"]}, ".capabilities[1]", "must be one of mac"),
        ({**SRIOV, "plugins": {}}, ".plugins", "must be a list of plugins"),
        ({**SRIOV, "plugins": [{"kind": "tuning"}]}, ".plugins[0]", "with the key type"),
        ({**SRIOV, "plugins": [{"type": "../../bin/sh"}]}, ".plugins[0]", "with the key type"),
        ({"name": "a", "type": "host-device"}, ".pool", "say which pool or device"),
        ({"name": "a", "type": "host-device", "pool": "p", "device": "e"}, ".device", "stands beside pool"),
        ({"name": "a", "type": "host-device", "pool": "p", "vlan": 3}, ".vlan", "set it in fastpath_sriov"),
        ({"name": "a", "type": "bridge"}, ".bridge", "is missing"),
        ({"name": "a", "type": "bridge", "bridge": "br1", "pool": "p"}, ".pool", "cannot be used by bridge"),
        ({"name": "a", "type": "bridge", "bridge": "a name that is long"}, ".bridge", "network interface"),
        ({"name": "a", "type": "macvlan", "mode": "bridge"}, ".master", "is missing"),
        ({"name": "a", "type": "macvlan", "master": "e", "mode": "l2"}, ".mode", "must be one of bridge"),
        ({"name": "a", "type": "ipvlan", "master": "e", "vlan": 3}, ".vlan", "name it in master"),
    ],
)
def test_what_is_refused(entry, variable, words):
    (problem,) = said(entry)
    assert problem.startswith(f"fastpath_networks[0]{variable} = "), problem
    assert words in problem


def test_all_at_once():
    assert len(said({**SRIOV, "vlan": -1, "mtu": 1, "name": ""}, "x")) == 4


def test_something_else_than_a_list():
    (problem,) = parse_networks({"name": "a"})[1]
    assert problem.variable == "fastpath_networks"


def test_one_name_once():
    (problem,) = said(SRIOV, {**SRIOV, "namespace": "apps"})
    assert "is also the name of fastpath_networks[0]" in problem
    assert "list them in namespaces" in problem


def test_what_several_groups_say_by_the_same_words_is_one_network():
    other = {**SRIOV, "name": "b"}
    assert merge_specs([[SRIOV], None, [SRIOV, other], [other]]) == [SRIOV, other]
    assert merge_specs([]) == []
    assert parse_networks(merge_specs(["x", [SRIOV]]))[1][0].variable == "fastpath_networks[0]"


def test_what_they_say_differently_is_refused():
    (problem,) = parse_networks(merge_specs([[SRIOV], [{**SRIOV, "vlan": 3}]]))[1]
    assert problem.variable == "fastpath_networks[1].name"


def test_sockets_instead_of_interfaces():
    (vdpa, userspace, vhostuser) = accepted(
        """
        - {name: a, type: vdpa, pool: p, host_nic: /etc/fastpath/hostNic.json, ipam: {type: static}}
        - {name: b, type: userspace, engine: ovs-dpdk, net_type: bridge, host_mode: client, bridge: br4, vlan: 7}
        - {name: c, type: vhostuser, vhost_tool: ovs, bridge: br0}
        """
    )
    assert vdpa.options == {"hostNic": "/etc/fastpath/hostNic.json"}
    assert vdpa.capabilities == ("mac", "ips", "CNIDeviceInfoFile")
    assert userspace.options["host.bridge.bridgeName"] == "br4"
    assert vhostuser.options == {"vhost.vhost_tool": "ovs", "bridge.bridgeName": "br0"}


@pytest.mark.parametrize(
    ("entry", "variable"),
    [
        ({"name": "a", "type": "vdpa"}, "fastpath_networks[0].pool"),
        ({"name": "a", "type": "vdpa", "pool": "p", "mtu": 9000}, "fastpath_networks[0].mtu"),
        ({"name": "a", "type": "vdpa", "pool": "p", "ipam": {"type": "dhcp"}}, "fastpath_networks[0].ipam.type"),
        ({"name": "a", "type": "userspace"}, "fastpath_networks[0].engine"),
        ({"name": "a", "type": "userspace", "engine": "vpp", "pool": "p"}, "fastpath_networks[0].pool"),
        ({"name": "a", "type": "vhostuser"}, "fastpath_networks[0].vhost_tool"),
        ({"name": "a", "type": "vhostuser", "vhost_tool": "tool"}, "fastpath_networks[0].vhost_tool"),
    ],
)
def test_sockets_that_cannot_be(entry, variable):
    assert variable in [problem.variable for problem in parse_networks([entry])[1]]
