# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""All nodes together: what they agree on, and where they do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import ClusterSpec, each_once
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused

SRIOV = [
    {
        "pf": {"address": "0000:81:00.0"},
        "num_vfs": 6,
        "vfs": [
            {"indexes": "0-1", "driver": "vfio-pci", "pool": "igb_dpdk"},
            {"indexes": "2-5", "pool": "igb_kernel"},
        ],
    }
]
NETWORKS = [{"name": "fast", "type": "sriov", "pool": "igb_kernel", "vlan": 100}]


def host(**variables: Any) -> dict[str, Any]:
    return {"fastpath_sriov": SRIOV, "fastpath_networks": NETWORKS, "ansible_host": "192.0.2.1", **variables}


def test_two_equal_nodes():
    spec = ClusterSpec({"node1": host(), "node2": host()})
    spec.must_be_right()
    assert spec.allocatable("node1") == {"nfv.fastpath/igb_dpdk": 2, "nfv.fastpath/igb_kernel": 4}
    assert spec.resources == {"igb_dpdk": "nfv.fastpath/igb_dpdk", "igb_kernel": "nfv.fastpath/igb_kernel"}
    (made,) = spec.definitions()
    assert made["metadata"]["annotations"] == {"k8s.v1.cni.cncf.io/resourceName": "nfv.fastpath/igb_kernel"}


def test_a_node_with_nothing():
    spec = ClusterSpec({"node1": {}, "node2": {}})
    spec.must_be_right()
    assert (spec.allocatable("node1"), spec.resources, spec.definitions()) == ({}, {}, [])


def test_nodes_that_differ():
    vdpa = [{"pf": {"address": "0000:02:00.0"}, "indexes": "0-2", "pool": "vdpa"}]
    spec = ClusterSpec(
        {
            "node1": host(fastpath_resource_prefix="intel.com"),
            "node2": {"fastpath_vdpa": vdpa, "fastpath_pools": {"vdpa": {"resource_prefix": "example.com"}}},
        }
    )
    spec.must_be_right()
    assert spec.allocatable("node2") == {"example.com/vdpa": 3}
    assert spec.allocatable("node1") == {"intel.com/igb_dpdk": 2, "intel.com/igb_kernel": 4}


def test_devices_by_hand_have_no_number():
    pools = {"fpga": {"device_type": "accelerator", "selectors": [{"vendors": ["8086"]}]}}
    spec = ClusterSpec({"node1": {"fastpath_pools": pools}})
    spec.must_be_right()
    assert spec.resources == {"fpga": "nfv.fastpath/fpga"}
    assert spec.allocatable("node1") == {}


def test_one_pool_has_one_name():
    spec = ClusterSpec({"node1": host(), "node2": host(fastpath_resource_prefix="intel.com")})
    with pytest.raises(Refused) as refused:
        spec.must_be_right()
    assert refused.value.problems[0] == Problem(
        "fastpath_resource_prefix",
        "intel.com",
        "is intel.com/igb_dpdk on node2 and nfv.fastpath/igb_dpdk on others: "
        "one pool has one name in the whole cluster",
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"fastpath_resource_prefix": "Intel.com/"}, "fastpath_resource_prefix = 'Intel.com/'"),
        ({"fastpath_pools": {"igb_dpdk": {"selectors": {"needVhost": True}}}}, "Did you mean needVhostNet?"),
        ({"fastpath_networks": [{**NETWORKS[0], "pool": "none"}]}, "is a pool that no node has"),
        ({"fastpath_vdpa": [{"pf": {"address": "0000:81:00.0"}, "indexes": 0, "pool": "v"}]}, "belongs to one pool"),
        ({"fastpath_sriov": [{"pf": {"address": "0000:81:00.0"}}]}, "num_vfs"),
    ],
)
def test_what_is_wrong_on_all_nodes_is_said_once(variables, words):
    spec = ClusterSpec({"node1": host(**variables), "node2": host(**variables)})
    assert len([problem for problem in spec.problems if words in str(problem)]) == 1, spec.problems


def test_a_wrong_network_is_not_also_said_to_fit_no_pool():
    spec = ClusterSpec({"node1": host(fastpath_networks=[{"name": "A", "type": "sriov", "pool": "none"}])})
    assert [problem.variable for problem in spec.problems] == ["fastpath_networks[0].name"]


def test_problems_of_all_layers_come_at_once():
    networks = [{"name": "a", "type": "sriov", "pool": "none"}, {"name": "b", "type": "macvlan", "vlan": 3}]
    spec = ClusterSpec({"node1": host(fastpath_networks=networks, fastpath_resource_prefix="X")})
    assert [problem.variable for problem in spec.problems] == [
        "fastpath_resource_prefix",
        "fastpath_networks[1].vlan",
        "fastpath_networks[1].master",
        "fastpath_networks[0].pool",
    ]


def test_everything_that_is_computed():
    result = ClusterSpec({"node1": host(), "node2": {}}).result()
    assert result["allocatable"] == {"node1": {"nfv.fastpath/igb_dpdk": 2, "nfv.fastpath/igb_kernel": 4}, "node2": {}}
    assert result["plugins"] == ["sriov"]
    assert [item["metadata"]["name"] for item in result["definitions"]] == ["fast"]
    assert (result["changed"], set(result["resources"])) == (False, {"igb_dpdk", "igb_kernel"})
    with pytest.raises(Refused):
        ClusterSpec({"node1": {"fastpath_networks": 3}}).result()


def test_each_once_takes_values_that_cannot_be_hashed():
    problem = Problem("a", [{}], "b")
    assert each_once([problem, Problem("a", [{}], "b"), Problem("a", {}, "b")]) == [problem, Problem("a", {}, "b")]


SET_IN_A_PLAY = (
    "is set in a play, block or role, where other nodes do not see it: "
    "put it into group_vars, host_vars or --extra-vars"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fastpath_sriov", []),
        ("fastpath_vdpa", [{"pf": {"address": "0000:02:00.0"}, "indexes": 0, "pool": "v"}]),
        ("fastpath_pools", {}),
        ("fastpath_resource_prefix", "example.com"),
        ("fastpath_networks", [{"name": "a", "type": "sriov", "pool": "of-the-play"}]),
        ("fastpath_node_name", "n1"),
    ],
)
def test_what_other_nodes_do_not_see_is_the_one_problem(name, value):
    hosts = {"node1": host(), "node2": host()}
    spec = ClusterSpec(hosts, {"node1": {**host(), name: value}})
    assert spec.problems == [Problem(name, "set", SET_IN_A_PLAY)]


def test_what_other_nodes_see_too_is_no_problem():
    hosts = {"node1": host(fastpath_node_name="n1"), "node2": host()}
    ClusterSpec(hosts, {"node1": host(fastpath_node_name="n1")}).must_be_right()
    ClusterSpec(hosts, {"localhost": {}}).must_be_right()
    ClusterSpec(hosts, {"localhost": {"fastpath_networks": NETWORKS}}).must_be_right()


def test_a_task_on_a_machine_that_does_not_count():
    """Else nothing would be wanted, and all networks would be removed."""
    (problem,) = ClusterSpec({}, {"worker1": {"fastpath_networks": NETWORKS}}).problems
    assert (problem.variable, problem.value) == ("fastpath_networks", "set")
    assert problem.message.startswith("is set for worker1, and the nodes that count (none) do not have it")


def test_two_hosts_of_one_name():
    spec = ClusterSpec({"a": {"fastpath_node_name": "n1"}, "b": {"fastpath_node_name": "n1"}, "n2": {}, "c": {}})
    message = "is the name of a and b: each node has a name of its own"
    assert spec.problems == [Problem("fastpath_node_name", "n1", message)]
    (problem,) = ClusterSpec({"n1": {}, "b": {"fastpath_node_name": "n1"}}).problems
    assert problem.message.startswith("is the name of n1 and b")


@pytest.mark.parametrize(
    ("variables", "known"),
    [
        ({"fastpath_node_name": "n1"}, "fastpath_node_name says n1"),
        ({}, "fastpath_node_name is not set"),
    ],
)
def test_two_names_of_one_host(variables, known):
    (problem,) = ClusterSpec({"a": {**variables, "fastpath_kubernetes": {"node_name": "n2"}}}).problems
    message = f"is what a joins as, and {known}: say the same name in both"
    assert problem == Problem("fastpath_kubernetes.node_name", "n2", message)


def test_names_that_agree():
    join = {"fastpath_kubernetes": {"node_name": "n1"}}
    ClusterSpec({"n1": join, "b": {"fastpath_kubernetes": 3}}).must_be_right()
    ClusterSpec({"a": {**join, "fastpath_node_name": "n1"}, "b": {"fastpath_kubernetes": {}}}).must_be_right()


AGENT = {
    "pools": [
        {"name": "igb_dpdk", "backend": "vdpa"},
        {"name": "ports", "backend": "ovs", "bridge": "br0", "ports": 8},
    ]
}
BESIDE = {
    "fastpath_hugepages": [{"size": "2M", "count": 64}],
    "fastpath_ovs": {"other_config": {"dpdk-init": True}, "bridges": [{"name": "br0"}]},
}


def sockets(pool: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "net", "type": "vdpa", "pool": pool, **more}]


def config(spec: ClusterSpec) -> dict[str, Any]:
    spec.must_be_right()
    (made,) = spec.definitions()
    return {**json.loads(made["spec"]["config"]), **made["metadata"]["annotations"]}


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ("igb_dpdk", {"type": "vdpa", "mode": "client"}),
        ("ports", {"type": "vdpa", "mode": "server", "pool": "ports"}),
    ],
)
def test_a_network_of_sockets_is_the_same_but_for_its_pool(pool, said):
    spec = ClusterSpec({"node1": host(fastpath_node_agent=AGENT, **BESIDE, fastpath_networks=sockets(pool))})
    made = config(spec)
    assert {key: made[key] for key in said} == said
    assert made["capabilities"] == {"CNIDeviceInfoFile": True, "mac": True}
    assert made["k8s.v1.cni.cncf.io/resourceName"] == f"nfv.fastpath/{pool}"
    assert ("pool" in made) == (pool == "ports")
    assert spec.result()["plugins"] == []


def test_ports_are_resources_of_nodes_with_an_agent():
    spec = ClusterSpec({"node1": host(fastpath_node_agent=AGENT, **BESIDE), "node2": host()})
    assert spec.allocatable("node1")["nfv.fastpath/ports"] == 8
    assert "nfv.fastpath/ports" not in spec.allocatable("node2")
    assert spec.agent_nodes() == ["node1"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"fastpath_node_agent": {"pools": [{"name": "nic"}]}}, "fastpath_node_agent.pools[0].name"),
        ({"fastpath_networks": sockets("igb_kernel")}, "fastpath_networks[0].pool"),
        ({"fastpath_networks": [{"name": "a", "type": "sriov", "pool": "igb_dpdk"}]}, "fastpath_networks[0].type"),
        ({"fastpath_networks": sockets("ports", mode="client")}, "fastpath_networks[0].mode"),
        ({"fastpath_hugepages": []}, "fastpath_node_agent.vdpa.memory_mib"),
    ],
)
def test_an_agent_that_does_not_fit(variables, said):
    given = host(**{"fastpath_node_agent": AGENT, **BESIDE, "fastpath_networks": sockets("igb_dpdk"), **variables})
    assert said in [problem.variable for problem in ClusterSpec({"node1": given}).problems]


def test_sockets_need_an_agent():
    (problem,) = ClusterSpec({"node1": host(fastpath_networks=sockets("igb_dpdk"))}).problems
    assert problem.variable == "fastpath_networks[0].type"


def test_a_pool_has_one_kind_of_socket_everywhere():
    other = {"pools": [{"name": "igb_dpdk", "mode": "server"}]}
    spec = ClusterSpec(
        {"node1": host(fastpath_node_agent=AGENT, **BESIDE), "node2": host(fastpath_node_agent=other, **BESIDE)}
    )
    assert any("pods cannot know where they run" in problem.message for problem in spec.problems)
