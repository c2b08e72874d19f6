# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with containerd that reads its configuration as it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tomllib
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import (
    SOCKET,
    TASKS,
    ContainerRuntimeConcern,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

CONFIG = "etc/containerd/config.toml"
DROP_IN = "etc/systemd/system/containerd.service.d/fastpath.conf"
HOSTS = "etc/containerd/certs.d/{}/hosts.toml"
DOCKER = '# a comment\ndisabled_plugins = ["cri"]\n#[plugins]\n'
LAB = {
    "sandbox_image": "10.77.0.1:5000/pause:3.10",
    "cni_bin_dir": "/opt/cni/bin",
    "registries": [{"name": "10.77.0.1:5000", "mirrors": ["http://10.77.0.1:5000"]}],
}
OLD, NEW = (
    "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6",
    "containerd github.com/containerd/containerd/v2 v2.2.1 dea7",
)


class ContainerdNode(FolderNode):
    """``commands``: what starts containerd. ``loaded``: the configuration that it has read, ``unit``: systemd's."""

    def __init__(self, root: Path, containerd: str = OLD, kubelet: str = "Kubernetes v1.36.3") -> None:
        super().__init__(root)
        self.said = {"containerd": containerd, "kubelet": kubelet}
        self.active = True
        self.comes_up = True
        self.commands: list[list[str]] = []
        self.loaded = ""
        self.unit: str | None = None
        self.limited()
        self.put("proc/sys/kernel/random/boot_id", "boot-1\n")
        self.put(SOCKET[1:], "")

    def boot(self, number: int) -> None:
        self.put("proc/sys/kernel/random/boot_id", f"boot-{number}\n")
        self.loaded = self.text(CONFIG) or ""
        self.unit = self.text(DROP_IN)
        self.limited()

    def limited(self) -> None:
        """The process that runs from now on, with systemd's default or what its unit says."""
        limit = (self.unit or "LimitMEMLOCK=8388608").rpartition("LimitMEMLOCK=")[2].strip()
        limit = limit.replace("infinity", "unlimited").replace("64G", str(64 << 30))
        self.put("proc/4711/limits", f"Max processes   1   1   \nMax locked memory   {limit}   {limit}   bytes\n")

    def containers(self, count: int) -> None:
        for number in range(count):
            os.makedirs(f"{self.root}{TASKS}/{number}", exist_ok=True)

    def _command(self, argv: Any, timeout: float, stdin: str) -> Completed:
        argv = list(argv)
        if argv[1:] == ["--version"]:
            said = self.said[argv[0]]
            return Completed(0 if said else 127, said, "")
        if argv == ["containerd", "config", "dump"]:
            return Completed(0, self.loaded, "")
        if argv[:2] == ["systemctl", "show"]:
            (name,) = (word.removeprefix("--property=") for word in argv[3:])
            said = {
                "ActiveState": "active" if self.active else "inactive",
                "NeedDaemonReload": "yes" if self.text(DROP_IN) != self.unit else "no",
                "MainPID": "4711",
            }
            return Completed(0, f"{name}={said[name]}\n", "")
        if argv == ["systemctl", "daemon-reload"]:
            self.count_change()
            self.unit = self.text(DROP_IN)
            return Completed(0, "", "")
        assert argv in (["systemctl", "restart", "containerd.service"], ["systemctl", "start", "containerd.service"]), (
            argv
        )
        self.count_change()
        self.commands.append(argv)
        if not self.comes_up:
            return Completed(1, "", "Job for containerd.service failed")
        self.active = True
        self.loaded = self.text(CONFIG) or ""
        self.limited()
        return Completed(0, "", "")


def run(
    node: ContainerdNode, spec: Any = None, dry_run: bool = False, consent: bool = False, ahead: bool = False
) -> Any:
    request = Request(spec, spec is not None, dry_run, consent)
    return converge(ContainerRuntimeConcern(node, ahead), request)


def actions(plan: Any) -> list[tuple[str, str]]:
    return [(step.action, step.target.rsplit("containerd/", 1)[-1]) for step in plan.operations]


def cri(node: ContainerdNode) -> Any:
    return tomllib.loads(node.text(CONFIG) or "")["plugins"]["io.containerd.grpc.v1.cri"]
