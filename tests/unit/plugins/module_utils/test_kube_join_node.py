# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node joins a cluster, by kubeadm or by a kubeconfig, and leaves it; cut off anywhere."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kube_join_node
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KUBEADM_FILE, KubeJoinConcern
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.join_node import (
    BOOT,
    BOOTSTRAP,
    BY_INIT,
    BY_KUBEADM,
    BY_KUBECONFIG,
    CA,
    CA_FILE,
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


def test_by_a_bootstrap_kubeconfig(node):
    start = node.tree()
    ahead = run(node, BY_KUBECONFIG, BOOTSTRAP, dry_run=True)
    assert node.tree() == start and node.commands == []
    first = run(node, BY_KUBECONFIG, BOOTSTRAP)
    assert first.operations == ahead.operations
    assert actions(first) == [
        "load_module",
        *["write_file"] * 6,
        "reload_units",
        "set_sysctl",
        "set_sysctl",
        "enable_kubelet",
        "join_cluster",
    ]
    assert node.text(KUBELET) == "made by the kubelet" and node.text(BOOT) is None
    assert node.text("etc/kubernetes/pki/ca.crt") == CA
    config = json.loads(node.text("var/lib/kubelet/config.yaml") or "")
    assert config["cgroupDriver"] == "systemd" and config["authentication"]["x509"] == {
        "clientCAFile": "/etc/kubernetes/pki/ca.crt"
    }
    assert node.text("var/lib/kubelet/kubeadm-flags.env") == (
        'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock '
        '--hostname-override=node1 --node-ip=192.0.2.11"\n'
    )
    assert "ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS" in (node.text(UNIT) or "")
    assert (node.text("proc/sys/net/ipv4/ip_forward") or "").strip() == "1"
    after, changes = node.tree(), node.changes
    assert not run(node, BY_KUBECONFIG).changed, "secrets are needed once"
    assert (node.tree(), node.changes) == (after, changes)
    assert all(check.ok for check in verify(KubeJoinConcern(node), BY_KUBECONFIG))
    gone = run(node)
    assert actions(gone)[0] == "leave_cluster" and actions(gone)[-1] == "forget"
    assert (node.tree(), node.enabled, node.active, node.containers) == (start, False, False, [])
    assert (node.text("proc/sys/net/ipv4/ip_forward") or "").strip() == "0"
    assert not run(node).changed


def test_by_a_kubeconfig_of_its_own(node):
    run(node, BY_KUBECONFIG, GIVEN)
    assert node.text(KUBELET) == "key: secret-key\n"
    assert (node.mode(f"/{KUBELET}") or 0) & 0o077 == 0
    assert not run(node, BY_KUBECONFIG, GIVEN).changed


def test_by_kubeadm(node):
    start = node.tree()
    run(node, {**BY_KUBEADM, "node_name": "n1", "node_ip": "192.0.2.11"}, WITH_TOKEN)
    (document,) = node.configurations
    assert document == {
        "apiVersion": "kubeadm.k8s.io/v1beta4",
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {"apiServerEndpoint": "192.0.2.1:6443", "token": TOKEN, "caCertHashes": [HASH]},
            "tlsBootstrapToken": TOKEN,
        },
        "nodeRegistration": {
            "criSocket": "unix:///run/containerd/containerd.sock",
            "name": "n1",
            "kubeletExtraArgs": [{"name": "node-ip", "value": "192.0.2.11"}],
        },
    }
    assert node.read(KUBEADM_FILE) is None
    assert "$KUBELET_KUBEADM_ARGS" in node.text(UNIT)
    assert not run(node, {**BY_KUBEADM, "node_name": "n1", "node_ip": "192.0.2.11"}).changed
    run(node)
    assert node.tree() == start
    assert ["kubeadm", "reset", "--force", "--cri-socket", "unix:///run/containerd/containerd.sock"] in node.commands


@pytest.mark.parametrize(
    ("spec", "secrets", "words"),
    [
        (BY_KUBEADM, WITH_TOKEN, "could not find a JWS signature"),
        (BY_KUBECONFIG, BOOTSTRAP, "The kubelet says: Unauthorized"),
    ],
)
def test_a_cluster_that_does_not_want_it(node, monkeypatch, spec, secrets, words):
    monkeypatch.setattr(_kube_join_node, "SECONDS", 0.01)
    node.answers = False
    with pytest.raises(FastpathError, match=words):
        run(node, spec, secrets)
    assert node.read(KUBEADM_FILE) is None
    node.answers = True
    tidied = ["reset_kubeadm"] if spec == BY_KUBEADM else []
    assert actions(run(node, spec, secrets)) == [*tidied, "join_cluster"]
    assert node.text(BOOT) is None


def test_a_kubeadm_that_gave_up_half_way_is_tried_again_from_the_start(node):
    node.stuck = True
    with pytest.raises(FastpathError, match="timed out waiting"):
        run(node, BY_KUBEADM, WITH_TOKEN)
    with pytest.raises(FastpathError, match="timed out waiting"):
        run(node, BY_KUBEADM, WITH_TOKEN)
    node.stuck = False
    assert actions(run(node, BY_KUBEADM, WITH_TOKEN)) == ["reset_kubeadm", "join_cluster"]
    node.put("etc/kubernetes/kubelet.conf", "")
    assert not run(node, BY_KUBEADM).changed


@pytest.mark.parametrize(("spec", "secrets"), [(BY_KUBECONFIG, BOOTSTRAP), (BY_KUBEADM, WITH_TOKEN), (BY_INIT, None)])
def test_how_it_became_a_member_is_known_until_the_cluster_knows_it_no_more(tmp_path, spec, secrets):
    """The node's object goes between leaving and forgetting, and a run that is cut off there is followed by another."""
    cut = 0
    while True:
        node = JoinNode(tmp_path / f"{cut}")
        start = node.tree()
        run(node, spec, secrets)
        ahead = run(node, dry_run=True, forget=False)
        with node.cut_off(cut) as power:
            assert run(node, forget=False).operations == ahead.operations
        again = run(node, forget=False)
        assert again.before["way"] == spec["join"]
        assert power.gone or actions(again) == []
        assert node.text(KUBELET) is None and not node.active
        assert actions(run(node)) == ["forget"] and node.tree() == start
        assert run(node, forget=False).before == {}
        if not power.gone:
            break
        cut += 1
    assert cut > 4


def test_containers_that_cannot_be_ended_are_told(node):
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    node.unending = "b"
    assert run(node).warnings == ("Containers of pods are left: b. ctr says: cannot delete b.",)


def test_a_containerd_that_does_not_answer_is_told(node, monkeypatch):
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    answer = node._run
    silent = Completed(1, "", "connection refused")
    monkeypatch.setattr(node, "_run", lambda argv, *more: silent if argv[0] == "ctr" else answer(argv, *more))
    (warning,) = run(node).warnings
    assert warning == "Containers of pods may be left: ctr --namespace k8s.io says connection refused."


def test_what_somebody_elses_kubeadm_left_is_not_touched(node):
    """Theirs is in the way, and the message says which file."""
    node.put(CA_FILE, "theirs")
    for _attempt in range(2):
        with pytest.raises(FastpathError, match="ca.crt already exists"):
            run(node, BY_KUBEADM, WITH_TOKEN)
    assert node.text(CA_FILE) == "theirs"


def test_a_control_plane_that_was_begun_goes_by_consent_only(node):
    node.stuck = True
    with pytest.raises(FastpathError, match="timed out waiting"):
        run(node, BY_INIT)
    node.stuck = False
    before = node.tree()
    with pytest.raises(FastpathError, match="kubeadm init did not end well here.*Give consent"):
        run(node, BY_INIT)
    assert node.tree() == before
    assert actions(run(node, BY_INIT, consent=True)) == ["reset_kubeadm", "join_cluster"]
    assert not run(node, BY_INIT).changed


@pytest.mark.parametrize(
    ("spec", "secrets"),
    [(BY_KUBECONFIG, BOOTSTRAP), (BY_KUBECONFIG, GIVEN), (BY_KUBEADM, WITH_TOKEN), (BY_INIT, None)],
)
def test_cut_off_anywhere(tmp_path, spec, secrets):
    cut = 0
    while True:
        node = JoinNode(tmp_path / f"{cut}")
        start = node.tree()
        with node.cut_off(cut) as power:
            run(node, spec, secrets)
        run(node, spec, secrets, consent=spec == BY_INIT)
        assert node.text(BOOT) is None and node.text(KUBELET) and node.active and node.enabled
        assert not run(node, spec).changed
        with node.cut_off(cut) as teardown:
            run(node)
        if teardown.gone:
            run(node)
        assert (node.tree(), node.enabled, node.active) == (start, False, False), cut
        if not power.gone:
            break
        cut += 1
    assert cut > 8
