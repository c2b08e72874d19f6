# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pods leave a node, which stay, which cannot leave, and who holds devices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._drain import (
    DrainOptions,
    DrainPlan,
    covers_pod,
    device_addresses,
    holder_of,
    network_status,
    plan_drain,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import budget, pod
from hypothesis import given
from hypothesis import strategies as st

IGB = "nfv.fastpath/igb"
OURS = DrainOptions(resources=frozenset({IGB}))
STATUS = "k8s.v1.cni.cncf.io/network-status"


def identified(*pods: dict[str, Any]) -> list[dict[str, Any]]:
    for number, item in enumerate(pods):
        item["metadata"]["uid"] = f"uid-{number}"
    return list(pods)


def plan(*pods: dict[str, Any], budgets: Any = (), options: DrainOptions = OURS) -> DrainPlan:
    return plan_drain(identified(*pods), list(budgets), options)


def leaving(found: DrainPlan) -> list[str]:
    return [str(item) for item in found.leaving]


def test_who_leaves():
    found = plan(
        pod("web"),
        pod("mirror", annotations={"kubernetes.io/config.mirror": "x"}, owner="Node"),
        pod("daemon", owner="DaemonSet"),
        pod("done", phase="Succeeded", owner=""),
        pod("job", owner="Job"),
    )
    assert leaving(found) == ["apps/job", "apps/web"]
    assert (found.blocked, found.waits, found.holders) == ((), (), ())


def test_who_holds_devices():
    status = [
        {
            "name": "default/net",
            "interface": "net1",
            "device-info": {"type": "pci", "pci": {"pci-address": "0000:81:10.0"}},
        },
        {"name": "cbr0", "default": True},
    ]
    found = plan(pod("a", resources={IGB: "2", "cpu": "1"}, annotations={STATUS: json.dumps(status)}), pod("b"))
    assert [str(item) for item in found.holders] == ["apps/a (2 x nfv.fastpath/igb: 0000:81:10.0)"]
    assert [(item.name, item.has_devices) for item in found.leaving] == [("a", True), ("b", False)]


def test_only_those_with_devices():
    options = DrainOptions("devices", frozenset({IGB}))
    found = plan(pod("a", resources={IGB: "1"}), pod("b"), pod("lonely", owner=""), options=options)
    assert leaving(found) == ["apps/a"]
    assert found.blocked == ()


def test_a_daemon_with_devices_leaves_since_the_taint_keeps_it_off():
    found = plan(pod("d", owner="DaemonSet", resources={IGB: "1"}, volumes=[{"name": "x", "emptyDir": {}}]))
    assert leaving(found) == ["apps/d"]


@pytest.mark.parametrize(
    ("toleration", "blocked"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "nfv.fastpath/not-ready", "operator": "Exists"}, True),
        ({"key": "nfv.fastpath/not-ready"}, True),
        ({"key": "nfv.fastpath/not-ready", "value": "x"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}, False),
    ],
)
def test_a_daemon_that_would_come_right_back(toleration, blocked):
    found = plan(pod("d", owner="DaemonSet", resources={IGB: "1"}, tolerations=[toleration]))
    assert bool(found.blocked) is blocked
    if blocked:
        assert "it would come right back (apps/d (1 x nfv.fastpath/igb))" in found.blocked[0]


def test_a_pod_that_nobody_would_make_anew():
    found = plan(pod("lonely", owner=""))
    assert found.blocked == (
        "apps/lonely has no controller and would be lost: remove it yourself, or give consent with "
        "rollout_unmanaged_ok",
    )
    assert leaving(plan(pod("lonely", owner=""), options=DrainOptions(unmanaged_ok=True))) == ["apps/lonely"]


@pytest.mark.parametrize(
    ("folder", "blocked"),
    [
        ({}, True),
        ({"medium": ""}, True),
        ({"sizeLimit": "1Gi"}, True),
        ({"medium": "Memory"}, False),
        ({"medium": "HugePages"}, False),
        ({"medium": "HugePages-2Mi"}, False),
    ],
)
def test_files_in_a_pods_own_folder(folder, blocked):
    item = pod("a", volumes=[{"name": "scratch", "emptyDir": folder}, {"name": "x", "configMap": {}}])
    found = plan(item)
    assert bool(found.blocked) is blocked
    if blocked:
        assert "(scratch), which would be lost: give consent with rollout_local_data_ok" in found.blocked[0]
        assert leaving(plan(item, options=DrainOptions(local_data_ok=True))) == ["apps/a"]


def test_a_disruption_budget_that_allows_none_is_waited_for():
    found = plan(
        pod("a", labels={"app": "x"}), budgets=[budget("pdb", 0, {"app": "x"}), budget("other", 0, {"app": "y"})]
    )
    assert leaving(found) == ["apps/a"]
    assert found.leaving[0].budgets == ("pdb",)
    assert found.waits == ("apps/a waits for its disruption budget pdb, which allows none now",)


def test_a_disruption_budget_that_allows_some():
    found = plan(pod("a", labels={"app": "x"}), budgets=[budget("pdb", 1, {"app": "x"})])
    assert (leaving(found), found.waits) == (["apps/a"], ())


def test_several_disruption_budgets():
    found = plan(pod("a", labels={"app": "x"}), budgets=[budget("one", 1, {"app": "x"}), budget("two", 1, {})])
    assert found.leaving == ()
    assert "has several disruption budgets (one, two)" in found.blocked[0]


@pytest.mark.parametrize(
    ("selector", "labels", "covered"),
    [
        (None, {"a": "b"}, False),
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "x"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
    ],
)
def test_whom_a_budget_is_about(selector, labels, covered):
    item = budget("pdb", 0, {})
    item["spec"]["selector"] = selector
    assert covers_pod(item, pod("a", labels=labels)) is covered
    assert not covers_pod(item, pod("a", labels=labels, namespace="other"))


def test_devices_of_containers_and_of_those_before_them():
    item = pod("a", resources={IGB: "1"})
    item["spec"]["containers"].append({"name": "more", "resources": {"requests": {IGB: 2}}})
    item["spec"]["initContainers"] = [{"name": "first", "resources": {"limits": {IGB: "2"}}}, {"name": "none"}]
    assert holder_of(item, frozenset({IGB})).counts == ((IGB, 3),)
    item["spec"]["initContainers"][0]["resources"]["limits"][IGB] = "5"
    assert holder_of(item, frozenset({IGB})).counts == ((IGB, 5),)
    assert holder_of(pod("b", resources={IGB: "0"}), frozenset({IGB})) is None
    assert holder_of(pod("c", resources={"gpu.example.com/x": "1"}), frozenset({IGB})) is None
    assert holder_of(pod("d", resources={IGB: "1"}, phase="Failed"), frozenset({IGB})) is None


@pytest.mark.parametrize("text", ["", "x", "{}", "[1]", '[{"device-info": 1}]', '[{"device-info": {"pci": 1}}]'])
def test_a_status_that_says_nothing(text):
    assert device_addresses(pod("a", annotations={STATUS: text})) == ()


def test_a_status_of_vdpa():
    info = {"type": "vdpa", "vdpa": {"pci-address": "0000:02:00.2", "path": "/dev/vhost-vdpa-0"}, "version": "1.1.0"}
    item = pod("a", annotations={STATUS: json.dumps([{"device-info": info}])})
    assert device_addresses(item) == ("0000:02:00.2",)
    assert len(network_status(item)) == 1


PODS = st.lists(
    st.builds(
        lambda number, owner, asks, phase, labels: pod(
            f"p{number}", owner=owner, resources={IGB: "1"} if asks else {}, phase=phase, labels=labels
        ),
        st.integers(0, 99),
        st.sampled_from(["ReplicaSet", "DaemonSet", ""]),
        st.booleans(),
        st.sampled_from(["Running", "Succeeded", "Pending"]),
        st.sampled_from([{}, {"app": "x"}]),
    ),
    max_size=6,
    unique_by=lambda item: item["metadata"]["name"],
)


@given(PODS, st.sampled_from(["node", "devices"]), st.booleans())
def test_after_the_drain_no_pod_has_devices_and_nothing_is_left_to_do(pods, scope, unmanaged_ok):
    options = DrainOptions(scope, frozenset({IGB}), unmanaged_ok)
    found = plan_drain(identified(*pods), [], options)
    if not found.blocked:
        gone = {item.uid for item in found.leaving}
        left = [item for item in pods if item["metadata"]["uid"] not in gone]
        again = plan_drain(left, [], options)
        assert (again.leaving, again.holders, again.blocked) == ((), (), ())
    names = {str(item) for item in found.leaving}
    assert not names & {text.split(" ")[0] for text in found.blocked}
