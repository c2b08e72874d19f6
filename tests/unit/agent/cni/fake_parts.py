# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plugins reach the world with, without it: each keeps what it was asked for and can be told to fail."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import NAMESPACE, POD, VHOST
from fastpath_agent.cni.commands import Completed
from fastpath_agent.cni.pods import Conflict, PodGone
from fastpath_agent.model import PodOwner


def make_socket(path: str) -> None:
    """A socket file, as a process that listens leaves it; through its folder, since its own path may be too long."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        listener.close()
        os.close(folder)


@dataclass(frozen=True)
class FakeLease:
    device: str
    directory: str
    socket_name: str
    owner: PodOwner
    mode: str
    backend: str = "vdpa"


class NoSocket(Exception):
    cni_code = 11


class FakeSockets:
    """Pools that make a folder for each pod, named by its uid."""

    def __init__(self, root: Path, base: str = VHOST) -> None:
        self.root = root
        self.base = base
        self.table: dict[tuple[str, str], FakeLease] = {}
        self.fails: Exception | None = None
        self.release_fails: Exception | None = None
        self.makes_sockets = True
        self._lock = threading.Lock()

    def acquire(self, pool_or_device: str, owner: PodOwner, mode: str) -> FakeLease:
        with self._lock:
            return self._acquire(pool_or_device, owner, mode)

    def _acquire(self, pool_or_device: str, owner: PodOwner, mode: str) -> FakeLease:
        device, folder = pool_or_device, f"{self.base}/{owner.uid or owner.container_id}"
        _fail(self.fails)
        key = (owner.container_id, owner.ifname)
        if key not in self.table and any(lease.device == device for lease in self.table.values()):
            raise NoSocket(f"{device} is taken")
        lease = FakeLease(device, folder, f"vdpa-{len(self.table)}", owner, mode)
        self.table[key] = lease
        os.makedirs(f"{self.root}{folder}", exist_ok=True)
        if self.makes_sockets:
            make_socket(f"{self.root}{folder}/{lease.socket_name}")
        return lease

    def release(self, owner: PodOwner) -> None:
        _fail(self.release_fails)
        lease = self.table.pop((owner.container_id, owner.ifname), None)
        if lease is not None:
            path = f"{self.root}{lease.directory}/{lease.socket_name}"
            with contextlib.suppress(OSError):
                os.unlink(path)
            with contextlib.suppress(OSError):
                if lease.directory.startswith(self.base):
                    os.rmdir(f"{self.root}{lease.directory}")

    def leases(self) -> list[FakeLease]:
        return list(self.table.values())


class FakePods:
    """An API server for pods: optimistic locking, merge patch, and failures on demand."""

    def __init__(self) -> None:
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.fails: list[Exception] = []
        self.patch_fails: list[Exception] = []
        self.writers_between = 0
        self.patches: list[Mapping[str, Any]] = []
        self.up = True

    def put(self, pod: dict[str, Any]) -> dict[str, Any]:
        metadata = pod["metadata"]
        metadata.setdefault("resourceVersion", "1")
        self.pods[metadata["namespace"], metadata["name"]] = pod
        return pod

    def get(self, namespace: str, name: str) -> Mapping[str, Any]:
        if self.fails:
            raise self.fails.pop(0)
        if (namespace, name) not in self.pods:
            raise PodGone(f"pods {name!r} not found")
        return copy.deepcopy(self.pods[namespace, name])

    def patch(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        if self.patch_fails:
            raise self.patch_fails.pop(0)
        if (namespace, name) not in self.pods:
            raise PodGone(f"pods {name!r} not found")
        metadata = self.pods[namespace, name]["metadata"]
        if self.writers_between:
            self.writers_between -= 1
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
            metadata.setdefault("annotations", {})["k8s.v1.cni.cncf.io/network-status"] = str(self.writers_between)
        for key in ("resourceVersion", "uid"):
            if key in body["metadata"] and body["metadata"][key] != metadata.get(key):
                raise Conflict("the object has been modified")
        annotations = metadata.setdefault("annotations", {})
        for key, value in body["metadata"]["annotations"].items():
            if value is None:
                annotations.pop(key, None)
            else:
                annotations[key] = value
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        self.patches.append(copy.deepcopy(body))

    def ready(self) -> bool:
        return self.up

    def annotations(self, namespace: str = NAMESPACE, name: str = POD) -> dict[str, str]:
        return self.pods[namespace, name]["metadata"].get("annotations", {})


class FakePrograms:
    """IPAM plugins, VPP's command line and helpers: what each was given, and what it answers."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], bytes, dict[str, str]]] = []
        self.answers: dict[str, Any] = {}
        self.allocated: set[tuple[str, str]] = set()
        self.memifs: set[str] = set()
        self.vhosts: dict[str, str] = {}
        self.tool_ports: dict[str, str] = {}
        self.root = ""

    def __call__(self, argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], timeout: float) -> Completed:
        self.calls.append((list(argv), stdin, dict(environment)))
        name = os.path.basename(argv[0])
        answer = self.answers.get(self._key(name, argv, environment), self.answers.get(name))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completed):
            return answer
        if name == "vppctl":
            return self._vpp(argv[3:])
        if "CNI_COMMAND" in environment:
            return self._ipam(stdin, environment)
        return self._tool(argv[1:])

    @staticmethod
    def _key(name: str, argv: Sequence[str], environment: Mapping[str, str]) -> str:
        return f"{name} {environment.get('CNI_COMMAND') or ' '.join(argv[1:2])}"

    def _ipam(self, stdin: bytes, environment: Mapping[str, str]) -> Completed:
        netconf = json.loads(stdin)
        key = (environment.get("CNI_CONTAINERID", ""), environment.get("CNI_IFNAME", ""))
        command = environment["CNI_COMMAND"]
        if command == "ADD":
            self.allocated.add(key)
            result = netconf["ipam"].get("result") or {
                "cniVersion": netconf["cniVersion"],
                "ips": [{"version": "4", "address": "10.56.217.131/24", "gateway": "10.56.217.1"}],
                "routes": [{"dst": "0.0.0.0/0"}],
            }
            return Completed(0, json.dumps(result).encode(), b"")
        if command == "DEL":
            self.allocated.discard(key)
        if command == "GC":
            valid = {(each["containerID"], each["ifname"]) for each in netconf["cni.dev/valid-attachments"]}
            self.allocated &= valid
        return Completed(0, b"", b"")

    def _vpp(self, words: Sequence[str]) -> Completed:
        line = " ".join(words)
        out = ""
        if line.startswith("create interface memif"):
            self.memifs.add(f"memif{words[6]}/0")
        elif line.startswith("delete interface memif"):
            self.memifs.discard(words[3])
        elif line.startswith("create vhost-user socket"):
            out = "VirtualEthernet0/0/0\n"
            self.vhosts["VirtualEthernet0/0/0"] = words[3]
            make_socket(words[3] if os.path.exists(os.path.dirname(words[3])) else f"{self.root}{words[3]}")
        elif line == "show vhost-user":
            out = "".join(
                f"Interface: {name} (ifindex 1)\nvirtio_net_hdr_sz 12\n socket filename {path} type server errno\n"
                for name, path in self.vhosts.items()
            )
        elif line.startswith("delete vhost-user"):
            self.vhosts.pop(words[2], None)
        elif line.startswith("show hardware-interfaces"):
            out = "VirtualEthernet0/0/0  5  up  VirtualEthernet0/0/0\n  Ethernet address 02:fe:fc:89:49:d8\n"
        return Completed(0, out.encode(), b"")

    def _tool(self, words: Sequence[str]) -> Completed:
        if words[0] == "create":
            name = os.path.basename(words[1])
            self.tool_ports[name] = words[1]
            make_socket(f"{self.root}{words[1]}")
            return Completed(0, f"{name}\n".encode(), b"")
        if words[0] == "getmac":
            return Completed(0, b"02:FE:00:00:00:07\n", b"")
        if words[0] == "delete":
            self.tool_ports.pop(words[1], None)
        return Completed(0, b"", b"")


def _fail(error: Exception | None) -> None:
    if error is not None:
        raise error
