# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole desired state: every parser's problems, between layers, unknown variables; and the shipped inventories."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import (
    VARIABLES,
    concern_specs,
    parse_wanted,
    unknown_variables,
)

CHECKOUT = Path(__file__).resolve().parents[4]


def group(indexes, pool, driver):
    return {"indexes": indexes, "pool": pool, "driver": driver}


def test_every_parser_is_asked():
    _wanted, problems = parse_wanted(
        {
            "kernel_args": {"iomu": "on"},
            "hugepages": [{"size": "3M", "count": 1}],
            "dpdk": {"provider": "git"},
            "ovs": {"other_config": {"pmd-cpu-mask": "0x6"}},
            "sriov": [{"pf": {"address": 1080.0}, "num_vfs": 2}],
            "vdpa": [{"pf": {"address": 1080.0}}],
        }
    )
    assert {problem.variable.split("[")[0].split(".")[0] for problem in problems} == {
        "fastpath_kernel_args",
        "fastpath_hugepages",
        "fastpath_sriov",
        "fastpath_vdpa",
        "fastpath_dpdk",
        "fastpath_ovs",
    }


def test_nothing_is_asked_for():
    wanted, problems = parse_wanted({})
    assert problems == []
    assert (wanted.pools, wanted.pfs, list(wanted.groups())) == ((), (), [])


def test_one_pool_with_two_drivers():
    spec = [
        {"pf": {"netdev": "a"}, "num_vfs": 2, "vfs": [group(0, "x", "vfio-pci"), group(1, "y", "kernel")]},
        {"pf": {"netdev": "b"}, "num_vfs": 2, "vfs": [group(0, "y", "kernel"), group(1, "x", None)]},
    ]
    _wanted, (problem,) = parse_wanted({"sriov": spec})
    assert (problem.variable, problem.value) == ("fastpath_sriov[1].vfs[1].pool", "x")
    assert "fastpath_sriov[0].vfs[0]" in problem.message


def test_a_vf_that_two_variables_claim():
    pf = {"netdev": "a"}
    sriov = [{"pf": pf, "num_vfs": 2, "vfs": [group(0, None, "vfio-pci"), group(1, "x", "vp-vdpa")]}]
    _wanted, problems = parse_wanted({"sriov": sriov, "vdpa": [{"pf": pf, "indexes": "0-1"}]})
    assert [(problem.variable, problem.value) for problem in problems] == [
        ("fastpath_vdpa[0].indexes", n) for n in (0, 1)
    ]
    assert "driver vfio-pci" in problems[0].message and "in pool x" in problems[1].message


def test_a_pool_of_two_kinds_of_vdpa_devices_or_of_vfs_too():
    vdpa = [
        {"pf": {"netdev": "a"}, "indexes": 0, "pool": "x"},
        {"pf": {"netdev": "a"}, "indexes": 1, "pool": "x", "bus": "virtio_vdpa"},
        {"pf": {"netdev": "b"}, "indexes": 0, "pool": "y"},
    ]
    sriov = [{"pf": {"netdev": "c"}, "num_vfs": 1, "vfs": [group(0, "y", "vfio-pci")]}]
    _wanted, problems = parse_wanted({"sriov": sriov, "vdpa": vdpa})
    assert [problem.variable for problem in problems] == ["fastpath_vdpa[1].pool", "fastpath_vdpa[2].pool"]
    assert "has driver virtio_vdpa here and vhost_vdpa in fastpath_vdpa[0]" in problems[0].message


def test_a_pool_over_two_pfs_and_vfs_in_no_pool():
    vfs = [group(0, "x", "vfio-pci"), group(1, None, "kernel"), group(2, None, "vfio-pci")]
    spec = [{"pf": {"netdev": name}, "num_vfs": 3, "vfs": vfs} for name in "ab"]
    assert parse_wanted({"sriov": spec})[1] == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("fastpath_hugepage", "fastpath_hugepages"),
        ("fastpath_sriovs", "fastpath_sriov"),
        ("fastpath_rebootok", "fastpath_reboot_ok"),
    ],
)
def test_a_typing_error_is_named_with_what_was_meant(name, near):
    (problem,) = unknown_variables([name, "fastpath_sriov", "other"])
    assert problem.variable == name
    assert f"Did you mean {near}?" in problem.message


def test_variables_like_nothing_known_and_of_ones_own():
    (problem,) = unknown_variables(["fastpath_qqq", "fastpath_mine"], ["fastpath_mine"])
    assert "fastpath_sriov" in problem.message
    assert unknown_variables(VARIABLES) == []


def test_specs_are_as_the_modules_store_them():
    assert concern_specs({"kernel_args": {"iommu": "on"}, "hugepages": [], "sriov": [1], "noiommu_ok": True}) == {
        "boot_engine": None,
        "cni_plugins": None,
        "node_agent": None,
        "container_runtime": None,
        "dpdk": None,
        "hugepages": [],
        "images": None,
        "kernel_args": {"arguments": {"iommu": "on"}, "hugepages": []},
        "kube_join": None,
        "kubelet": None,
        "ovs_bundle": None,
        "ovs_dpdk": None,
        "ovs_packages": None,
        "sriov": {"pfs": [1], "noiommu_ok": True, "coming_drivers": ()},
        "vdpa": None,
    }
    assert set(concern_specs({}).values()) == {None}
    assert concern_specs({"vdpa": []})["vdpa"] == {"devices": [], "sriov": None}
    assert concern_specs({"vdpa": [2], "sriov": [1]})["vdpa"] == {"devices": [2], "sriov": [1]}
    assert concern_specs({"dpdk": {}})["dpdk"] == {"dpdk": {}}


def test_specs_of_open_vswitch_follow_its_provider():
    ovs = {"other_config": {"dpdk-init": True}}
    by_packages = concern_specs({"ovs": ovs})
    assert by_packages["ovs_dpdk"] == ovs
    assert by_packages["ovs_packages"] == {"ovs": ovs, "upgrade": False}
    by_source = concern_specs({"ovs": ovs, "ovs_provider": "source"})
    assert (by_source["ovs_dpdk"], by_source["ovs_packages"]) == (ovs, None)
    assert (by_packages["ovs_bundle"], by_source["ovs_bundle"]) == (None, {"bundle": None})
    assert set(concern_specs({"ovs": {}}).values()) == {None}


def files(*patterns):
    return [path for pattern in patterns for path in sorted(CHECKOUT.glob(pattern))]


def test_every_variable_that_is_read_is_known():
    text = "".join(path.read_text() for path in files("roles/*/*/*.yml", "playbooks/*.yml", "inventories/**/*.yml"))
    # fastpath_nodes and fastpath_builder are groups.
    used = set(re.findall(r"\bfastpath_[a-z_]+\b", text)) - {"fastpath_nodes", "fastpath_builder", "fastpath_"}
    assert used <= set(VARIABLES)


@pytest.mark.parametrize("inventory", [path.name for path in (CHECKOUT / "inventories").iterdir()])
def test_shipped_inventories_are_right(inventory):
    merged: dict = {}
    for path in files(f"inventories/{inventory}/group_vars/fastpath_nodes/*.yml"):
        merged.update(yaml.safe_load(path.read_text()))
    _wanted, problems = parse_wanted({name[len("fastpath_") :]: value for name, value in merged.items()})
    assert problems == []
    assert unknown_variables(merged) == []


def test_an_agent_is_told_how_many_devices_its_pools_have():
    sriov = [{"pf": {"netdev": "ens1"}, "num_vfs": 3, "vfs": [{"indexes": "0-2", "driver": "vfio-pci", "pool": "a"}]}]
    agent = {"pools": [{"name": "a"}, {"name": "b", "backend": "ovs", "bridge": "br0"}]}
    found = concern_specs({"sriov": sriov, "node_agent": agent})["node_agent"]
    assert found == {"agent": agent, "expected": {"a": 3}}
    assert concern_specs({"node_agent": {"pools": []}})["node_agent"] is None
