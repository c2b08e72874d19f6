# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects on a real API server, before there is any node: applied, left alone, changed, pruned, and given back."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from cluster import REGISTRY, get, kubectl, objects, wait_until, writes_since, written
from nodes import CHECKOUT, difference, lab, playbook, with_spec
from test_cluster import SPEC

ABSENT = {"multus_state": "absent", "networks_state": "absent"}
ALL = ("fast", "dpdk", "lan")


def run(**changes):
    keys = ("fastpath_sriov", "fastpath_networks")
    base = {key: SPEC[key] for key in keys}
    cluster = {"fastpath_kubeconfig": str(CHECKOUT / ".lab/kubeconfig"), "fastpath_registry": REGISTRY}
    return playbook("cluster_objects", *with_spec(**{**base, **cluster, **changes})).must_pass()


def definitions():
    return sorted(item["metadata"]["name"] for item in get("net-attach-def")["items"])


@pytest.fixture(scope="module")
def start():
    lab("control-plane", "down")
    lab("control-plane", "up", timeout=3600)
    yield objects()
    lab("control-plane", "down")


def test_1_they_are_there_after_the_first_run(start):
    assert set(run().changed().values()) == {2}
    assert definitions() == sorted(ALL)
    daemons = {item["metadata"]["name"] for item in get("daemonset", "-n", "kube-system")["items"]}
    assert {"kube-multus-ds", "whereabouts"} <= daemons


def test_2_the_second_run_writes_nothing(start):
    position = written()
    assert set(run().changed().values()) == {0}
    assert writes_since(position) == []


def test_3_one_change_is_one_write(start):
    position = written()
    changed = [{**one, "vlan": 200} if one["name"] == "fast" else one for one in SPEC["fastpath_networks"]]
    assert set(run(fastpath_networks=changed).changed().values()) == {1}
    assert Counter(line.split()[0] for line in writes_since(position)) == {"patch": 1}


def test_4_what_is_taken_out_of_the_list_goes_and_nothing_else(start):
    others = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "others"},
        "spec": {"config": "{}"},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(others))
    run(fastpath_networks=SPEC["fastpath_networks"][:2])
    assert definitions() == ["dpdk", "fast", "others"]
    kubectl("delete", "net-attach-def", "others")


def test_5_all_of_it_is_given_back(start):
    run(**ABSENT)
    wait_until(lambda: difference(start, objects()) == [], "the cluster is as it was", 60)
    assert set(run(**ABSENT).changed().values()) == {0}
