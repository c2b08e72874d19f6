# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that joins a cluster and leaves it, by a kubeadm and a kubelet that do as the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join import Secrets
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KUBEADM_FILE, KubeJoinConcern
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

TOKEN = "abcdef.0123456789abcdef"
CA = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
HASH = "sha256:" + "a" * 64
BY_KUBEADM = {"join": "kubeadm", "endpoint": "192.0.2.1:6443", "ca_hash": HASH, "version": "1.36"}
BY_INIT = {"join": "init", "node_ip": "192.0.2.11"}
BY_KUBECONFIG = {"join": "kubeconfig", "node_ip": "192.0.2.11", "node_name": "node1", "cluster_dns": ["10.96.0.10"]}
WITH_TOKEN = Secrets(token=TOKEN)
BOOTSTRAP = Secrets(bootstrap_kubeconfig=f"token: {TOKEN}\n", ca=CA)
GIVEN = Secrets(kubeconfig="key: secret-key\n", ca=CA)
KUBELET = "etc/kubernetes/kubelet.conf"
CA_FILE = "etc/kubernetes/pki/ca.crt"
MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"
BOOT = "etc/kubernetes/bootstrap-kubelet.conf"
UNIT = "etc/systemd/system/kubelet.service"


class JoinNode(FolderNode):
    """``answers``: whether the cluster accepts what it is given. ``commands``: what changed something.

    ``stuck``: whether kubeadm gives up after it has begun to write. ``unending``: a container that cannot be ended.
    """

    lasting = ("etc", "var", "run")

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.versions = {"kubelet": "Kubernetes v1.36.3", "kubeadm": "v1.36.3"}
        self.answers = True
        self.stuck = False
        self.enabled = self.active = False
        self.loaded_unit = ""
        self.commands: list[list[str]] = []
        self.containers = ["a", "b"]
        self.unending = ""
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

    def _ctr(self, words: list[str]) -> Completed | None:
        if self.unending in words:
            return Completed(1, "", f"cannot delete {self.unending}")
        if words[3:5] == ["containers", "delete"]:
            self.containers.remove(words[5])
        else:
            assert words[3:6] == ["tasks", "delete", "--force"]
        return None

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
            for name in (KUBELET, CA_FILE, MANIFEST, "etc/kubernetes/admin.conf", "var/lib/kubelet/config.yaml"):
                Path(self.root, name).unlink(missing_ok=True)
            self.active = False
            return None
        assert words[2:4] == ["--config", KUBEADM_FILE]
        assert (self.mode(KUBEADM_FILE) or 0) & 0o077 == 0
        text = self.read(KUBEADM_FILE) or ""
        self.configurations = [json.loads(part) for part in text.split("---\n")]
        if not self.answers:
            return Completed(1, "", "could not find a JWS signature")
        left = [name for name in (CA_FILE, MANIFEST) if self.text(name) is not None]
        if left:
            return Completed(1, "", f"[ERROR FileAvailable--{left[0].replace('/', '-')}]: /{left[0]} already exists")
        return self._init() if words[1] == "init" else self._join_half_by_half()

    def _join_half_by_half(self) -> Completed:
        """The file of the CA and a running kubelet come first, and what makes the node a member last."""
        self.put(CA_FILE, "made by kubeadm")
        self.put("var/lib/kubelet/config.yaml", "made by kubeadm")
        self.active = True
        self.count_change()
        if self.stuck:
            return Completed(1, "", "timed out waiting for the condition")
        self.put(KUBELET, "made by kubeadm")
        return Completed(0, "", "")

    def _init(self) -> Completed:
        """The kubelet's kubeconfig is there before the API server."""
        self.put(CA_FILE, "made by kubeadm")
        self.put(KUBELET, "made by kubeadm")
        self.put("etc/kubernetes/admin.conf", "made by kubeadm")
        self.put("var/lib/kubelet/config.yaml", "made by kubeadm")
        self.active = True
        self.count_change()
        self.put(MANIFEST, "made by kubeadm")
        if self.stuck:
            return Completed(1, "", "timed out waiting for the condition")
        return Completed(0, "", "")


def run(node: JoinNode, spec: Any = None, secrets: Secrets | None = None, **more: Any) -> Any:
    request = Request(
        spec, spec is not None, more.get("dry_run", False), more.get("consent", False), forget=more.get("forget", True)
    )
    return converge(KubeJoinConcern(node, secrets, more.get("ahead", False), more.get("taint", False)), request)


def actions(plan: Any) -> list[str]:
    return [step.action for step in plan.operations if step.action != "save_desired"]
