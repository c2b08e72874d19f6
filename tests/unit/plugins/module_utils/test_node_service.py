# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Out of service, with a cluster that answers, does not, holds back, and changes its mind; the way there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import marked
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_cluster import (
    offered_resources,
    unreadable_configs,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._drain import MIRROR, DrainOptions
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import KubeError
from ansible_collections.nfv.fastpath.plugins.module_utils._node_service import service_result
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import budget, node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.node_service_words import (
    IGB,
    IN_SERVICE,
    service,
    state,
)


def test_out_and_back():
    cluster = FakeCluster(node("node1", allocatable={IGB: "2"}), pod("a"), pod("b", on="node2"))
    kube = cluster.kube()
    result = service().take_out(kube, False)
    assert result["changed"]
    assert [(step["action"], step["target"]) for step in result["operations"]] == [
        ("take_out", "node1"),
        ("evict", "apps/a"),
    ]
    assert result["emptied"]
    assert cluster.names("Pod") == ["b"]
    assert state(cluster) == {
        "rollout": "out",
        "rollout-reason": "VFs change (if no run is going on, the last one was cut off)",
        "rollout-since": "now",
        "rollout-cordoned": "true",
        "unschedulable": True,
        "taints": ["nfv.fastpath/not-ready"],
    }
    again = service().take_out(kube, False)
    assert (again["changed"], again["operations"]) == (False, [])
    back = service(expected={IGB: 2}).bring_back(kube, False)
    assert [step["action"] for step in back["operations"]] == ["bring_back"]
    assert state(cluster) == IN_SERVICE
    cluster.forget_calls()
    assert not service(expected={IGB: 2}).bring_back(kube, False)["changed"]
    assert cluster.writes == []


def test_check_mode_says_the_same_and_does_nothing():
    cluster = FakeCluster(node("node1"), pod("a"))
    ahead = service().take_out(cluster.kube(), True)
    assert cluster.writes == []
    assert ahead["dry_run"]
    real = service().take_out(cluster.kube(), False)
    assert real["operations"] == ahead["operations"]
    assert not real["dry_run"]
    ahead = service().bring_back(cluster.kube(), True)
    assert state(cluster)["unschedulable"]
    assert service().bring_back(cluster.kube(), False)["operations"] == ahead["operations"]


def test_without_consent_pods_that_hold_devices_are_named():
    cluster = FakeCluster(node("node1"), pod("a", resources={IGB: "2"}), pod("b"))
    options = DrainOptions("node", frozenset({IGB}))
    for dry_run in (True, False):
        with pytest.raises(FastpathError) as refused:
            service(drain=options, consent=False).take_out(cluster.kube(), dry_run)
        assert refused.value.message == (
            "Refused for node1, no pod was moved away: VFs change. Pods would have to leave: apps/a "
            "(2 x nfv.fastpath/igb), apps/b. Give consent with fastpath_disruption_ok, and they are moved away first."
        )
        assert refused.value.details["holders"] == ["apps/a (2 x nfv.fastpath/igb)"]
    assert (cluster.writes, state(cluster)) == ([], IN_SERVICE)


def test_without_consent_and_without_pods():
    cluster = FakeCluster(node("node1"))
    with pytest.raises(FastpathError, match="VFs change. No pod would have to leave"):
        service(consent=False).take_out(cluster.kube(), False)


def test_a_reboot_needs_consent_to_move_pods_but_none_on_an_empty_node():
    cluster = FakeCluster(
        node("node1"), pod("a"), pod("agent", owner="DaemonSet"), pod("etcd", annotations={MIRROR: "x"})
    )
    reboot = service(reason="it reboots", consent=False, disruptive=False)
    with pytest.raises(FastpathError, match="it reboots. Pods would have to leave: apps/a. Give consent with fast"):
        reboot.take_out(cluster.kube(), False)
    assert (cluster.writes, state(cluster)) == ([], IN_SERVICE)
    cluster.drop(pod("a"))
    assert reboot.take_out(cluster.kube(), False)["emptied"]
    assert state(cluster)["unschedulable"]
    assert cluster.names("Pod") == ["agent", "etcd"]


def plugin_config(*names: str) -> dict[str, Any]:
    entries = [{"resourcePrefix": "nfv.fastpath", "resourceName": name, "selectors": {}} for name in names]
    item = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "sriov-device-plugin-x", "namespace": "kube-system"},
        "data": {"config.json": json.dumps({"resourceList": entries})},
    }
    return marked(item, "device_plugin")


def test_devices_that_are_no_longer_in_the_spec_are_held_all_the_same():
    cluster = FakeCluster(node("node1"), plugin_config("old"), pod("a", resources={"nfv.fastpath/old": "1"}), pod("b"))
    result = service(drain=DrainOptions("devices")).take_out(cluster.kube(), False)
    assert result["holders"] == ["apps/a (1 x nfv.fastpath/old)"]
    assert cluster.names("Pod") == ["b"]


def test_a_configuration_that_cannot_be_read_offers_nothing_and_that_is_said():
    for text in ("", "x", "[]", '{"resourceList": [1]}', '{"resourceList": [{}]}'):
        item = plugin_config()
        item["data"]["config.json"] = text
        assert offered_resources([item]) == frozenset()
        (warning,) = unreadable_configs([plugin_config("igb"), item])
        assert "The ConfigMap kube-system/sriov-device-plugin-x was edited" in warning
        only = service(if_needed=True, drain=DrainOptions("devices"))
        for dry_run in (True, False):
            assert only.take_out(FakeCluster(node("node1"), item).kube(), dry_run)["warnings_found"] == [warning]
    assert unreadable_configs([plugin_config(), plugin_config("igb")]) == ()


def test_only_if_needed():
    """Nobody holds devices: the node stays in service. One that was out before is not forgotten."""
    cluster = FakeCluster(node("node1"), pod("a"))
    only = service(if_needed=True, consent=False, drain=DrainOptions("devices", frozenset({IGB})))
    result = only.take_out(cluster.kube(), False)
    assert (result["changed"], result["emptied"]) == (False, False)
    assert state(cluster) == IN_SERVICE
    cluster.put(pod("b", resources={IGB: "1"}))
    with pytest.raises(FastpathError, match="Pods would have to leave: apps/b"):
        only.take_out(cluster.kube(), False)
    replace(only, consent=True).take_out(cluster.kube(), False)
    assert cluster.names("Pod") == ["a"]
    assert state(cluster)["unschedulable"]


def test_holders_are_named():
    cluster = FakeCluster(node("node1"), pod("a", resources={IGB: "1"}))
    options = DrainOptions("devices", frozenset({IGB}))
    result = service(drain=options).take_out(cluster.kube(), False)
    assert result["holders"] == ["apps/a (1 x nfv.fastpath/igb)"]


def test_what_cannot_leave_is_refused_before_anything_is_changed():
    cluster = FakeCluster(
        node("node1"), pod("a"), pod("lonely", owner=""), pod("x", volumes=[{"name": "d", "emptyDir": {}}])
    )
    with pytest.raises(Refused) as refused:
        service().take_out(cluster.kube(), False)
    assert len(refused.value.problems) == 2
    assert "cannot be drained: apps/lonely has no controller" in str(refused.value.problems[0])
    assert (cluster.writes, state(cluster)) == ([], IN_SERVICE)


def test_a_pod_that_came_in_the_last_moment_is_not_overlooked():
    cluster = FakeCluster(node("node1"))
    original = cluster.request

    def request(ask: Any) -> Any:
        answer = original(ask)
        budgets_asked = ask.path == "/apis/policy/v1/poddisruptionbudgets"
        if budgets_asked and not state(cluster)["unschedulable"]:
            cluster.put(pod("late"))
        return answer

    cluster.request = request  # type: ignore[method-assign]
    service().take_out(cluster.kube(), False)
    assert cluster.names("Pod") == []


def test_and_if_it_cannot_leave_the_node_says_so():
    cluster = FakeCluster(node("node1"))
    original = cluster.request
    came: list[str] = []

    def request(ask: Any) -> Any:
        if ask.method == "PATCH" and not came:
            came.append("late")
            cluster.put(pod("late", owner=""))
        return original(ask)

    cluster.request = request  # type: ignore[method-assign]
    with pytest.raises(FastpathError, match="apps/late has no controller"):
        service().take_out(cluster.kube(), False)
    assert state(cluster)["rollout"] == "failed"


def test_a_budget_holds_back_until_the_other_replica_is_ready():
    cluster = FakeCluster(node("node1"), pod("a", labels={"app": "x"}), pod("b"), budget("pdb", 0, {"app": "x"}))

    def recover() -> None:
        if cluster.now >= 20:
            cluster.find("PodDisruptionBudget", "pdb", "apps")["status"]["disruptionsAllowed"] = 1

    cluster.on_sleep.append(recover)
    result = service().take_out(cluster.kube(), False)
    assert result["waits"] == ["apps/a waits for its disruption budget pdb, which allows none now"]
    assert cluster.writes.index("EVICT apps/b") < cluster.writes.index("EVICT apps/a")
    assert 20 <= cluster.now < 30


def test_a_budget_that_never_allows_it():
    cluster = FakeCluster(node("node1"), pod("a", labels={"app": "x"}), pod("b"), budget("pdb", 0, {"app": "x"}))
    with pytest.raises(FastpathError) as failed:
        service(drain_timeout=60).take_out(cluster.kube(), False)
    assert failed.value.message == (
        "Node node1 is not empty after 60 s: apps/a is held back: Cannot evict pod as it would violate the pod's "
        "disruption budget a."
    )
    assert cluster.now == 60
    assert cluster.names("Pod") == ["a"]
    after = state(cluster)
    assert (after["rollout"], after["unschedulable"]) == ("failed", True)
    assert "is held back" in after["rollout-reason"]


def test_a_pod_that_does_not_end():
    cluster = FakeCluster(node("node1"), pod("a", finalizers=["example.com/keep"]))
    with pytest.raises(FastpathError, match=r"apps/a waits for its finalizers \(example.com/keep\)"):
        service(drain_timeout=10).take_out(cluster.kube(), False)


def test_a_pod_of_the_same_name_that_took_its_place_is_another_pod():
    """A StatefulSet makes the pod anew at once; only what was there is evicted."""
    cluster = FakeCluster(node("node1"), pod("db-0", owner="StatefulSet"))

    def anew() -> None:
        if not cluster.names("Pod"):
            cluster.put(pod("db-0", on="node2", owner="StatefulSet"))

    cluster.on_sleep.append(anew)
    service().take_out(cluster.kube(), False)
    assert [item["spec"]["nodeName"] for item in cluster.of("Pod")] == ["node2"]
    assert cluster.writes.count("EVICT apps/db-0") == 1


def test_the_api_server_is_away_for_a_minute():
    cluster = FakeCluster(node("node1"), pod("a"))
    cluster.down = 30
    service().take_out(cluster.kube(patience=120), False)
    assert cluster.names("Pod") == []
    assert cluster.now >= 60


def test_the_api_server_stays_away():
    cluster = FakeCluster(node("node1"), pod("a"))
    cluster.down = 10**6
    with pytest.raises(KubeError, match="did not answer GET /api/v1/nodes/node1 for 30 s"):
        service().take_out(cluster.kube(patience=30), False)


def test_somebody_else_writes_the_node_at_the_same_time():
    cluster = FakeCluster(node("node1"))
    original = cluster.request
    left = [2]

    def request(ask: Any) -> Any:
        if ask.method == "PATCH" and left[0]:
            left[0] -= 1
            item = cluster.find("Node", "node1")
            item["spec"].setdefault("taints", []).append({"key": f"other{left[0]}", "effect": "NoSchedule"})
            cluster.put(item)
        return original(ask)

    cluster.request = request  # type: ignore[method-assign]
    service().take_out(cluster.kube(), False)
    assert state(cluster)["taints"] == ["other1", "other0", "nfv.fastpath/not-ready"]


def test_a_node_that_is_yet_to_join_is_foreseen_as_it_will_be():
    """Without pods and with the taint. Once it should be there, it has to be."""
    cluster = FakeCluster()
    coming = service(joins=True, consent=False)
    taken = service(joins=True).take_out(cluster.kube(), True)
    assert [step["action"] for step in taken["operations"]] == ["take_out"]
    assert service(joins=True, if_needed=True).take_out(cluster.kube(), True)["operations"] == []
    assert [step["action"] for step in coming.bring_back(cluster.kube(), True)["operations"]] == ["bring_back"]
    with pytest.raises(FastpathError, match="No pod would have to leave"):
        coming.take_out(cluster.kube(), True)
    for work in (coming.take_out, coming.bring_back):
        with pytest.raises(Refused, match="is no node of the cluster"):
            work(cluster.kube(), False)


def test_no_such_node():
    for work in (service().take_out, service().bring_back, service().mark_failed):
        with pytest.raises(Refused, match="fastpath_node_name = 'node1': is no node of the cluster"):
            work(FakeCluster().kube(), False)


def test_cut_off_between_any_two_requests_the_next_run_goes_on():
    """Killed after each request in turn; the run after it ends where an undisturbed one ends."""

    class Cut(BaseException):
        pass

    def run(cluster: FakeCluster) -> None:
        service().take_out(cluster.kube(), False)
        service(expected={IGB: 2}).bring_back(cluster.kube(), False)

    for limit in range(60):
        cluster = FakeCluster(node("node1", allocatable={IGB: "2"}), pod("a"), pod("b"))
        original = cluster.request

        def request(ask: Any, cluster: Any = cluster, original: Any = original, limit: int = limit) -> Any:
            if len(cluster.calls) >= limit:
                raise Cut
            return original(ask)

        cluster.request = request  # type: ignore[method-assign]
        try:
            run(cluster)
        except Cut:
            cluster.request = original  # type: ignore[method-assign]
            run(cluster)
            assert state(cluster) == IN_SERVICE
            assert cluster.names("Pod") == []
        else:
            break
    else:
        raise AssertionError("never ran through")


def test_requests_do_not_depend_on_the_cluster():
    counts = []
    for number in (1, 60):
        others = [node(f"n{index}") for index in range(number)]
        cluster = FakeCluster(node("node1"), *others, *[pod(f"p{index}", on=f"n{index}") for index in range(number)])
        service().take_out(cluster.kube(), False)
        service().bring_back(cluster.kube(), False)
        counts.append(len(cluster.calls))
    assert counts[0] == counts[1]


def test_the_module():
    cluster = FakeCluster(node("node1"), pod("a", resources={IGB: "1"}), pod("b"))
    params = {
        "node": "node1",
        "state": "out",
        "reason": "r",
        "scope": "devices",
        "resources": [IGB],
        "unmanaged_ok": False,
        "local_data_ok": False,
        "drain_timeout": 10,
        "expected": {},
        "consent": True,
        "disruptive": True,
        "if_needed": False,
        "boot_id": None,
        "wait_timeout": 10,
        "joins": False,
        "gone_ok": False,
    }
    service_result(cluster.kube(), params, False)
    assert cluster.names("Pod") == ["b"]
    empty = FakeCluster()
    gone = service_result(empty.kube(), {**params, "gone_ok": True}, False)
    assert (gone["operations"], len(gone["warnings_found"]), empty.writes) == ([], 1, [])
    service_result(cluster.kube(), {**params, "state": "failed", "reason": "f"}, False)
    assert state(cluster)["rollout-reason"] == "f"
    with pytest.raises(FastpathError, match="nfv.fastpath/igb is 0, expected 1"):
        service_result(cluster.kube(), {**params, "state": "back", "expected": {IGB: "1"}}, False)
