# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node joins a cluster, by kubeadm or by a kubeconfig, and leaves it; no secret stays behind; cut off anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _kube_join_node
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join import Secrets
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KUBEADM_FILE, KubeJoinConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_spec import parse_join
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

TOKEN = "abcdef.0123456789abcdef"
CA = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
HASH = "sha256:" + "a" * 64
BY_KUBEADM = {"join": "kubeadm", "endpoint": "192.0.2.1:6443", "ca_hash": HASH, "version": "1.36"}
BY_KUBECONFIG = {"join": "kubeconfig", "node_ip": "192.0.2.11", "node_name": "node1", "cluster_dns": ["10.96.0.10"]}
WITH_TOKEN = Secrets(token=TOKEN)
BOOTSTRAP = Secrets(bootstrap_kubeconfig=f"token: {TOKEN}\n", ca=CA)
GIVEN = Secrets(kubeconfig="key: secret-key\n", ca=CA)
KUBELET = "etc/kubernetes/kubelet.conf"
BOOT = "etc/kubernetes/bootstrap-kubelet.conf"
UNIT = "etc/systemd/system/kubelet.service"


class Node(FolderNode):
    """``answers``: whether the cluster accepts what it is given. ``commands``: what changed something."""

    lasting = ("etc", "var", "run")

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.versions = {"kubelet": "Kubernetes v1.36.3", "kubeadm": "v1.36.3"}
        self.answers = True
        self.enabled = self.active = False
        self.loaded_unit = ""
        self.commands: list[list[str]] = []
        self.containers = ["a", "b"]
        self.configurations: list[Any] = []
        self.put("usr/local/bin/kubelet", "")
        self.put("proc/swaps", "Filename Type Size\n")
        self.put("proc/sys/net/ipv4/ip_forward", "0\n")
        os.makedirs(f"{root}/sys/module/overlay")

    def _command(self, argv: Any, timeout: float, stdin: str) -> Completed:
        words = list(argv)
        looks = {
            "kubelet --version": self.versions["kubelet"],
            "kubeadm version --output short": self.versions["kubeadm"],
            "systemctl show kubelet.service --property=ActiveState,UnitFileState,NeedDaemonReload": self._properties(),
            "journalctl --unit kubelet.service --lines 3 --output cat": "Unauthorized\n",
            "ctr --namespace k8s.io tasks list --quiet": "\n".join(self.containers),
            "ctr --namespace k8s.io containers list --quiet": "\n".join(self.containers),
        }
        if " ".join(words) in looks:
            return Completed(0, looks[" ".join(words)], "")
        self.count_change()
        self.commands.append(words)
        return getattr(self, f"_{words[0]}")(words) or Completed(0, "", "")

    def _modprobe(self, words: list[str]) -> None:
        assert words == ["modprobe", "br_netfilter"]
        os.makedirs(f"{self.root}/sys/module/br_netfilter")
        self.put("proc/sys/net/bridge/bridge-nf-call-iptables", "0\n")

    def _systemctl(self, words: list[str]) -> None:
        verb = words[1]
        assert words[2:] == ([] if verb == "daemon-reload" else ["kubelet.service"])
        if verb == "daemon-reload":
            self.loaded_unit = self.text(UNIT) or ""
        elif verb in ("enable", "disable"):
            self.enabled = verb == "enable"
        elif verb in ("start", "stop"):
            self.active = verb == "start"
        else:
            assert verb == "restart"
            self._restart()

    def _ctr(self, words: list[str]) -> None:
        if words[3:5] == ["containers", "delete"]:
            self.containers.remove(words[5])
        else:
            assert words[3:6] == ["tasks", "delete", "--force"]

    def _properties(self) -> str:
        reload = "yes" if self.loaded_unit != (self.text(UNIT) or "") else "no"
        active = "active" if self.active else "inactive"
        enabled = "enabled" if self.enabled else "disabled"
        return f"ActiveState={active}\nUnitFileState={enabled}\nNeedDaemonReload={reload}\n"

    def _restart(self) -> None:
        self.active = True
        if self.text(BOOT) and self.answers:
            self.put(KUBELET, "made by the kubelet")
            self.put("var/lib/kubelet/pki/kubelet-client-current.pem", "key")

    def _kubeadm(self, words: list[str]) -> Completed | None:
        if words[1] == "reset":
            for name in (KUBELET, "etc/kubernetes/admin.conf", "var/lib/kubelet/config.yaml"):
                Path(self.root, name).unlink(missing_ok=True)
            self.active = False
            return None
        assert words[2:4] == ["--config", KUBEADM_FILE]
        assert (self.mode(KUBEADM_FILE) or 0) & 0o077 == 0
        text = self.read(KUBEADM_FILE) or ""
        self.configurations = [json.loads(part) for part in text.split("---\n")]
        if not self.answers:
            return Completed(1, "", "could not find a JWS signature")
        self.put(KUBELET, "made by kubeadm")
        self.put("var/lib/kubelet/config.yaml", "made by kubeadm")
        if words[1] == "init":
            self.put("etc/kubernetes/admin.conf", "made by kubeadm")
        self.active = True
        return Completed(0, "", "")


def run(node: Node, spec: Any = None, secrets: Secrets | None = None, **more: Any) -> Any:
    request = Request(spec, spec is not None, more.get("dry_run", False), more.get("consent", False))
    return converge(KubeJoinConcern(node, secrets, more.get("ahead", False)), request)


def actions(plan: Any) -> list[str]:
    return [step.action for step in plan.operations if step.action != "save_desired"]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


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


@pytest.mark.parametrize(
    ("spec", "secrets"), [(BY_KUBECONFIG, BOOTSTRAP), (BY_KUBECONFIG, GIVEN), (BY_KUBEADM, WITH_TOKEN)]
)
def test_no_secret_is_written_down_or_told(node, spec, secrets):
    plan = run(node, spec, secrets)
    kept = {path: text for path, text in node.tree().items() if path != KUBELET}
    for text in [*kept.values(), repr(plan), json.dumps(plan.result())]:
        assert TOKEN not in text and "secret-key" not in text


def test_a_package_has_the_unit(node):
    node.put("usr/lib/systemd/system/kubelet.service", "")
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    assert node.text(UNIT) is None


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


def test_an_older_kubeadm_reads_an_older_configuration(node):
    node.versions = {"kubelet": "Kubernetes v1.30.4", "kubeadm": "v1.30.4"}
    spec = {
        "join": "kubeadm",
        "endpoint": "a.example.com:6443",
        "unsafe_skip_ca": True,
        "node_ip": "192.0.2.1",
        "swap_ok": True,
    }
    run(node, spec, WITH_TOKEN)
    (document,) = node.configurations
    assert document["apiVersion"] == "kubeadm.k8s.io/v1beta3"
    assert document["nodeRegistration"]["kubeletExtraArgs"] == {"node-ip": "192.0.2.1"}
    assert document["discovery"]["bootstrapToken"]["unsafeSkipCAVerification"] is True
    assert node.commands[-1][-1] == "--ignore-preflight-errors=Swap"


def test_a_control_plane(node):
    spec = {
        "join": "init",
        "version": "1.36.3",
        "endpoint": "192.0.2.1:6443",
        "node_ip": "192.0.2.1",
        "pod_subnet": "10.244.0.0/16",
        "service_subnet": "10.96.0.0/16",
        "image_repository": "registry.example.com",
    }
    run(node, spec, WITH_TOKEN)
    init, cluster, kubelet = node.configurations
    assert init["localAPIEndpoint"] == {"advertiseAddress": "192.0.2.1"} and init["bootstrapTokens"] == [
        {"token": TOKEN}
    ]
    assert cluster["kubernetesVersion"] == "v1.36.3" and cluster["imageRepository"] == "registry.example.com"
    assert cluster["networking"] == {
        "podSubnet": "10.244.0.0/16",
        "serviceSubnet": "10.96.0.0/16",
        "dnsDomain": "cluster.local",
    }
    assert kubelet["cgroupDriver"] == "systemd"
    assert not run(node, spec).changed
    run(node)
    assert node.text("etc/kubernetes/admin.conf") is None


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
    assert actions(run(node, spec, secrets)) == ["join_cluster"]
    assert node.text(BOOT) is None


def test_leaving_below_pods_needs_consent(node):
    run(node, BY_KUBECONFIG, BOOTSTRAP)
    os.makedirs(f"{node.root}/var/lib/kubelet/pods/1")
    with pytest.raises(FastpathError, match="1 pods run here"):
        run(node)
    run(node, consent=True)
    assert node.text(KUBELET) is None


@pytest.mark.parametrize(
    ("spec", "secrets"), [(BY_KUBECONFIG, BOOTSTRAP), (BY_KUBECONFIG, GIVEN), (BY_KUBEADM, WITH_TOKEN)]
)
def test_cut_off_anywhere(tmp_path, spec, secrets):
    cut = 0
    while True:
        node = Node(tmp_path / f"{cut}")
        start = node.tree()
        with node.cut_off(cut) as power:
            run(node, spec, secrets)
        run(node, spec, secrets)
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


def test_every_problem_at_once():
    _spec, problems = parse_join(
        {
            "join": "kubeadm",
            "source": "git",
            "version": 1.36,
            "endpoint": "a",
            "ca_hash": "b",
            "node_ip": "c",
            "node_name": "D",
            "cluster_dns": "e",
            "cluster_domain": "F",
            "pod_subnet": "g",
            "service_subnet": 1,
            "swap_ok": "no",
            "ca": "h",
        }
    )
    names = [problem.variable.removeprefix("fastpath_kubernetes.") for problem in problems]
    assert set(names) == {
        "source",
        "version",
        "endpoint",
        "ca_hash",
        "node_ip",
        "node_name",
        "cluster_dns",
        "cluster_domain",
        "pod_subnet",
        "service_subnet",
        "swap_ok",
        "ca",
    }
    assert parse_join([])[1] and parse_join({"join": "help"})[1]
    (problem,) = parse_join({"join": "init", "version": "1.20.3"})[1]
    assert "whose kubeadm reads" in problem.message
    assert "server-side apply" in parse_join({"version": "1.15.0"})[1][0].message
