# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kubelet on a node, there and back: when it starts anew, what others changed, cut off anywhere."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kubelet_node
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern
from ansible_collections.nfv.fastpath.tests.unit.kubelet_node import (
    CONF,
    FULL,
    UNIT,
    KubeletNode,
    actions,
    conf,
    policy,
    run,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


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


def test_after_a_boot_with_other_pages_it_is_brought_back(node):
    """It came up with the pages of this boot, and the memory of the one before."""
    run(node, FULL)
    node.pages(0, 1048576, 1)
    node.boot()
    assert "memory state differs" in node.crash
    assert actions(run(node, FULL)) == ["stop_kubelet", "remove_state", "start_kubelet"]
    assert node.crash == "" and not run(node, FULL).changed


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


def test_a_unit_of_another_make(node):
    node.exec_start = "/usr/local/bin/k3s agent"
    node.boot()
    with pytest.raises(Refused, match=r"does not hand \$KUBELET_CONFIG_ARGS"):
        run(node, {})


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
