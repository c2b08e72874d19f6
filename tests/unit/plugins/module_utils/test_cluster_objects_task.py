# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner meets a cluster: what is asked, how often, and what is refused before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import marked
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import (
    ObjectsTask,
    in_use,
    objects_result,
    wait_for_daemonsets,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import KINDS, NAD
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import daemonset, namespace, node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster

Item = dict[str, Any]


def network(name: str, place: str = "default") -> Item:
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": NAD,
        "metadata": {"name": name, "namespace": place},
        "spec": {"config": "{}"},
    }


def pools_kind() -> Item:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "ippools.whereabouts.cni.cncf.io"},
        "spec": {
            "group": "whereabouts.cni.cncf.io",
            "names": {"kind": "IPPool", "plural": "ippools"},
            "versions": [{"name": "v1alpha1", "storage": True}],
        },
    }


def pool(**allocations: Any) -> Item:
    return {
        "apiVersion": "whereabouts.cni.cncf.io/v1alpha1",
        "kind": "IPPool",
        "metadata": {"name": "192.0.2.0-24", "namespace": "kube-system"},
        "spec": {"range": "192.0.2.0/24", "allocations": allocations},
    }


def carried_out(cluster: FakeCluster, task: ObjectsTask) -> dict[str, Any]:
    result = task.result(cluster.kube(), dry_run=False)
    for item in result["apply"]:
        cluster.apply(item)
    for item in result["remove"]:
        cluster.drop(item)
    return result


def refused(cluster: FakeCluster, task: ObjectsTask, dry_run: bool = False) -> list[str]:
    with pytest.raises(Refused) as caught:
        task.result(cluster.kube(), dry_run)
    assert cluster.writes == []
    return [str(problem) for problem in caught.value.problems]


def test_first_run_second_run_teardown():
    cluster = FakeCluster(node("node1"), daemonset("kube-proxy"))
    cluster.sleep(2)
    before = set(cluster.items)
    task = ObjectsTask("multus", [daemonset("kube-multus-ds"), pools_kind()])
    first = carried_out(cluster, task)
    assert first["changed"]
    assert first["scope"] == "cluster"
    assert [step["target"] for step in first["operations"]] == [
        "CustomResourceDefinition ippools.whereabouts.cni.cncf.io",
        "DaemonSet kube-system/kube-multus-ds",
    ]
    cluster.sleep(2)
    cluster.forget_calls()
    second = carried_out(cluster, task)
    assert second["unready"] == []
    assert (second["changed"], second["operations"], cluster.writes) == (False, [], [])
    assert len(cluster.calls) == 1 + len(KINDS)
    gone = carried_out(cluster, ObjectsTask("multus", task.objects, present=False))
    assert len(gone["operations"]) == 2
    assert set(cluster.items) == before


def test_the_number_of_requests_does_not_depend_on_the_number_of_nodes():
    numbers = []
    for count in (1, 50):
        cluster = FakeCluster(*[node(f"node{number}") for number in range(count)])
        task = ObjectsTask("multus", [daemonset("kube-multus-ds")])
        carried_out(cluster, task)
        wait_for_daemonsets(cluster.kube(), "multus", 60)
        numbers.append(len(cluster.calls))
    assert numbers[0] == numbers[1]


def test_check_mode_says_the_same_and_does_nothing():
    cluster = FakeCluster(node("node1"))
    task = ObjectsTask("multus", [daemonset("kube-multus-ds")])
    ahead = task.result(cluster.kube(), dry_run=True)
    assert cluster.writes == []
    assert carried_out(cluster, task) == ahead


def test_a_namespace_that_is_missing():
    cluster = FakeCluster(namespace("apps"), kinds=[NAD])
    task = ObjectsTask("networks", [network("a", "apps"), network("b", "app"), network("c", "app"), network("d")])
    (problem,) = refused(cluster, task)
    assert problem == (
        "namespace = 'app': does not exist in the cluster, and b, c is to be in it: create it, or name another"
    )
    cluster.put(namespace("app"))
    carried_out(cluster, task)
    cluster.forget_calls()
    carried_out(cluster, task)
    assert "GET /api/v1/namespaces" not in cluster.calls


@pytest.mark.parametrize("version", ["v1.15.12", "v1.23.17-eks-1"])
def test_a_cluster_that_is_too_old_is_asked_nothing_else(version):
    cluster = FakeCluster()
    cluster.version = version
    (problem,) = refused(cluster, ObjectsTask("multus", [daemonset("agent")]))
    assert problem == (
        f"cluster = 'Kubernetes {version}': is older than 1.24, the oldest that is supported: definitions of kinds of "
        "version v1 and server-side apply came with 1.16, evictions of version policy/v1 with 1.22"
    )
    assert cluster.calls == ["GET /version"]
    assert not ObjectsTask("multus", present=False).result(cluster.kube(), False)["changed"]


@pytest.mark.parametrize("version", ["v1.24.0", "v1.36.3+k3s1", "v2.0", "unknown", None])
def test_a_cluster_that_is_new_enough_or_says_no_version(version):
    cluster = FakeCluster()
    cluster.version = version
    assert ObjectsTask("multus", [daemonset("agent")]).result(cluster.kube(), False)["changed"]


def test_networks_before_multus():
    task = ObjectsTask("networks", [network("a")])
    (problem,) = refused(FakeCluster(), task)
    assert "Multus brings it" in problem
    ahead = task.result(FakeCluster().kube(), dry_run=True)
    assert ahead["changed"]


def test_an_object_of_others_with_our_name():
    cluster = FakeCluster(daemonset("kube-multus-ds"))
    (problem,) = refused(cluster, ObjectsTask("multus", [daemonset("kube-multus-ds")]))
    assert problem.startswith("cluster = 'DaemonSet kube-system/kube-multus-ds': is in the cluster already")


def test_the_same_program_of_others_by_another_name():
    foreign = daemonset("rke2-multus", "cni", image="registry.example.com/multus-cni:v4")
    cluster = FakeCluster(foreign, daemonset("other"))
    task = ObjectsTask("multus", [daemonset("kube-multus-ds", image="x/multus-cni:v4.2.0")], beside="multus-cni")
    (problem,) = refused(cluster, task)
    assert problem.startswith("cluster = 'DaemonSet cni/rke2-multus': runs registry.example.com/multus-cni:v4 already")
    assert "fastpath_multus: existing" in problem
    ObjectsTask("multus", [], present=False, beside="multus-cni").result(cluster.kube(), False)


def test_our_own_is_no_double():
    cluster = FakeCluster()
    task = ObjectsTask("multus", [daemonset("kube-multus-ds", image="x/multus-cni:v4.2.0")], beside="multus-cni")
    carried_out(cluster, task)
    assert not carried_out(cluster, task)["changed"]


def test_a_kind_of_which_others_have_objects_stays():
    kind = {**pools_kind(), "metadata": {"name": "networks.example.com"}}
    kind["spec"] = {
        "group": "example.com",
        "names": {"kind": "Network", "plural": "networks"},
        "versions": [{"name": "v1beta1"}, {"name": "v1", "storage": True}],
    }
    cluster = FakeCluster()
    carried_out(cluster, ObjectsTask("multus", [kind]))
    kind["spec"]["versions"].reverse()
    cluster.items[("CustomResourceDefinition", "", "networks.example.com")]["spec"] = kind["spec"]
    cluster.put({"apiVersion": "example.com/v1", "kind": "Network", "metadata": {"name": "a", "namespace": "x"}})
    result = carried_out(cluster, ObjectsTask("multus", present=False))
    assert (result["changed"], len(result["warnings_found"])) == (False, 1)


def test_addresses_of_pods_that_are_gone_are_left_overs():
    cluster = FakeCluster(pod("a", on="node2"))
    carried_out(cluster, ObjectsTask("networks", [pools_kind()]))
    gone = ObjectsTask("networks", present=False)
    for allocation in ({"podref": "apps/a"}, {"id": "of whom nobody knows"}):
        cluster.put(pool(**{"4": {"podref": "apps/gone"}, "5": allocation}))
        assert carried_out(cluster, gone)["remove"] == []
    cluster.put(pool(**{"4": {"podref": "apps/gone"}}))
    assert len(carried_out(cluster, gone)["remove"]) == 1
    carried_out(cluster, ObjectsTask("networks", [pools_kind()]))
    cluster.put(pool())
    assert len(carried_out(cluster, gone)["remove"]) == 1


def test_a_reservation_is_in_use_while_its_pod_is_there():
    reservation = {"metadata": {"name": "192.0.2.5"}, "spec": {"podref": "apps/a"}}
    assert in_use(reservation, "OverlappingRangeIPReservation", {"apps/a"})
    assert not in_use(reservation, "OverlappingRangeIPReservation", {"apps/b"})


def test_a_kind_that_is_not_ours_to_make():
    with pytest.raises(FastpathError, match="v1 Secret is no kind"):
        item = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}
        ObjectsTask("multus", [item]).result(FakeCluster().kube(), False)


def test_waiting_until_all_are_ready():
    cluster = FakeCluster(node("node1"), node("node2"))
    cluster.apply(marked(daemonset("agent"), "multus"))
    wait_for_daemonsets(cluster.kube(), "multus", 60)
    assert cluster.now == 2


def test_waiting_in_vain():
    cluster = FakeCluster(node("node1"))
    cluster.images_pull = False
    cluster.apply(marked(daemonset("agent"), "multus"))
    with pytest.raises(FastpathError) as failed:
        wait_for_daemonsets(cluster.kube(), "multus", 30)
    assert failed.value.message == (
        "multus is not ready after 30 s: agent on node1: main: ImagePullBackOff (no such image)."
    )
    assert cluster.now == 30


def test_the_module():
    cluster = FakeCluster(node("node1"))
    params = {
        "component": "multus",
        "objects": [daemonset("agent")],
        "state": "present",
        "beside": "",
        "only_wait": False,
        "wait_timeout": 60,
    }
    cluster.apply(marked(daemonset("late"), "multus"))
    result = objects_result(cluster.kube(), params, False)
    assert result["unready"] == ["late"]
    assert [item["metadata"]["name"] for item in result["apply"]] == ["agent"]
    assert objects_result(cluster.kube(), {**params, "state": "absent"}, False)["apply"] == []
    assert objects_result(cluster.kube(), {**params, "only_wait": True}, False) == {"changed": False}
