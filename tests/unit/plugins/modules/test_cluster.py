# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that talk to a cluster, and those that serve it on nodes: options in, results out."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Kube, NoAnswer
from ansible_collections.nfv.fastpath.plugins.modules import (
    agent_groups,
    cluster_objects,
    cluster_spec_info,
    cluster_verify,
    cni_bundle,
    cni_plugins,
    device_plugin,
    member_info,
    node_agent,
    node_service,
    socket_map,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemonset, node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run

OF_CLUSTER = (agent_groups, cluster_objects, cluster_verify, device_plugin, node_service)
ACCESS = {"kubeconfig": "/nonexistent"}


@pytest.fixture
def cluster(monkeypatch):
    cluster = FakeCluster(node("node1"), pod("a"))
    for module in OF_CLUSTER:
        monkeypatch.setattr(module, "connect", lambda kubeconfig, context: cluster.request)
        monkeypatch.setattr(
            module, "Kube", lambda request, patience: Kube(request, patience, lambda: cluster.now, cluster.sleep)
        )
    return cluster


def test_objects(cluster):
    options = {**ACCESS, "component": "multus", "objects": [daemonset("agent")]}
    result = run(cluster_objects, **options)
    assert set(result) >= KEYS | {"apply", "remove", "scope"}
    assert run(cluster_objects, **options, check=True)["operations"] == result["operations"]
    assert cluster.writes == []
    assert run(cluster_objects, **options, only_wait=True)["changed"] is False


def test_a_refusal_has_all_problems(cluster):
    cluster.put(daemonset("agent"))
    result = run(cluster_objects, **ACCESS, component="multus", objects=[daemonset("agent")])
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert result["problems"][0]["value"] == "DaemonSet kube-system/agent"


def test_a_cluster_that_does_not_answer_is_one_message(cluster, monkeypatch):
    def away(ask: Any) -> Any:
        raise NoAnswer("connection refused")

    for module, options in (
        (cluster_objects, {"component": "a"}),
        (node_service, {"node": "node1", "state": "out"}),
        (device_plugin, {}),
    ):
        monkeypatch.setattr(module, "connect", lambda kubeconfig, context: away)
        result = run(module, **ACCESS, **options, api_timeout=0)
        assert result["failed"]
        assert "did not answer" in result["msg"] and "connection refused" in result["msg"]


def test_out_of_service_and_back(cluster):
    options = {**ACCESS, "node": "node1", "drain_timeout": 10, "wait_timeout": 10}
    for state in ("out", "back"):
        predicted = run(node_service, **options, state=state, check=True)
        result = run(node_service, **options, state=state)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(node_service, **options, state=state)["changed"]


def test_what_waits_is_a_warning(cluster, warned):
    cluster.put(
        {
            "kind": "PodDisruptionBudget",
            "apiVersion": "policy/v1",
            "metadata": {"name": "pdb", "namespace": "apps"},
            "spec": {"selector": {"matchLabels": {}}},
            "status": {"disruptionsAllowed": 0},
        }
    )
    run(node_service, **ACCESS, node="node1", state="out", check=True)
    assert any("waits for its disruption budget pdb" in warning for warning in warned)


def test_groups_of_the_device_plugin(cluster):
    members = {"node1": {"devices": [], "fingerprint": "f", "pools": {"a": {"selectors": [{"drivers": ["x"]}]}}}}
    result = run(device_plugin, **ACCESS, members=members)
    assert set(result) >= KEYS | {"groups", "members"}
    (group,) = result["groups"]
    assert result["members"] == {group["name"]: ["node1"]}
    ahead = run(device_plugin, **ACCESS, members=members, assign=True, check=True)
    assert [step["action"] for step in ahead["operations"]] == ["move_device_plugin"]
    assert cluster.writes == []


def test_verification(cluster):
    hosts = {"host1": {"fastpath_sriov": []}}
    result = run(cluster_verify, **ACCESS, hosts=hosts, nodes=["host1"], names={"host1": "node1"}, multus=False)
    assert (result["failed_checks"], result["changed"], result["report_as"]) == (0, False, "cluster")
    assert run(cluster_verify, **ACCESS, hosts=hosts, nodes=["host1"])["failed_checks"] == 1


def test_the_spec_of_a_cluster(warned):
    sriov = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "p"}]}]
    local = {"type": "host-local", "subnet": "192.0.2.0/24"}
    networks = [{"name": "a", "type": "sriov", "pool": "p", "ipam": local}]
    hosts = {name: {"fastpath_sriov": sriov, "fastpath_networks": networks} for name in ("n1", "n2")}
    result = run(cluster_spec_info, hosts=hosts)
    assert result["plugins"] == ["host-local", "sriov"]
    assert any("host-local hands out addresses" in warning for warning in warned)
    wrong = run(cluster_spec_info, hosts={"n1": {"fastpath_networks": networks}})
    assert wrong["failed"] and wrong["problems"][0]["variable"] == "fastpath_networks[0].pool"
    unseen = run(cluster_spec_info, hosts=hosts, seen={"n1": {**hosts["n1"], "fastpath_pools": {}}})
    assert unseen["failed"] and unseen["problems"][0]["variable"] == "fastpath_pools"


def test_what_a_node_brings(tmp_path, monkeypatch):
    fake = FakeNode(tmp_path)
    fake.add_pf(numa_node=1)
    monkeypatch.setattr(member_info, "Host", lambda: fake)
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "p"}]}]
    result = run(member_info, sriov=spec)
    documented = yaml.safe_load(member_info.RETURN)["devices"]["contains"]
    assert set(result["devices"][0]) == set(documented)
    late = run(member_info, sriov=spec, multus="thick", wait_timeout=0)
    assert late["failed"] and "Multus does not answer" in late["msg"]
    assert run(member_info, sriov=[{"pf": {"address": 1080.0}, "num_vfs": 1}])["problems"]


def test_plugins_from_the_archive_to_the_node(tmp_path, monkeypatch):
    source = tmp_path / "own.tar"
    with tarfile.open(source, "w") as target:
        item = tarfile.TarInfo("mine")
        item.size = 4
        target.addfile(item, io.BytesIO(b"\x7fELF"))
    options = {"names": ["mine"], "archives": [str(source)], "cache": str(tmp_path / "cache")}
    assert run(cni_bundle, **options, check=True)["archive"] == ""
    made = run(cni_bundle, **options)
    assert made["manifest"]["plugins"] == {"mine": hashlib.sha256(b"\x7fELF").hexdigest()}
    (tmp_path / "node").mkdir()
    monkeypatch.setattr(cni_plugins, "Host", lambda: Host(root=str(tmp_path / "node")))
    given = {"bundle": made["manifest"], "archive": made["archive"]}
    for step in (given, {"state": "absent"}):
        predicted = run(cni_plugins, **step, check=True)
        result = run(cni_plugins, **step)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(cni_plugins, **step)["changed"]
    assert run(cni_plugins, bundle={"schema": "x"})["problems"]


def test_refusals_of_plugins(tmp_path):
    result = run(cni_bundle, names=["nowhere"], cache=str(tmp_path))
    assert result["failed"] and "fastpath_cni_archives" in result["msg"]


def test_groups_of_agents(cluster):
    agent = {"pools": [{"name": "ports", "backend": "ovs", "bridge": "br0"}]}
    members = {"node1": {"devices": [], "agent": agent}}
    result = run(agent_groups, **ACCESS, members=members)
    assert set(result) >= KEYS | {"groups", "members", "host_nics"}
    (group,) = result["groups"]
    documented = yaml.safe_load(agent_groups.RETURN)["groups"]["contains"]
    assert set(group) == set(documented)
    ahead = run(agent_groups, **ACCESS, members=members, assign=True, check=True)
    assert [step["action"] for step in ahead["operations"]] == ["move_node_agent", "offer_ports"]
    assert cluster.writes == []
    wrong = run(agent_groups, **ACCESS, members={"node1": {"devices": [], "agent": {"pool": []}}})
    assert wrong["problems"][0]["variable"] == "fastpath_node_agent.pool"


def test_the_map_of_a_node_without_an_agent(tmp_path, monkeypatch):
    fake = FakeNode(tmp_path)
    monkeypatch.setattr(socket_map, "Host", lambda: fake)
    result = run(socket_map)
    assert (result["entries"], result["failed_checks"]) == ([], 1)
    assert run(socket_map, sriov=[{"pf": {"address": 1080.0}, "num_vfs": 1}])["problems"]


def test_the_nodes_side_of_an_agent(tmp_path, monkeypatch):
    fake = FakeNode(tmp_path)
    monkeypatch.setattr(node_agent, "Host", lambda: fake)
    result = run(node_agent, spec={"pools": [{"name": "a"}]}, check=True)
    assert set(result) >= KEYS
    assert [step["action"] for step in result["operations"]] == [
        "save_desired",
        "write_unit",
        "mount",
        "make_pods_folder",
    ]
    assert run(node_agent, state="absent")["changed"] is False
    assert run(node_agent, spec={"pools": 1})["problems"][0]["variable"] == "fastpath_node_agent.pools"
