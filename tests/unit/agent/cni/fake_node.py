# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node without hardware, cluster or switch: each part keeps what it was asked for and can be told to fail."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import FakePods, FakePrograms, FakeSockets
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_switch import FakeDatabase
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import CONTAINER, NAMESPACE, NETNS, POD, UID
from fastpath_agent.cni.dispatch import Dispatcher
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ipam import Ipam
from fastpath_agent.cni.ovs import Switch
from fastpath_agent.cni.records import Records
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.vpp import Vpp


class Killed(BaseException):
    """The agent's process is gone: nothing is caught, nothing is cleaned up."""


class Bomb:
    """Goes off at the n-th thing that the agent does outside of itself, before or after it was done."""

    def __init__(self, at: int, error: BaseException, afterwards: bool = False) -> None:
        self.at = at
        self.error = error
        self.afterwards = afterwards
        self.done: list[str] = []
        self.dead = False

    @property
    def went_off(self) -> bool:
        return len(self.done) >= self.at

    def watch(self, part: Any, *names: str) -> Any:
        return _Watched(part, names, self)

    def call(self, name: str, method: Any, arguments: Any, keywords: Any) -> Any:
        if self.dead:
            raise Killed
        self.done.append(name)
        hit = len(self.done) == self.at
        if hit and not self.afterwards:
            self._explode()
        result = method(*arguments, **keywords)
        if hit:
            self._explode()
        return result

    def _explode(self) -> None:
        self.dead = isinstance(self.error, Killed)
        raise self.error


class _Watched:
    def __init__(self, part: Any, names: Sequence[str], bomb: Bomb) -> None:
        self._part, self._names, self._bomb = part, names, bomb

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in self._names:
            return found
        return lambda *arguments, **keywords: self._bomb.call(name, found, arguments, keywords)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._bomb.call("run", self._part, arguments, keywords)


class Node:
    """``ask`` sends a request as the shim would; ``left`` is all that there is of attachments anywhere."""

    def __init__(self, root: Path, sockets: type[FakeSockets] = FakeSockets, **settings: Any) -> None:
        self.root = root
        self.settings = Settings(root=str(root), request_seconds=5, socket_seconds=0.2, **settings)
        self.pods = FakePods()
        self.sockets = sockets(root)
        self.programs = FakePrograms()
        self.programs.root = str(root)
        self.database = FakeDatabase(root / "run/openvswitch")
        self.bin_dir = root / "opt/cni/bin"
        (root / "var").mkdir(parents=True)
        (root / "run").mkdir()
        (root / "var/run").symlink_to("../run")
        for folder in ("var/log", "etc", "opt/cni/bin", "run/openvswitch", "var/lib", "sys/fs/cgroup"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name in ("host-local", "static", "whereabouts"):
            (self.bin_dir / name).write_text("#!/bin/false\n")
            (self.bin_dir / name).chmod(0o755)
        self.box = self._box()
        self.dispatcher = Dispatcher(self.box)

    def _box(self) -> Toolbox:
        files = Files(self.settings.written, self.settings.root)
        return Toolbox(
            settings=self.settings,
            files=files,
            logs=Files(self.settings.log_folders, self.settings.root),
            host_nic=Files(self.settings.host_nic_folders, self.settings.root),
            sockets=self.sockets,
            records=Records(files, self.settings.records),
            ipam=Ipam(self.programs),
            switch=Switch(self.database.door, seconds=0.2),
            vpp=Vpp(self.programs, files.real(self.settings.vpp_cli)),
            run=self.programs,
            pods=self.pods,
            mac_of=lambda device: "",
        )

    def change(self, **parts: Any) -> None:
        """Replace parts, such as ``pods=None``."""
        self.box = replace(self.box, **parts)
        self.dispatcher = Dispatcher(self.box)

    def restart(self) -> None:
        """Another agent process on the same node."""
        pods = self.box.pods
        self.box = replace(self._box(), pods=None if pods is None else self.pods)
        self.dispatcher = Dispatcher(self.box)

    def arm(self, bomb: Bomb) -> None:
        """Put the bomb between the plugins and everything they change."""
        files = bomb.watch(
            self.box.files, "write", "make_folder", "hand_over", "rename", "link", "remove", "remove_folder"
        )
        programs = bomb.watch(self.programs)
        self.change(
            files=files,
            sockets=bomb.watch(self.sockets, "acquire", "release"),
            records=Records(files, self.settings.records),
            ipam=Ipam(programs),
            switch=Switch(bomb.watch(self.database.door, "live", "commit", "taken_over"), seconds=0.2),
            vpp=Vpp(programs, f"{self.root}{self.settings.vpp_cli}"),
            run=programs,
            pods=bomb.watch(self.pods, "get", "patch") if self.box.pods is not None else None,
        )

    def message(self, command: str, netconf: Any, plugin: str = "vdpa", **variables: str) -> dict[str, Any]:
        environment = {
            "CNI_CONTAINERID": CONTAINER,
            "CNI_NETNS": NETNS,
            "CNI_IFNAME": "net1",
            "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={POD};K8S_POD_UID={UID}",
            "CNI_PATH": str(self.bin_dir),
            **variables,
        }
        return {
            "command": command,
            "plugin": plugin,
            "netconf": netconf,
            "env": {name: text for name, text in environment.items() if text},
        }

    def ask(self, command: str, netconf: Any, plugin: str = "vdpa", **variables: str) -> dict[str, Any]:
        return self.dispatcher.answer(self.message(command, netconf, plugin, **variables))

    def good(self, command: str, netconf: Any, plugin: str = "vdpa", **variables: str) -> dict[str, Any]:
        answer = self.ask(command, netconf, plugin, **variables)
        assert answer["ok"], answer
        return answer["result"]

    def bad(self, command: str, netconf: Any, plugin: str = "vdpa", **variables: str) -> dict[str, Any]:
        answer = self.ask(command, netconf, plugin, **variables)
        assert not answer["ok"], answer
        return answer["error"]

    def put_file(self, path: str, content: str) -> None:
        target = Path(f"{self.root}{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)

    def has(self, path: str) -> bool:
        return os.path.lexists(f"{self.root}{path}")

    def files(self) -> set[str]:
        """Everything that is no folder, but for logs, programs and what the test put there."""
        found = set()
        for folder, _names, names in os.walk(self.root):
            for name in names:
                found.add(f"{folder}/{name}"[len(str(self.root)) :])
            for name in _names:
                if os.path.islink(f"{folder}/{name}"):
                    found.add(f"{folder}/{name}"[len(str(self.root)) :])
        return {path for path in found if not path.startswith(("/opt/cni/bin", "/var/log"))}

    def folders(self) -> set[str]:
        return {folder[len(str(self.root)) :] for folder, _names, _files in os.walk(self.root)}

    def left(self) -> dict[str, Any]:
        annotations = {key: value.get("metadata", {}).get("annotations", {}) for key, value in self.pods.pods.items()}
        return {
            "leases": dict(self.sockets.table),
            "addresses": set(self.programs.allocated),
            "annotations": {
                key: {name: text for name, text in value.items() if name.startswith("userspace/")}
                for key, value in annotations.items()
            },
            "files": self.files(),
            "ports": self.database.ports(),
            "bridges": self.database.bridges(),
            "memifs": set(self.programs.memifs),
            "vhosts": dict(self.programs.vhosts),
            "tool ports": dict(self.programs.tool_ports),
        }
