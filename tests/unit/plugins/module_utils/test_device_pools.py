# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools as the desired state names them, and every way in which two of them can claim one device."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import (
    NodePools,
    PoolDevices,
    parse_devices,
    parse_node_pools,
    same_device_twice,
)

SRIOV = yaml.safe_load("""
- pf: {vendor: "8086", device: "10c9", numa_node: 1}
  num_vfs: 7
  vfs:
    - {indexes: 0-1, driver: vfio-pci, pool: igb_dpdk}
    - {indexes: 2-3, driver: kernel, pool: igb_kernel, vlan: 100}
    - {indexes: 4-5, driver: kernel, pool: igb_kernel}
    - {indexes: 6, driver: vfio-pci, pool: null}
- pf: {address: "0000:01:00.0"}
  num_vfs: 4
  vfs:
    - {indexes: 0-1, driver: vfio-pci, pool: igb_dpdk}
""")
VDPA = [{"pf": {"address": "0000:02:00.0"}, "indexes": "0-1", "bus": "vhost_vdpa", "pool": "vdpa_vhost", "mtu": 9000}]


def pools(sriov: Any = None, vdpa: Any = None, by_hand: tuple[str, ...] = ()) -> NodePools:
    found, problems = parse_node_pools(sriov, vdpa, by_hand)
    assert problems == []
    return found


def said(sriov: Any = None, vdpa: Any = None, by_hand: tuple[str, ...] = ()) -> list[str]:
    return [str(problem) for problem in parse_node_pools(sriov, vdpa, by_hand)[1]]


def test_pools_and_how_many_devices_they_have():
    found = pools(SRIOV, VDPA, ("fpga",))
    assert found.names == ("fpga", "igb_dpdk", "igb_kernel", "vdpa_vhost")
    assert found.counts() == {"igb_dpdk": 4, "igb_kernel": 4, "vdpa_vhost": 2}
    assert [part.user_space for part in found.slices] == [True, False, False, True, False]
    assert found.slices[1].vlan == 100
    assert found.slices[4].vdpa == "vhost"


def test_nothing_is_asked_for():
    assert pools() == NodePools()
    assert pools([], []) == NodePools()
    assert pools().counts() == {}


def test_vdpa_devices_in_no_pool_are_none_of_ours():
    assert pools(None, [{"pf": {"address": "0000:02:00.0"}, "indexes": "0", "bus": "virtio_vdpa"}]) == NodePools()


def test_what_is_wrong_with_vfs_is_said_too():
    assert any("num_vfs" in problem for problem in said([{"pf": {"netdev": "ens1"}}]))


def test_what_is_wrong_with_vdpa():
    assert said(None, {"a": 1})[0].startswith("fastpath_vdpa = ")
    assert said(None, ["x"])[0].startswith("fastpath_vdpa[0] = ")
    (one,) = said(None, [{"pf": {"address": "0000:02:00.0"}, "indexes": 0, "bus": "vhost", "pool": "a"}])
    assert one.startswith(
        "fastpath_vdpa[0].bus = 'vhost': must be vhost_vdpa (a device file for programs) or virtio_vdpa"
    )
    many = said(None, [{"pf": {"address": 1080.0}, "indexes": "x", "pool": "a/b"}])
    assert [problem.split(" = ")[0] for problem in many] == [
        "fastpath_vdpa[0].indexes",
        "fastpath_vdpa[0].pool",
        "fastpath_vdpa[0].pf.address",
    ]
    assert "put quotes around it" in many[2]
    (one,) = said(None, [{"pf": {"address": "0000:02:00.0"}, "pool": "a"}])
    assert "is for devices on VFs, since the SR-IOV device plugin finds no others" in one
    assert "must say which PF" in said(None, [{"pool": "a", "indexes": 0}])[0]


def test_two_pools_claim_one_vf():
    sriov = [
        {
            "pf": {"address": "0000:02:00.0"},
            "num_vfs": 4,
            "vfs": [{"indexes": "1-3", "driver": "vfio-pci", "pool": "a"}],
        }
    ]
    (problem,) = said(sriov, VDPA)
    assert problem == (
        "fastpath_vdpa[0].pool = 'vdpa_vhost': claims VF 1 of address 0000:02:00.0, which fastpath_sriov[0].vfs[0] "
        "has already: a VF belongs to one pool"
    )


def test_a_pool_is_one_kind_of_device():
    vdpa = [{**VDPA[0], "pool": "igb_dpdk"}]
    (problem,) = said(SRIOV, vdpa)
    assert "has vDPA devices for vhost here and plain VFs in fastpath_sriov[0].vfs[0]" in problem


def test_a_pool_comes_from_vfs_or_from_the_user():
    assert any("fastpath_pools.igb_dpdk too" in problem for problem in said(SRIOV, None, ("igb_dpdk",)))


def devices(pool: str, pf: str, *indexes: int) -> PoolDevices:
    return PoolDevices(pool, pf, indexes, variable=f"of {pool}", state=({"address": "x"},))


def test_there_and_back():
    both = (devices("a", "0000:01:00.0", 0, 1), devices("b", "0000:02:00.0", 3))
    assert parse_devices([part.as_json() for part in both]) == both


def test_two_names_of_one_pf():
    """Selectors by netdev and by address are the same PF only on the node."""
    (problem,) = same_device_twice([devices("a", "0000:01:00.0", 0, 1, 2), devices("b", "0000:01:00.0", 2, 1)])
    assert str(problem) == (
        "of b.pool = 'b': claims VF 1, 2 of 0000:01:00.0, which of a has already: a VF belongs to one pool"
    )
    assert same_device_twice([devices("a", "0000:01:00.0", 0), devices("b", "0000:02:00.0", 0)]) == []
