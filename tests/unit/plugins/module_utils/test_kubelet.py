# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kubelet's policies: arithmetic, what it has to forget, when it starts anew, cut off anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kubelet_node
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import (
    NumaNode,
    parse_kubelet,
    parse_quantity,
    place_memory,
    show_bytes,
)
from ansible_collections.nfv.fastpath.tests.unit.kubelet_node import CONF, GIB, STATE, UNIT, KubeletNode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEBI = 2**20
FULL = {
    "cpu_manager": "static",
    "cpu_manager_options": {"full-pcpus-only": True},
    "topology_manager": "single-numa-node",
    "topology_scope": "pod",
    "memory_manager": "static",
    "reserved_cpus": "0,4",
    "kube_reserved": {"memory": "300Mi"},
    "system_reserved": {"memory": "200Mi"},
}


def run(node: KubeletNode, spec: Any = None, dry_run: bool = False, consent: bool = False, ahead: bool = False) -> Any:
    return converge(KubeletConcern(node, ahead), Request(spec, spec is not None, dry_run, consent))


def actions(plan: Any) -> list[str]:
    return [step.action for step in plan.operations if step.action != "save_desired"]


def conf(node: KubeletNode) -> Any:
    return json.loads(node.text(CONF) or "null")


def policy(node: KubeletNode, name: str) -> str:
    return json.loads(node.text(f"{STATE}/{name}_manager_state") or "{}").get("policyName", "")


@pytest.fixture
def node(tmp_path):
    return KubeletNode(tmp_path)


def test_in_order(node):
    start = node.tree()
    ahead = run(node, FULL, dry_run=True)
    assert (node.tree(), node.starts) == (start, 1)
    first = run(node, FULL)
    assert first.operations == ahead.operations
    assert actions(first) == [
        "stop_kubelet",
        "remove_state",
        "remove_state",
        "write_file",
        "write_file",
        "reload_units",
        "start_kubelet",
    ]
    assert (node.crash, policy(node, "cpu"), policy(node, "memory")) == ("", "static", "Static")
    assert conf(node) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cpuManagerPolicy": "static",
        "cpuManagerPolicyOptions": {"full-pcpus-only": "true"},
        "topologyManagerPolicy": "single-numa-node",
        "topologyManagerScope": "pod",
        "memoryManagerPolicy": "Static",
        "reservedSystemCPUs": "0,4",
        "kubeReserved": {"memory": "300Mi"},
        "systemReserved": {"memory": "200Mi"},
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "10%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "15%",
        },
        "reservedMemory": [
            {"numaNode": 0, "limits": {"memory": "300Mi"}},
            {"numaNode": 1, "limits": {"memory": "300Mi"}},
        ],
    }
    after, changes, starts = node.tree(), node.changes, node.starts
    assert not run(node, FULL).changed
    assert (node.tree(), node.changes, node.starts) == (after, changes, starts)
    assert all(check.ok for check in verify(KubeletConcern(node), FULL))
    gone = run(node)
    assert actions(gone) == [
        "stop_kubelet",
        "remove_state",
        "remove_state",
        "remove_file",
        "remove_file",
        "reload_units",
        "start_kubelet",
        "forget",
    ]
    assert (node.tree(), node.crash, policy(node, "cpu"), policy(node, "memory")) == (start, "", "none", "None")
    assert not run(node).changed


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


def test_after_a_boot_with_other_pages_it_is_brought_back(node):
    """It came up with the pages of this boot, and the memory of the one before."""
    run(node, FULL)
    node.pages(0, 1048576, 1)
    node.boot()
    assert "memory state differs" in node.crash
    assert actions(run(node, FULL)) == ["stop_kubelet", "remove_state", "start_kubelet"]
    assert node.crash == "" and not run(node, FULL).changed


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


def test_a_folder_that_the_kubelet_reads_already_is_used(tmp_path):
    node = KubeletNode(tmp_path, joined=False)
    node.exec_start = "/usr/bin/kubelet --config-dir=/etc/own.d"
    node.put("etc/own.d/10-own.conf", '{"maxPods": 50}')
    node.start()
    run(node, FULL)
    assert node.crash == "" and node.exists("/etc/own.d/90-fastpath.conf")
    assert "Environment" not in (node.text(UNIT) or "")
    assert not run(node, FULL).changed
    run(node)
    assert node.listdir("/etc/own.d") == ["10-own.conf"]


def test_a_node_that_has_not_joined_yet(tmp_path):
    node = KubeletNode(tmp_path, joined=False)
    assert actions(run(node, FULL)) == ["write_file", "write_file", "reload_units"]
    assert not run(node, FULL).changed
    node.start()
    assert node.crash == "" and not run(node, FULL).changed


def test_looking_ahead_needs_no_kubelet(tmp_path):
    node = KubeletNode(tmp_path, joined=False)
    node.version, node.loaded = "", False
    with pytest.raises(Refused, match="bring it into a cluster first"):
        run(node, FULL)
    assert actions(run(node, FULL, dry_run=True, ahead=True)) == ["write_file", "write_file"]


def test_one_that_does_not_come_up_is_told_and_tried_again(node, monkeypatch):
    monkeypatch.setattr(_kubelet_node, "SECONDS", 0.01)
    monkeypatch.setattr(node, "_machine", lambda placed: 1 / 0)
    real = node._kubelet
    monkeypatch.setattr(node, "_kubelet", lambda words: "failed to run Kubelet: no")
    with pytest.raises(FastpathError, match="does not come up with its new configuration: failed to run Kubelet: no"):
        run(node, FULL)
    monkeypatch.undo()
    assert real(["kubelet"]) is not None
    run(node, FULL)
    assert node.crash == ""


@pytest.mark.parametrize("pages", [0, 1])
def test_cut_off_anywhere(tmp_path, pages):
    cut = 0
    while True:
        node = KubeletNode(tmp_path / f"{cut}")
        before = node.tree()
        if pages:
            run(node, {**FULL, "reserved_cpus": "0-1"})
            node.pages(1, 1048576, pages)
        with node.cut_off(cut) as power:
            run(node, FULL)
        if cut % 2:
            node.boot()
        run(node, FULL)
        assert (node.crash, node.active, policy(node, "memory")) == ("", True, "Static")
        assert not run(node, FULL).changed
        with node.cut_off(cut) as teardown:
            run(node)
        if teardown.gone:
            run(node)
        assert (node.tree(), node.crash, node.active) == (before, "", True), cut
        if not power.gone:
            break
        cut += 1
    assert cut > 6


def test_one_that_somebody_stopped_stays_stopped(node):
    run(node, FULL)
    node.stop()
    assert not run(node, FULL).changed
    run(node, {**FULL, "config": {"maxPods": 9}})
    assert not node.active


def test_somebody_edited_our_file(node):
    run(node, FULL)
    node.put(CONF, "{}")
    plan = run(node, FULL)
    assert plan.warnings and actions(plan) == ["stop_kubelet", "write_file", "start_kubelet"]
    node.put(CONF, '{"maxPods": 3}')
    assert "release" in actions(run(node))
    assert conf(node) == {"maxPods": 3}


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


def test_a_unit_of_another_make(node):
    node.exec_start = "/usr/local/bin/k3s agent"
    node.boot()
    with pytest.raises(Refused, match=r"does not hand \$KUBELET_CONFIG_ARGS"):
        run(node, {})


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


def test_every_problem_at_once():
    _spec, problems = parse_kubelet(
        {
            "cpu_manger": "static",
            "cpu_manager": "static",
            "topology_manager": "numa",
            "topology_scope": 3,
            "memory_manager": "none",
            "reserved_cpus": "5-2",
            "reserved_memory": {"a": "1Gi", 0: "much"},
            "kube_reserved": {"memory": "1X", "gpu": "1", "cpu": "some"},
            "system_reserved": "1Gi",
            "eviction_hard": {"memory.available": "few"},
            "cpu_manager_options": {"a": []},
            "config": {"evictionHard": {}, "kind": "x", "maxPods": 3},
        }
    )
    assert {problem.variable.removeprefix("fastpath_kubelet.") for problem in problems} == {
        "cpu_manger",
        "cpu_manager",
        "topology_manager",
        "topology_scope",
        "reserved_cpus",
        "reserved_memory.a",
        "reserved_memory.0",
        "reserved_memory",
        "kube_reserved.memory",
        "kube_reserved.gpu",
        "kube_reserved.cpu",
        "system_reserved",
        "eviction_hard.memory.available",
        "cpu_manager_options.a",
        "config.evictionHard",
        "config.kind",
    }
    assert parse_kubelet([])[1] and parse_kubelet({"cpu_manager_options": {"x": "y"}})[1]
    assert parse_kubelet(None) == parse_kubelet({})


def test_quantities():
    assert [parse_quantity(text) for text in ("1Ki", "2M", 5, "3Gi")] == [1024, 2 * 10**6, 5, 3 * GIB]
    assert [parse_quantity(text) for text in ("1.5Gi", "", None, True, "-1", "1gi")] == [None] * 6
    assert (show_bytes(3 * GIB), show_bytes(7)) == ("3072Mi", "7")


AMOUNTS = st.integers(0, 2000).map(lambda size: f"{size}Mi") | st.integers(0, GIB).map(str)


@given(
    kube=AMOUNTS,
    system=AMOUNTS,
    eviction=st.sampled_from(["100Mi", "1%", "2.5%", "333333"]),
    cpus=st.sets(st.integers(0, 7), min_size=1, max_size=7),
)
def test_the_sum_is_right_to_the_byte(kube, system, eviction, cpus):
    spec, problems = parse_kubelet(
        {
            "memory_manager": "Static",
            "reserved_cpus": sorted(cpus),
            "kube_reserved": {"memory": kube},
            "system_reserved": {"memory": system},
            "eviction_hard": {"memory.available": eviction},
        }
    )
    assert problems == []
    numa = {0: NumaNode(8 * GIB, (0, 1, 2, 3)), 1: NumaNode(8 * GIB, (4, 5, 6, 7))}
    placed, wrong = place_memory(spec, numa, 16 * GIB + 4096)
    assert wrong == []
    assert sum(placed.values()) == spec.reserved_bytes(16 * GIB + 4096)
    assert {number for number, size in placed.items() if size} <= {cpu // 4 for cpu in cpus}


SPECS = st.fixed_dictionaries(
    {"reserved_cpus": st.sampled_from(["0", "0,4", "4-5"])},
    optional={
        "cpu_manager": st.sampled_from(["static", "none"]),
        "topology_manager": st.sampled_from(["none", "single-numa-node"]),
        "memory_manager": st.sampled_from(["Static", "None"]),
        "kube_reserved": st.sampled_from([{"memory": "300Mi"}, {"memory": "123456789"}, {"cpu": "1"}]),
        "eviction_hard": st.sampled_from([{"memory.available": "5%"}, {"nodefs.available": "1%"}]),
        "config": st.sampled_from([{"maxPods": 50}, {}]),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(SPECS, st.integers(0, 2)), min_size=1, max_size=4))
def test_whatever_is_wanted_in_turn(tmp_path_factory, steps):
    """The kubelet of the model refuses all that the real one refuses."""
    node = KubeletNode(tmp_path_factory.mktemp("node"))
    before = node.tree()
    for spec, pages in steps:
        node.pages(1, 1048576, pages)
        run(node, spec)
        assert node.crash == "", spec
        assert not run(node, spec).changed
        assert all(check.ok for check in verify(KubeletConcern(node), spec))
    run(node)
    assert (node.tree(), node.crash) == (before, "")
