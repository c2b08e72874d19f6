# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of a cluster: what passes, what fails, and in which words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_checks import (
    Seen,
    asked_networks,
    check_cluster,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import marked
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_verification import cluster_verification
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import KubeError
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import NAD
from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import failed_patch, out_patch
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemon_pod, daemonset, node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster, merged

IGB = "nfv.fastpath/igb"
NETWORKS, STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"


def network(name: str = "fast", config: str = "{}") -> dict[str, Any]:
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": NAD,
        "metadata": {"name": name, "namespace": "apps"},
        "spec": {"config": config},
    }


def multus(ready: bool = True, on: str = "node1") -> tuple[dict[str, Any], dict[str, Any]]:
    item = marked(daemonset("kube-multus-ds"), "multus")
    item["metadata"]["uid"] = "ds"
    return item, daemon_pod(item, on, ready)


def failed(checks: list[Check]) -> list[str]:
    return [f"{check.id} {check.target}: {check.expected} / {check.seen}" for check in checks if not check.ok]


def plugin() -> tuple[dict[str, Any], dict[str, Any]]:
    item = marked(daemonset("sriov-device-plugin-abc"), "device_plugin")
    item["metadata"]["uid"] = "plugin"
    item["spec"]["template"]["spec"]["nodeSelector"] = {"nfv.fastpath/device-plugin": "abc"}
    return item, daemon_pod(item, "node1")


def checked(seen: Seen, expected: Any = None, networks: Any = (), components: Any = ()) -> list[Check]:
    """With a device plugin that is well."""
    daemon, its_pod = plugin()
    more = replace(seen, daemons=[*seen.daemons, daemon], pods=[*seen.pods, its_pod])
    return check_cluster(more, {"node1": {IGB: 2}} if expected is None else expected, networks, components)


GOOD = node("node1", allocatable={IGB: "2"}, labels={"nfv.fastpath/device-plugin": "abc"})


def test_a_good_cluster():
    item, its_pod = multus()
    seen = Seen([GOOD, node("node2", ready=False)], [its_pod], [item], [marked(network(), "networks")])
    checks = checked(seen, networks=[network()], components=["multus"])
    assert failed(checks) == []
    assert [check.id for check in checks] == [
        "cluster.node",
        "cluster.in_service",
        "cluster.allocatable",
        "cluster.multus",
        "cluster.device_plugin",
        "cluster.network",
    ]
    assert all(check.layer == "cluster" for check in checks)


def test_a_node_that_is_missing_and_one_that_is_down():
    checks = checked(Seen([node("node1", ready=False)]), {"node1": {}, "node9": {}})
    assert failed(checks) == [
        "cluster.node node1: ready / its condition Ready is Unknown",
        "cluster.node node9: ready / not in the cluster",
    ]


def test_a_node_that_is_out_of_service():
    item = node("node1")
    item["metadata"]["resourceVersion"] = "1"
    out = merged(item, out_patch(item, "VFs change", "2026-01-02T03:04:05Z"))
    out = merged(out, failed_patch(out, "not empty after 60 s"))
    assert failed(checked(Seen([out]), {"node1": {}})) == [
        "cluster.in_service node1: in service / failed since 2026-01-02T03:04:05Z: not empty after 60 s"
    ]
    tainted = node("node1", taints=[{"key": "nfv.fastpath/not-ready", "effect": "NoSchedule"}])
    assert "it has the taint still" in failed(checked(Seen([tainted]), {"node1": {}}))[0]


@pytest.mark.parametrize(("have", "seen"), [({}, 0), ({IGB: "1"}, 1), ({IGB: "2k"}, "2k")])
def test_other_numbers_of_devices(have, seen):
    labels = {"nfv.fastpath/device-plugin": "abc"}
    (check,) = [one for one in checked(Seen([node("node1", allocatable=have, labels=labels)])) if not one.ok]
    assert (check.id, check.target, check.expected, check.seen) == ("cluster.allocatable", f"node1 {IGB}", 2, seen)


def test_daemons():
    item, its_pod = multus(ready=False)
    assert failed(checked(Seen([GOOD], [its_pod], [item]), components=["multus"])) == [
        "cluster.multus node1 kube-multus-ds: ready / main: ImagePullBackOff (no such image)"
    ]
    assert failed(checked(Seen([GOOD], [], [item]), components=["multus"])) == [
        "cluster.multus node1 kube-multus-ds: ready / it has no pod there"
    ]
    assert failed(checked(Seen([GOOD]), components=["multus"])) == [
        "cluster.multus node1: ready / it is not in the cluster"
    ]
    assert failed(checked(Seen([GOOD], [], [item]))) == []


def test_the_device_plugin_must_be_where_there_are_devices():
    assert failed(check_cluster(Seen([GOOD]), {"node1": {IGB: 2}}, [])) == [
        "cluster.device_plugin node1: ready / it is not in the cluster"
    ]
    assert failed(check_cluster(Seen([GOOD]), {"node1": {}}, [])) == []


def test_a_daemon_of_other_nodes():
    item, _its_pod = multus()
    item["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    assert failed(checked(Seen([GOOD], [], [item]), components=["multus"])) == []


@pytest.mark.parametrize(
    ("live", "state"),
    [
        ([], "missing"),
        (None, "the cluster does not know the kind: Multus is missing"),
        ([network()], "made by others"),
        ([marked(network(config="x"), "networks")], "different"),
    ],
)
def test_networks(live, state):
    checks = checked(Seen([GOOD], networks=live), networks=[network()])
    assert failed(checks) == [f"cluster.network apps/fast: as wanted / {state}"]


def asking(text: str, *got: dict[str, Any], **more: Any) -> dict[str, Any]:
    status = [{"name": "cbr0", "default": True}, *got]
    return pod("a", annotations={NETWORKS: text, STATUS: json.dumps(status)}, **more)


def test_a_pod_with_all_its_networks():
    good = asking("fast, other/slow@net7", {"name": "apps/fast"}, {"name": "other/slow", "interface": "net7"})
    assert failed(checked(Seen([GOOD], [good]))) == []


def test_a_pod_that_started_before_multus():
    late = asking("fast")
    (check,) = [one for one in checked(Seen([GOOD], [late])) if not one.ok]
    assert (check.id, check.target, check.expected, check.seen) == ("cluster.pod_networks", "apps/a", ["apps/fast"], [])
    assert "may have started while Multus did not answer" in check.remedy
    without = pod("a", annotations={NETWORKS: "fast"})
    assert len(failed(checked(Seen([GOOD], [without])))) == 1


def test_the_same_network_twice():
    assert failed(checked(Seen([GOOD], [asking("fast,fast", {"name": "apps/fast"})])))
    assert not failed(checked(Seen([GOOD], [asking("fast,fast", {"name": "apps/fast"}, {"name": "apps/fast"})])))


@pytest.mark.parametrize("more", [{"phase": "Pending"}, {"phase": "Succeeded"}, {"on": "node2"}])
def test_pods_that_are_none_of_this(more):
    assert failed(checked(Seen([GOOD], [asking("fast", **more)]))) == []


def test_a_pod_that_is_ending():
    ending = asking("fast")
    ending["metadata"]["deletionTimestamp"] = "now"
    assert failed(checked(Seen([GOOD], [ending]))) == []


def test_ways_of_asking():
    assert asked_networks("a", "apps") == ["apps/a"]
    assert asked_networks(" a , b/c@net1,", "apps") == ["apps/a", "b/c"]
    assert asked_networks('[{"name": "a"}, {"name": "c", "namespace": "b"}]', "apps") == ["apps/a", "b/c"]
    for wrong in ("[", '[{"namespace": "b"}]', "[1]"):
        with pytest.raises(ValueError, match="is not JSON that says networks"):
            asked_networks(wrong, "apps")
    assert len(failed(checked(Seen([GOOD], [asking("[")])))) == 1


# The whole verification

SRIOV = [{"pf": {"address": "0000:81:00.0"}, "num_vfs": 2, "vfs": [{"indexes": "0-1", "pool": "igb"}]}]
HOSTS = {
    "host1": {
        "fastpath_sriov": SRIOV,
        "fastpath_networks": [{"name": "fast", "type": "sriov", "pool": "igb", "namespace": "apps"}],
    },
    "host2": {"fastpath_sriov": SRIOV},
}
PARAMS = {"hosts": HOSTS, "nodes": ["host1"], "names": {"host1": "node1"}, "multus": False}


def verified(cluster: FakeCluster, **more: Any) -> dict[str, Any]:
    return cluster_verification(cluster.kube, {**PARAMS, **more})


def test_verification():
    cluster = FakeCluster(GOOD, pod("a"), kinds=[NAD])
    result = verified(cluster)
    assert (result["changed"], result["failed_checks"], result["report_as"]) == (False, 2, "cluster")
    missing = [check["id"] for check in result["checks"] if not check["ok"]]
    assert missing == ["cluster.device_plugin", "cluster.network"]
    more = verified(cluster, multus=True)["checks"]
    assert [check["id"] for check in more if not check["ok"]] == [
        "cluster.device_plugin",
        "cluster.multus",
        "cluster.network",
    ]
    cluster.forget_calls()
    verified(cluster)
    assert cluster.writes == []
    assert len(cluster.calls) == 4
    json.dumps(result)


def test_requests_do_not_depend_on_the_number_of_nodes():
    counts = []
    for number in (1, 50):
        cluster = FakeCluster(*[node(f"n{index}") for index in range(number)])
        verified(cluster, nodes=[f"n{index}" for index in range(number)])
        counts.append(len(cluster.calls))
    assert counts[0] == counts[1]


def test_a_spec_that_is_wrong():
    result = verified(FakeCluster(), hosts={"host1": {"fastpath_sriov": [{"pf": {"netdev": "a"}}]}})
    assert result["failed_checks"] == 1
    assert result["checks"][0]["id"] == "cluster.spec"


def test_a_cluster_that_does_not_answer():
    def make() -> Any:
        raise KubeError("no such file")

    result = cluster_verification(make, PARAMS)
    (check,) = result["checks"]
    assert (check["id"], check["seen"], check["ok"]) == ("cluster.readable", "no such file", False)
    cluster = FakeCluster()
    cluster.down = 10**6
    assert verified(cluster)["failed_checks"] == 1
