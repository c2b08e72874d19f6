# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node needs to join and to leave, and what is refused."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join import Secrets
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KubeJoinConcern
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.join_node import (
    BOOTSTRAP,
    BY_KUBEADM,
    BY_KUBECONFIG,
    CA,
    GIVEN,
    HASH,
    KUBELET,
    TOKEN,
    UNIT,
    WITH_TOKEN,
    JoinNode,
    actions,
    run,
)


@pytest.fixture
def node(tmp_path):
    return JoinNode(tmp_path)


@pytest.mark.parametrize(
    ("spec", "secrets"), [(BY_KUBECONFIG, BOOTSTRAP), (BY_KUBECONFIG, GIVEN), (BY_KUBEADM, WITH_TOKEN)]
)
def test_no_secret_is_written_down_or_told(node, spec, secrets):
    plan = run(node, spec, secrets)
    kept = {path: text for path, text in node.tree().items() if path != KUBELET}
    for text in [*kept.values(), repr(plan), json.dumps(plan.result())]:
        assert TOKEN not in text and "secret-key" not in text


def test_by_kubeconfig_pods_stay_off_until_the_rollout_lets_them_come(node):
    """The word on the command line is one that kubelets of all versions know."""
    run(node, BY_KUBECONFIG, GIVEN, taint=True)
    flags = "var/lib/kubelet/kubeadm-flags.env"
    assert "--register-with-taints=nfv.fastpath/not-ready=:NoSchedule" in (node.text(flags) or "")
    assert not run(node, BY_KUBECONFIG, taint=True).changed
    assert not run(node, BY_KUBECONFIG).changed, "a member stays as it joined"


def test_a_member_from_before_gets_no_taint(node):
    run(node, BY_KUBECONFIG, GIVEN)
    assert not run(node, BY_KUBECONFIG, taint=True).changed


def test_the_taint_is_that_of_the_attempt_that_succeeds(node):
    with node.cut_off(5) as power:
        run(node, BY_KUBECONFIG, GIVEN)
    assert power.gone
    run(node, BY_KUBECONFIG, GIVEN, taint=True)
    assert "not-ready" in (node.text("var/lib/kubelet/kubeadm-flags.env") or "")
    assert not run(node, BY_KUBECONFIG).changed


def test_a_package_has_the_unit(node):
    node.put("usr/lib/systemd/system/kubelet.service", "")
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    assert node.text(UNIT) is None


def test_a_member_that_somebody_else_made_is_left_alone(node):
    node.put(KUBELET, "theirs")
    start = node.tree()
    assert actions(run(node, BY_KUBEADM)) == []
    assert actions(run(node)) == ["forget"]
    assert node.tree() == start and node.commands == []


def test_a_kubelet_of_somebody_else_is_no_business_of_ours(node):
    """Its kubeconfig is elsewhere, so that the node does not look like a member."""
    node.active = True
    node.put("var/lib/kubelet/config.yaml", "theirs")
    start = node.tree()
    run(node, {"version": "1.36"})
    run(node)
    assert (node.tree(), node.commands, node.active) == (start, [], True)
    with pytest.raises(Refused, match="it is somebody else's"):
        run(node, BY_KUBECONFIG, GIVEN)
    assert (node.tree(), node.commands) == (start, [])


def test_nothing_is_asked_for(node):
    assert actions(run(node, {})) == []
    assert verify(KubeJoinConcern(node), {}) == []


def test_leaving_below_pods_needs_consent(node):
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    os.makedirs(f"{node.root}/var/lib/kubelet/pods/1")
    with pytest.raises(FastpathError, match="1 pods run here"):
        run(node)
    run(node, consent=True)
    assert node.text(KUBELET) is None


@pytest.mark.parametrize(
    ("spec", "secrets", "change", "words"),
    [
        (BY_KUBEADM, Secrets(token="short"), {}, "kubernetes_token = 'given': must be a bootstrap token"),
        (BY_KUBEADM, Secrets(), {}, "kubernetes_token = None"),
        (BY_KUBECONFIG, Secrets(ca=CA), {}, "one of them is needed"),
        (BY_KUBECONFIG, Secrets(kubeconfig="x"), {}, "must be the certificate of the cluster's CA"),
        (BY_KUBEADM, WITH_TOKEN, {"kubelet": ""}, "kubelet is not on this node"),
        (BY_KUBEADM, WITH_TOKEN, {"kubeadm": ""}, "kubeadm is not on this node"),
        (
            {"join": "kubeadm", "endpoint": "a:1", "ca_hash": HASH},
            WITH_TOKEN,
            {"kubeadm": "v1.21.9"},
            "is older than 1.22",
        ),
        (BY_KUBEADM, WITH_TOKEN, {"kubelet": "Kubernetes v1.35.1"}, "kubelet 1.35.1 is on this node: upgrade it"),
        ({"version": "1.36.4"}, None, {}, "kubelet 1.36.3 is on this node"),
        (BY_KUBECONFIG, GIVEN, {"kubelet": "Kubernetes v1.15.1"}, "server-side apply"),
    ],
)
def test_what_cannot_be(node, spec, secrets, change, words):
    node.versions.update(change)
    start = node.tree()
    with pytest.raises(Refused, match=words):
        run(node, spec, secrets)
    assert node.tree() == start and node.commands == []


def test_swap(node):
    node.put("proc/swaps", "Filename\n/dev/vda2\n")
    with pytest.raises(Refused, match="swap_ok"):
        run(node, BY_KUBECONFIG, GIVEN)
    run(node, {**BY_KUBECONFIG, "swap_ok": True}, GIVEN)
    assert json.loads(node.text("var/lib/kubelet/config.yaml") or "")["failSwapOn"] is False


def test_looking_ahead_needs_neither_programs_nor_secrets(node):
    node.versions = {"kubelet": "", "kubeadm": ""}
    assert "join_cluster" in actions(run(node, BY_KUBEADM, dry_run=True, ahead=True))
