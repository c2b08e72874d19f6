# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kubelet shall do and what it has to forget: policies, amounts, what a node cannot do."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern
from ansible_collections.nfv.fastpath.tests.unit.kubelet_node import (
    FULL,
    STATE,
    KubeletNode,
    actions,
    conf,
    policy,
    run,
)


@pytest.fixture
def node(tmp_path):
    return KubeletNode(tmp_path)


def test_the_main_files_amounts_do_not_spoil_the_sum(node):
    node.base = {"kubeReserved": {"memory": "999Mi", "cpu": "1"}, "evictionHard": {"memory.available": "777Mi"}}
    run(node, {"memory_manager": "Static"})
    assert node.crash == "" and policy(node, "memory") == "Static"


def test_a_policy_change_below_pods_needs_consent(node):
    node.guaranteed_pods(4)
    with pytest.raises(
        FastpathError,
        match=r"4 Guaranteed pods run here as the former policy placed them \(CPU manager none becomes static",
    ):
        run(node, FULL)
    assert conf(node) is None and node.starts == 1
    assert run(node, FULL, consent=True).disruptive


def test_pods_without_cpus_of_their_own_do_not_notice(node):
    node.other_pod()
    run(node, FULL)
    assert policy(node, "cpu") == "static"


def test_what_changes_no_policy_needs_no_consent(node):
    node.guaranteed_pods(4)
    plan = run(node, {"config": {"maxPods": 200}})
    assert not plan.disruptive
    assert actions(plan) == ["stop_kubelet", "write_file", "write_file", "reload_units", "start_kubelet"]
    assert conf(node)["maxPods"] == 200
    assert actions(run(node, {"config": {"maxPods": 100}})) == ["stop_kubelet", "write_file", "start_kubelet"]


def test_hugepages_that_the_kubelet_has_not_seen(node):
    run(node, {"cpu_manager": "static", "reserved_cpus": "0-1"})
    node.pages(1, 2048, 512)
    failed = [
        check
        for check in verify(KubeletConcern(node), {"cpu_manager": "static", "reserved_cpus": "0-1"})
        if not check.ok
    ]
    assert [check.id for check in failed] == ["kubelet.hugepages_seen"]
    plan = run(node, {"cpu_manager": "static", "reserved_cpus": "0-1"})
    assert actions(plan) == ["stop_kubelet", "start_kubelet"]
    assert not run(node, {"cpu_manager": "static", "reserved_cpus": "0-1"}).changed


def test_hugepages_change_what_the_memory_manager_remembers(node):
    run(node, FULL)
    node.guaranteed_pods(2)
    node.pages(1, 1048576, 1)
    with pytest.raises(FastpathError, match="NUMA node 1 has other hugepages now"):
        run(node, FULL)
    assert actions(run(node, FULL, consent=True)) == ["stop_kubelet", "remove_state", "start_kubelet"]
    assert node.crash == ""


def test_other_amounts_change_it_too(node):
    run(node, FULL)
    plan = run(node, {**FULL, "kube_reserved": {"memory": "500Mi"}})
    assert actions(plan) == ["stop_kubelet", "remove_state", "write_file", "start_kubelet"]
    assert node.crash == ""


def test_fewer_cpus_for_pods(node):
    run(node, FULL)
    path = f"{STATE}/cpu_manager_state"
    state = {"policyName": "static", "defaultCpuSet": "0,4-7", "entries": {"pod": {"main": "1-3"}}}
    node.put(path, json.dumps(state))
    assert not run(node, FULL, dry_run=True).changed
    plan = run(node, {**FULL, "reserved_cpus": "0-1"}, dry_run=True)
    assert "remove_state" in actions(plan)
    node.put("sys/devices/system/cpu/online", "0-6\n")
    assert [step.target for step in run(node, FULL, dry_run=True).operations if step.action == "remove_state"] == [
        f"/{path}"
    ]


def test_strictly_reserved_cpus_are_not_shared(node):
    spec = {"cpu_manager": "static", "reserved_cpus": "0-1", "cpu_manager_options": {"strict-cpu-reservation": "true"}}
    run(node, spec, dry_run=True)
    node.put(f"{STATE}/cpu_manager_state", json.dumps({"policyName": "static", "defaultCpuSet": "2-7", "entries": {}}))
    assert "remove_state" not in actions(run(node, spec, dry_run=True))
    node.put(f"{STATE}/cpu_manager_state", json.dumps({"policyName": "static", "defaultCpuSet": "0-7", "entries": {}}))
    assert "remove_state" in actions(run(node, spec, dry_run=True))


def test_a_state_file_that_cannot_be_read_is_removed(node):
    run(node, FULL)
    node.put(f"{STATE}/cpu_manager_state", "{")
    assert "remove_state" in actions(run(node, FULL))


def test_a_policy_that_is_no_longer_said_is_the_former_one(node):
    run(node, FULL)
    plan = run(node, {"topology_manager": "best-effort"})
    assert actions(plan).count("remove_state") == 2
    assert (policy(node, "cpu"), policy(node, "memory"), node.crash) == ("none", "None", "")


def test_looking_ahead_needs_no_kubelet(tmp_path):
    node = KubeletNode(tmp_path, joined=False)
    node.version, node.loaded = "", False
    with pytest.raises(Refused, match="bring it into a cluster first"):
        run(node, FULL)
    assert actions(run(node, FULL, dry_run=True, ahead=True)) == ["write_file", "write_file"]


@pytest.mark.parametrize(
    ("version", "spec", "words"),
    [
        ("Kubernetes v1.15.12", {}, "server-side apply"),
        ("Kubernetes v1.29.9", {}, "reads no further configuration before 1.30"),
    ],
)
def test_versions(node, version, spec, words):
    node.version = version
    with pytest.raises(Refused, match=words):
        run(node, spec)


@pytest.mark.parametrize(
    ("more", "variable", "words"),
    [
        ({"reserved_cpus": "0,9"}, "reserved_cpus", "it has 0-7"),
        ({"reserved_cpus": "0-7"}, "reserved_cpus", "leaves no CPU for pods"),
        (
            {"reserved_memory": {0: "600Mi", 2: "0"}, "kube_reserved": {"memory": "301Mi"}},
            "reserved_memory",
            "must be 601Mi",
        ),
        ({"reserved_memory": {0: "100Mi", 3: "500Mi"}}, "reserved_memory.3", "there are 0, 1"),
        (
            {"reserved_memory": {1: "5Gi"}, "kube_reserved": {"memory": "4820Mi"}},
            "reserved_memory.1",
            "is more than its 4096Mi",
        ),
        (
            {"kube_reserved": {"memory": "7Gi"}, "reserved_cpus": "0"},
            "reserved_memory",
            "say how much comes from where",
        ),
        (
            {"kube_reserved": {}, "system_reserved": {}, "eviction_hard": {"memory.available": "0"}},
            "memory_manager",
            "refuses none at all",
        ),
    ],
)
def test_what_this_node_cannot_do(node, more, variable, words):
    before = node.tree()
    with pytest.raises(Refused, match=words) as caught:
        run(node, {**FULL, **more})
    assert f"fastpath_kubelet.{variable}" in [problem.variable for problem in caught.value.problems]
    assert node.tree() == before and node.starts == 1


def test_memory_may_be_placed_by_hand(node):
    run(node, {**FULL, "reserved_memory": {"1": "600Mi"}})
    assert conf(node)["reservedMemory"] == [{"numaNode": 1, "limits": {"memory": "600Mi"}}]
    assert node.crash == ""
