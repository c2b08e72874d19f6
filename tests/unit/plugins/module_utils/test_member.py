# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node brings to its cluster, on a model of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import fingerprint, parse_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._member import member
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode
from ansible_collections.nfv.fastpath.tests.unit.sriov_words import PF, SECOND, apply

SPEC = [
    {
        "pf": {"vendor": "8086", "device": "10c9", "numa_node": 1},
        "num_vfs": 4,
        "vfs": [
            {"indexes": "0-1", "driver": "vfio-pci", "pool": "dpdk"},
            {"indexes": "2", "pool": "kernel"},
            {"indexes": "3", "driver": "vfio-pci"},
        ],
    }
]
WITHOUT_MULTUS = {
    "vdpa": None,
    "multus": "none",
    "cni_bin_dir": "/opt/cni/bin",
    "cni_config_dir": "/etc/cni/net.d",
    "wait_timeout": 0,
}


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1, iommu=True)
    node.add_pf(SECOND, "ens2", numa_node=0)
    return node


def looked(node: FakeNode, **more: Any) -> dict[str, Any]:
    return member(node, {**WITHOUT_MULTUS, "sriov": SPEC, **more}, probe=lambda _path: "")


def test_devices_by_pool(node):
    apply(node, SPEC)
    result = looked(node)
    dpdk, kernel = parse_devices(result["devices"])
    assert (dpdk.pool, dpdk.pf, dpdk.indexes, dpdk.driver) == ("dpdk", PF, (0, 1), "vfio-pci")
    assert (kernel.pool, kernel.indexes, kernel.driver) == ("kernel", (2,), "kernel")
    assert [one["driver"] for one in dpdk.state] == ["vfio-pci", "vfio-pci"]
    assert dpdk.state[0]["numa_node"] == 1
    assert dpdk.state[0]["iommu_group"] is not None
    assert kernel.state[0]["driver"] == "igbvf"
    assert result["changed"] is False


def test_nothing_is_changed_and_nobody_is_asked_who_uses_what(node):
    apply(node, SPEC)
    node.commands.clear()
    before = node.snapshot()
    looked(node)
    assert node.snapshot() == before
    assert len(node.commands) == 1


def test_before_the_vfs_are_made(node):
    dpdk, kernel = parse_devices(looked(node)["devices"])
    assert (dpdk.pf, dpdk.state, kernel.state) == (PF, (), ())


def test_the_fingerprint_changes_with_what_the_plugin_sees(node):
    before = looked(node)["fingerprint"]
    apply(node, SPEC)
    made = looked(node)["fingerprint"]
    assert looked(node)["fingerprint"] == made != before
    node.add_pf("0000:05:00.0", "ens5")
    assert looked(node)["fingerprint"] == made
    apply(node, [{**SPEC[0], "vfs": SPEC[0]["vfs"][:1]}])
    node.write_attribute("/sys/bus/pci/devices/0000:81:10.0/driver/unbind", "0000:81:10.0")
    assert looked(node)["fingerprint"] != made
    assert fingerprint([]) == looked(node, sriov=[])["fingerprint"]


def test_no_pool_is_no_look(node):
    node.commands.clear()
    assert looked(node, sriov=[{"pf": {"netdev": "none"}, "num_vfs": 1}])["devices"] == []
    assert node.commands == []


def test_a_pf_that_is_not_here(node):
    with pytest.raises(Refused) as refused:
        looked(node, sriov=[{**SPEC[0], "pf": {"netdev": "ens9"}}])
    assert {problem.variable for problem in refused.value.problems} == {"fastpath_sriov[0].pf"}


def test_one_pf_by_two_names_with_one_vf_in_two_pools(node):
    second = {"pf": {"netdev": "ens1"}, "num_vfs": 4, "vfs": [{"indexes": "1-2", "pool": "other"}]}
    with pytest.raises(Refused) as refused:
        looked(node, sriov=[*SPEC, second])
    (problem,) = refused.value.problems
    assert "claims VF 1, 2 of 0000:81:00.0" in problem.message


def test_what_is_wrong_with_the_spec(node):
    with pytest.raises(Refused, match="num_vfs"):
        looked(node, sriov=[{"pf": {"netdev": "ens1"}}])


def test_which_boot_this_is(node):
    node.write_file("/proc/sys/kernel/random/boot_id", "b-1\n")
    assert looked(node)["boot_id"] == "b-1"


def test_multus_must_answer(node):
    with pytest.raises(FastpathError, match="Multus does not answer on .* after 0 s: the first network configuration"):
        looked(node, multus="thick")
    assert member(node, {**WITHOUT_MULTUS, "sriov": SPEC, "multus": "thick"}, dry_run=True)["devices"]
    node.write_file("/etc/cni/net.d/00-multus.conf", json.dumps({"type": "multus-shim"}))
    node.write_file("/opt/cni/bin/multus-shim", "", 0o755)
    assert looked(node, multus="thick")["devices"]
