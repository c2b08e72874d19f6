# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node without hardware, cluster or switch: each part keeps what it was asked for and can be told to fail."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_switch import FakeDatabase
from fastpath_agent.cni.commands import Completed
from fastpath_agent.cni.dispatch import Dispatcher
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ipam import Ipam
from fastpath_agent.cni.ovs import Switch
from fastpath_agent.cni.pods import Conflict, PodGone
from fastpath_agent.cni.records import Records
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.sockets_api import PodOwner
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.vpp import Vpp

CONTAINER = "4d578250ad8d760c0722be78badb4b4b6d57fed8f95dea23aaa0065aa8657b29"
SHORT = CONTAINER[:12]
UID = "0a1b2c3d-1111-2222-3333-444455556666"
NAMESPACE, POD = "apps", "vdpa-pod-1"
DEVICE = "0000:83:00.5"
NETNS = "/var/run/netns/cni-1"
VHOST = "/var/run/vdpa/vhost"


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

    def acquire(self, pool_or_device: str, owner: PodOwner, mode: str) -> FakeLease:
        device, folder = pool_or_device, f"{self.base}/{owner.uid or owner.container_id}"
        if self.fails:
            raise self.fails
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
        if self.release_fails:
            raise self.release_fails
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
            switch=Switch("unused", seconds=0.2, database=self.database),  # type: ignore[arg-type]
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
            switch=Switch("unused", seconds=0.2, database=bomb.watch(self.database, "transact")),
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


def pod(volume: dict[str, Any] | None = None, mount: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod whose container mounts shared-dir as it should: its own folder only."""
    return {
        "metadata": {"namespace": NAMESPACE, "name": POD, "uid": UID, "annotations": {}, **metadata},
        "spec": {
            "volumes": [{"name": "shared-dir", **(volume or {"hostPath": {"path": f"{VHOST}/"}})}],
            "containers": [
                {
                    "name": "app",
                    "env": [{"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
                    "volumeMounts": [
                        {
                            "name": "shared-dir",
                            "mountPath": "/var/lib/cni/usrspcni/",
                            **({"subPathExpr": "$(POD_UID)"} if mount is None else mount),
                        }
                    ],
                }
            ],
        },
    }


def vdpa_conf(**changes: Any) -> dict[str, Any]:
    """The first example's network, as Multus hands it over."""
    conf = {
        "type": "vdpa",
        "cniVersion": "0.3.1",
        "name": "vdpa-network-a",
        "deviceID": DEVICE,
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logLevel": "debug",
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


def userspace_conf(mode: str = "server", **changes: Any) -> dict[str, Any]:
    """The network of the guide for Open vSwitch with DPDK."""
    conf = {
        "cniVersion": "0.3.1",
        "type": "userspace",
        "name": "ovs-dpdk-br0",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logFile": "/var/log/userspace-ovs-dpdk-br0.log",
        "logLevel": "debug",
        "host": {
            "engine": "ovs-dpdk",
            "iftype": "vhostuser",
            "netType": "bridge",
            "vhost": {"mode": mode},
            "bridge": {"bridgeName": "br0"},
        },
        "container": {
            "engine": "ovs-dpdk",
            "iftype": "vhostuser",
            "netType": "interface",
            "vhost": {"mode": "client" if mode == "server" else "server"},
        },
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


def vpp_conf(**changes: Any) -> dict[str, Any]:
    host = {
        "engine": "vpp",
        "iftype": "memif",
        "netType": "bridge",
        "memif": {"role": "master", "mode": "ethernet"},
        "bridge": {"bridgeName": "4"},
    }
    return userspace_conf(**{"host": host, "container": {"engine": "vpp", "iftype": "memif"}, **changes})


def vhostuser_conf(tool: str = "ovs", **changes: Any) -> dict[str, Any]:
    """The first guide's network; only the version is added."""
    conf = {
        "cniVersion": "0.3.1",
        "type": "vhostuser",
        "name": "vhostuser-network",
        "if0name": "net1",
        "vhost": {"vhost_tool": tool},
        "ipam": {
            "type": "host-local",
            "subnet": "10.56.217.0/24",
            "rangeStart": "10.56.217.131",
            "rangeEnd": "10.56.217.190",
            "routes": [{"dst": "0.0.0.0/0"}],
            "gateway": "10.56.217.1",
        },
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


IPAM = {"type": "host-local", "subnet": "10.56.217.0/24"}
DEVICE_INFO = "/var/run/k8s.cni.cncf.io/devinfo/cni/apps-net-x_net1"
OVS_PODS = "/var/run/openvswitch/pods"


def ovs_pod(**changes: Any) -> dict[str, Any]:
    return pod(volume={"hostPath": {"path": OVS_PODS}}, **changes)


def is_socket(path: str) -> bool:
    return stat.S_ISSOCK(os.lstat(path).st_mode)
