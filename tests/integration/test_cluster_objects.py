# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects on a real API server, before there is any node: applied, left alone, changed, pruned, and given back."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import yaml
from cluster import CLUSTER, get, kubectl, objects, wait_until, writes_since, written
from nodes import CHECKOUT, difference, lab, playbook, with_spec

ABSENT = {"multus_state": "absent", "networks_state": "absent"}
NETWORKS = yaml.safe_load((CHECKOUT / "inventories/lab-cluster/group_vars/fastpath_nodes/networks.yml").read_text())[
    "lab_networks"
]


def run(**changes):
    return playbook("cluster_objects", *CLUSTER, *with_spec(**{"fastpath_networks": NETWORKS, **changes})).must_pass()


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
    assert definitions() == sorted(one["name"] for one in NETWORKS)
    daemons = {item["metadata"]["name"] for item in get("daemonset", "-n", "kube-system")["items"]}
    assert {"kube-multus-ds", "whereabouts"} <= daemons


def test_2_the_second_run_writes_nothing(start):
    position = written()
    assert set(run().changed().values()) == {0}
    assert writes_since(position) == []


def test_3_one_change_is_one_write(start):
    position = written()
    changed = [{**one, "vlan": 200} if one["name"] == "fast" else one for one in NETWORKS]
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
    run(fastpath_networks=NETWORKS[:2])
    assert definitions() == ["dpdk", "fast", "others"]
    kubectl("delete", "net-attach-def", "others")


def test_5_all_of_it_is_given_back(start):
    run(**ABSENT)
    wait_until(lambda: difference(start, objects()) == [], "the cluster is as it was", 60)
    assert set(run(**ABSENT).changed().values()) == {0}
