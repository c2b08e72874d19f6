# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.nfv.fastpath.plugins.filter.cluster import FilterModule

FILTERS = FilterModule().filters()
FOLDER = Path(__file__).resolve().parents[4] / "plugins/filter"
SRIOV = [
    {
        "pf": {"address": "0000:81:00.0"},
        "num_vfs": 2,
        "vfs": [{"indexes": "0-1", "pool": "igb"}],
    }
]
HOSTS: dict[str, Any] = {
    "node1": {
        "fastpath_sriov": SRIOV,
        "fastpath_networks": [
            {
                "name": "a",
                "type": "sriov",
                "pool": "igb",
                "mtu": 9000,
                "ipam": {"type": "whereabouts", "range": "192.0.2.0/24"},
            }
        ],
    },
    "node2": {"fastpath_sriov": SRIOV},
}


def test_networks():
    (made,) = FILTERS["network_definitions"](HOSTS)
    assert made["metadata"]["annotations"] == {"k8s.v1.cni.cncf.io/resourceName": "nfv.fastpath/igb"}


def test_plugins_that_they_need():
    assert FILTERS["network_plugins"](HOSTS) == ["sriov", "tuning", "whereabouts"]


def test_what_nodes_shall_have():
    assert FILTERS["node_allocatable"](HOSTS) == {"node1": {"nfv.fastpath/igb": 2}, "node2": {"nfv.fastpath/igb": 2}}


@pytest.mark.parametrize("name", ["network_definitions", "network_plugins"])
def test_refusals(name):
    wrong = {"node1": {"fastpath_networks": [{"name": "a", "type": "sriov", "pool": "none"}]}}
    with pytest.raises(AnsibleFilterError, match=r"Refused, nothing was changed: fastpath_networks\[0\].pool"):
        FILTERS[name](wrong)
    with pytest.raises(AnsibleFilterError, match="variables of nodes by name"):
        FILTERS[name]([])


def test_the_plugins_configuration():
    devices = [{"pool": "igb", "pf": "0000:81:00.0", "indexes": [0, 1]}]
    config = FILTERS["device_plugin_config"](devices, {"igb": {"exclude_topology": True}}, "intel.com")
    assert config["resourceList"][0]["excludeTopology"] is True
    assert config["resourceList"][0]["resourcePrefix"] == "intel.com"
    assert FILTERS["device_plugin_config"]([]) == {"resourceList": []}
    with pytest.raises(AnsibleFilterError, match="fastpath_pools.igb.x"):
        FILTERS["device_plugin_config"](devices, {"igb": {"x": 1}}, "intel.com/")


def test_images():
    assert FILTERS["image"]("whereabouts").startswith("ghcr.io/k8snetworkplumbingwg/whereabouts:v")
    with pytest.raises(AnsibleFilterError, match="is not in the list"):
        FILTERS["image"]("nginx")


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_is_documented(name):
    page = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
    assert page["DOCUMENTATION"]["name"] == name
    assert page["EXAMPLES"]
    assert page["RETURN"]["_value"]


def test_only_what_a_cluster_is_computed_from():
    hosts = {"node1": {**HOSTS["node1"], "ansible_password": "x", "fastpath_pools": None}}
    given = FILTERS["cluster_variables"](hosts)
    assert given == {"node1": HOSTS["node1"]}
    assert given["node1"]["fastpath_sriov"] is not HOSTS["node1"]["fastpath_sriov"]
    assert FILTERS["cluster_variables"](hosts, networks=False) == {"node1": {"fastpath_sriov": SRIOV}}


def test_of_a_membership_only_the_name():
    hosts = {
        "a": {"fastpath_kubernetes": {"node_name": "n", "ca_hash": "x"}},
        "b": {"fastpath_kubernetes": {"join": "none"}},
        "c": {"fastpath_kubernetes": None, "fastpath_node_name": "d"},
    }
    assert FILTERS["cluster_variables"](hosts) == {
        "a": {"fastpath_kubernetes": {"node_name": "n"}},
        "b": {},
        "c": {"fastpath_node_name": "d"},
    }


def test_what_a_node_has_does_not_hang_on_networks():
    other = {"name": "x", "type": "sriov", "pool": "of-another-node"}
    assert FILTERS["node_allocatable"]({"node1": {"fastpath_networks": [other]}}) == {"node1": {}}


def test_members_by_their_names_in_the_cluster():
    seen = {"devices": [], "fingerprint": "f", "boot_id": "b"}
    agent = {"pools": [{"name": "a"}]}
    hosts = {
        "host1": {
            "fastpath_node_agent": agent,
            "seen": seen,
            "fastpath_node_name": "node1.example.com",
            "fastpath_resource_prefix": "e.com",
        },
        "host2": {"seen": {"failed": True}},
        "host3": {},
        "host4": {"seen": seen, "join": {"joins": True}},
        "host5": {"seen": seen, "join": {"skipped": True}},
    }
    said = dict.fromkeys(("pools", "prefix", "agent", "hugepages"))
    found = {
        "node1.example.com": {**seen, **said, "prefix": "e.com", "joins": False, "agent": agent},
        "host4": {**seen, **said, "joins": True},
        "host5": {**seen, **said, "joins": False},
    }
    assert FILTERS["cluster_members"](hosts, "seen", "join") == found
    assert not FILTERS["cluster_members"](hosts, "seen")["host4"]["joins"]
    for name in ("cluster_members", "cluster_variables"):
        with pytest.raises(AnsibleFilterError, match="variables of nodes by name"):
            FILTERS[name]("x", *(["seen"] if name == "cluster_members" else []))


def test_what_an_agent_is_met_with_comes_along_where_there_is_one():
    layers = {"fastpath_hugepages": [], "fastpath_ovs": {"bridges": []}, "fastpath_kubelet": {}}
    agent = {"fastpath_node_agent": {"pools": [{"name": "a"}]}}
    hosts = {"a": {**layers, **agent}, "b": layers, "c": {**layers, "fastpath_node_agent": {"pools": []}}}
    found = FILTERS["cluster_variables"](hosts)
    assert found["a"] == {**layers, **agent}
    assert found["b"] == {}
    assert found["c"] == {"fastpath_node_agent": {"pools": []}}
