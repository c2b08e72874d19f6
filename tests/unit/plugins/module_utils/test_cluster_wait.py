# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readiness: when it has come about, and what is said while it has not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import (
    condition,
    daemonset_ready,
    daemonset_unmet,
    on_node,
    pod_node,
    pod_ready,
    pod_unmet,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemon_pod, daemonset, node, pod


def running(wanted: int = 2, **status: Any) -> dict[str, Any]:
    item = daemonset("agent")
    item["metadata"].update(uid="ds", generation=3)
    item["status"] = {
        "observedGeneration": 3,
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": wanted,
        "updatedNumberScheduled": wanted,
        "numberReady": wanted,
        **status,
    }
    return item


NODES = [node("node1"), node("node2")]


def test_ready():
    assert daemonset_ready(running())
    assert daemonset_unmet(running(), [], NODES) == []


def test_no_node_to_run_on_is_right():
    assert daemonset_ready(running(0))
    item = running(0)
    item["status"] = {"observedGeneration": 3, "desiredNumberScheduled": 0}
    assert daemonset_ready(item)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"observedGeneration": 2}, "agent: the controller has not seen it yet"),
        ({"currentNumberScheduled": 1, "numberReady": 1}, "agent: 1 of 2 pods are there"),
        ({"updatedNumberScheduled": 1}, "agent: 1 of 2 pods are of the new kind"),
        ({"updatedNumberScheduled": 0}, "agent: 0 of 2 pods are of the new kind"),
        ({"numberReady": 1}, "agent: 1 of 2 pods are ready"),
    ],
)
def test_not_yet(status, words):
    item = running(**status)
    assert not daemonset_ready(item)
    assert daemonset_unmet(item, [daemon_pod(item, "node1"), daemon_pod(item, "node2")], NODES) == [words]


def test_a_new_daemonset_without_a_status():
    item = running()
    del item["status"]
    assert not daemonset_ready(item)
    assert daemonset_unmet(item, [], NODES) == ["agent: the controller has not seen it yet"]


def test_the_reason_is_said_node_by_node():
    item = running(numberReady=1)
    pods = [daemon_pod(item, "node1"), daemon_pod(item, "node2", ready=False), pod("stranger", ready=False)]
    assert daemonset_unmet(item, pods, NODES) == ["agent on node2: main: ImagePullBackOff (no such image)"]


def test_a_node_that_is_down_is_not_waited_for():
    item = running(numberReady=1)
    pods = [daemon_pod(item, "node1"), daemon_pod(item, "node2", ready=False)]
    assert daemonset_unmet(item, pods, [node("node1"), node("node2", ready=False)]) == []


def test_but_others_are_while_it_is_down():
    item = running(3, numberReady=1)
    pods = [daemon_pod(item, "node1", ready=False), daemon_pod(item, "node2", ready=False)]
    (reason,) = daemonset_unmet(item, pods, [node("node1"), node("node2", ready=False)])
    assert reason.startswith("agent on node1: ")


def test_pods_of_a_daemonset_know_their_node_before_they_are_scheduled():
    waiting = pod("a")
    del waiting["spec"]["nodeName"]
    assert pod_node(waiting) == ""
    rule = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node2"]}]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": []}, rule]}
    waiting["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    assert pod_node(waiting) == "node2"
    assert on_node([pod("b", on="node1"), waiting], "node2") == [waiting]


def unready(**status: Any) -> dict[str, Any]:
    made = pod("a", ready=False)
    made["status"].update(status)
    return made


def container(**state: Any) -> dict[str, Any]:
    return {"name": "main", **state}


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (pod("a"), ""),
        (unready(), "Running"),
        (unready(phase="Pending"), "Pending"),
        (
            unready(
                containerStatuses=[container(state={"waiting": {"reason": "CrashLoopBackOff", "message": "again"}})]
            ),
            "main: CrashLoopBackOff (again)",
        ),
        (
            unready(
                containerStatuses=[container(state={"waiting": {"reason": "PodInitializing"}})],
                initContainerStatuses=[container(state={"terminated": {"exitCode": 2, "message": "no\nroom"}})],
            ),
            "main: ended with exit code 2 (no room)",
        ),
        (unready(containerStatuses=[container(state={"terminated": {"exitCode": 0}})]), "Running"),
        (
            unready(conditions=[{"type": "PodScheduled", "status": "False", "message": "0/2 nodes fit"}]),
            "is not scheduled: 0/2 nodes fit",
        ),
    ],
)
def test_why_a_pod_is_not_ready(made, words):
    assert pod_unmet(made) == words
    assert pod_ready(made) is (words == "")


def test_a_pod_that_ends_is_not_ready():
    ending = pod("a")
    ending["metadata"]["deletionTimestamp"] = "now"
    assert pod_unmet(ending) == "is ending"


def test_long_words_are_cut():
    state = container(state={"waiting": {"reason": "ErrImagePull", "message": "x" * 500}})
    assert len(pod_unmet(unready(containerStatuses=[state]))) < 250


def test_conditions():
    assert condition(node("a"), "Ready") == "True"
    assert condition(node("a"), "Other") == ""
    assert condition({}, "Ready") == ""
