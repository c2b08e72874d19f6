# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back in service, once all is there that the node has to offer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import marked
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemonset, node
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.node_service_words import (
    IGB,
    IN_SERVICE,
    service,
    state,
)


def out(*items: dict[str, Any], **more: Any) -> FakeCluster:
    cluster = FakeCluster(node("node1", **more), *items)
    service().take_out(cluster.kube(), False)
    return cluster


def test_back_only_when_all_is_there():
    """Right after a reboot the API server still tells of the time before it."""
    cluster = out(boot_id="old", allocatable={IGB: "2"})
    cluster.apply(marked(daemonset("kube-multus-ds"), "multus"))
    item = cluster.find("Node", "node1")
    seen: list[tuple[float, bool]] = []

    def boot() -> None:
        seen.append((cluster.now, state(cluster)["unschedulable"]))
        if cluster.now >= 10:
            item["status"]["nodeInfo"]["bootID"] = "new"
            item["status"]["allocatable"][IGB] = "0"
        if cluster.now >= 20:
            item["status"]["allocatable"][IGB] = "2"

    cluster.on_sleep.append(boot)
    service(expected={IGB: 2}, boot_id="new").bring_back(cluster.kube(), False)
    assert state(cluster) == IN_SERVICE
    assert seen[-1][0] >= 20
    assert all(unschedulable for _when, unschedulable in seen)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ready": False}, "its condition Ready is Unknown"),
        ({"boot_id": "old"}, "its kubelet has not answered since the last boot"),
        ({"boot_id": "new", "allocatable": {IGB: "1"}}, "nfv.fastpath/igb is 1, expected 2"),
        ({"boot_id": "new"}, "nfv.fastpath/igb is 0, expected 2"),
    ],
)
def test_what_is_missing_is_said_and_the_node_stays_out(more, words):
    cluster = out(**more)
    with pytest.raises(FastpathError) as failed:
        service(expected={IGB: 2}, boot_id="new", wait_timeout=30).bring_back(cluster.kube(), False)
    assert failed.value.message == f"Node node1 cannot serve after 30 s: {words}."
    after = state(cluster)
    assert (after["rollout"], after["unschedulable"]) == ("failed", True)
    assert words in after["rollout-reason"]


def test_multus_must_be_ready_on_the_node():
    cluster = out()
    cluster.images_pull = False
    cluster.apply(marked(daemonset("kube-multus-ds"), "multus"))
    with pytest.raises(FastpathError, match="kube-multus-ds: main: ImagePullBackOff"):
        service(wait_timeout=30).bring_back(cluster.kube(), False)
    cluster.images_pull = True
    for item in cluster.of("Pod"):
        cluster.items.pop(("Pod", item["metadata"]["namespace"], item["metadata"]["name"]))
    service(wait_timeout=30).bring_back(cluster.kube(), False)
    assert state(cluster) == IN_SERVICE


def test_daemons_of_other_nodes_are_not_waited_for():
    cluster = out()
    other = daemonset("sriov-device-plugin-abc")
    other["spec"]["template"]["spec"]["nodeSelector"] = {"nfv.fastpath/device-plugin": "abc"}
    cluster.apply(marked(other, "device_plugin"))
    service(wait_timeout=0).bring_back(cluster.kube(), False)
    cluster.find("Node", "node1")["metadata"]["labels"]["nfv.fastpath/device-plugin"] = "abc"
    with pytest.raises(FastpathError, match="sriov-device-plugin-abc: there is no pod yet"):
        service(wait_timeout=0).bring_back(cluster.kube(), False)


def test_a_node_in_service_is_waited_for_and_not_marked():
    cluster = FakeCluster(node("node1"))
    with pytest.raises(FastpathError, match="nfv.fastpath/igb is 0, expected 2"):
        service(expected={IGB: 2}, wait_timeout=10).bring_back(cluster.kube(), False)
    assert state(cluster) == IN_SERVICE


def test_a_node_that_somebody_else_cordoned():
    cluster = FakeCluster(node("node1", unschedulable=True))
    service().take_out(cluster.kube(), False)
    result = service().bring_back(cluster.kube(), False)
    assert "stays cordoned" in result["warnings_found"][0]
    assert state(cluster) == {"unschedulable": True, "taints": []}
    assert not service().bring_back(cluster.kube(), False)["warnings_found"]


def test_a_node_that_left_the_cluster_meanwhile():
    cluster = out()
    cluster.on_sleep.append(lambda: cluster.items.pop(("Node", "", "node1"), None))
    item = cluster.find("Node", "node1")
    item["status"]["conditions"][0]["status"] = "Unknown"
    with pytest.raises(FastpathError, match="it left the cluster. This could not be written on the node"):
        service(wait_timeout=10).bring_back(cluster.kube(), False)


def test_marking_a_failure():
    cluster = out()
    result = service(reason="sriov: VF 3 did not bind").mark_failed(cluster.kube(), False)
    assert result["changed"]
    assert state(cluster)["rollout-reason"] == "sriov: VF 3 did not bind"
    fresh = FakeCluster(node("node1"))
    assert not service(reason="x").mark_failed(fresh.kube(), False)["changed"]
    assert fresh.writes == []
