# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's configuration: one JSON file, typed and validated whole before anything is done.

Everything has a default but the pools. Every problem is named at once, with its place in the file.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import WrongCpus, parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import Wrong, boolean, integer, pool

from fastpath_agent import protocol
from fastpath_agent.model import MODES, Mode
from fastpath_agent.selectors import Selector, parse_selectors

PATH = "/etc/fastpath-agent/config.json"
VDPA, TRANSLATE, OVS = "vdpa", "translate", "ovs"
BACKENDS = (VDPA, TRANSLATE, OVS)
FOLLOW, POOLS = "follow", "pools"
MAX_ID = 2**32 - 2

_WORD = re.compile(r"[^\s\0]+\Z")
_DEVARGS = re.compile(r"[A-Za-z0-9_.=\-]+(?:,[A-Za-z0-9_.=\-]+)*\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]+(?::[A-Za-z0-9_]+){2}(?::[A-Za-z0-9_.,:-]+)?\Z")
_LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]*):(?P<port>[0-9]{1,5})\Z")


@dataclass(frozen=True)
class Access:
    """Who in a pod may use its socket. ``label``: for SELinux; empty leaves what the file system gives."""

    user: int = 0
    group: int = 0
    label: str = ""


@dataclass(frozen=True)
class Pool:
    """Sockets of one kind. ``mode``: the pod's side that the node's process waits for before a pod comes.

    ``bridge``, ``vlan``: of an ``ovs`` pool. ``devargs``: what DPDK is told about each device.
    """

    name: str
    backend: str = VDPA
    selectors: tuple[Selector, ...] = ()
    mode: Mode = "client"
    access: Access = field(default_factory=Access)
    devargs: str = ""
    bridge: str = ""
    vlan: int | None = None
    queues: int = 1


@dataclass(frozen=True)
class Program:
    """A DPDK program. ``cpus``: where it may run; empty: any of the agent's own but CPU 0.

    ``forwarding_cpus``: CPUs that forward packets and never pause, one for each device.
    """

    path: str
    cpus: tuple[int, ...] = ()
    forwarding_cpus: tuple[int, ...] = ()
    memory_mib: int = 64
    eal_args: tuple[str, ...] = ()
    app_args: tuple[str, ...] = ()
    start_seconds: int = 60


@dataclass(frozen=True)
class Cni:
    """``bin_dir``: where the plugins are installed; empty: somebody else does. ``records``: what attachments have.

    ``tool_folders``: of helpers for vhostuser. ``whole_folders``: pods may mount a folder with other pods' sockets.
    """

    bin_dir: str = ""
    records: str = "/var/lib/fastpath/cni"
    tool_folders: tuple[str, ...] = ("/usr/libexec/fastpath/vhost-tools",)
    whole_folders: bool = False


Section = TypeVar("Section", Program, Cni)


@dataclass(frozen=True)
class Config:
    """``pci_list``: follow the file that others write, or write it from the pools."""

    pools: tuple[Pool, ...] = ()
    pci_list: str = FOLLOW
    directory: str = "/var/run/vdpa"
    state_directory: str = "/run/fastpath/agent"
    sysfs: str = "/sys"
    kubelet: str = "/var/lib/kubelet"
    vdpa: Program = field(default_factory=lambda: Program("dpdk-vdpa"))
    translate: Program = field(default_factory=lambda: Program("dpdk-testpmd", memory_mib=128))
    ovs_database: str = "/var/run/openvswitch/db.sock"
    cni_socket: str = protocol.SOCKET
    cni: Cni = field(default_factory=Cni)
    grpc_users: tuple[int, ...] = (0,)
    grpc: bool = True
    listen: tuple[str, int] = ("127.0.0.1", 9465)
    links_in_pod_folders: bool = False

    @property
    def grpc_socket(self) -> str:
        return f"{self.directory}/vdpa.sock"

    def pool(self, name: str) -> Pool | None:
        return next((entry for entry in self.pools if entry.name == name), None)


def load(path: str) -> Config:
    """Raises Refused, also where the file cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise Refused([Problem("config", path, f"cannot be read as JSON: {error}")]) from error
    return parse(content)


def parse(content: Any) -> Config:
    problems: list[Problem] = []
    if not isinstance(content, Mapping):
        raise Refused([Problem("config", content, "must be an object")])
    problems += unknown_keys(content, ("version", "pools", *_SECTIONS, *_KEYS), "config")
    if content.get("version", 1) != 1:
        problems.append(Problem("config.version", content["version"], "must be 1"))
    values = {name: item for name, item in read.values(content, _KEYS, "config", problems).items() if item is not None}
    sections: dict[str, Any] = {
        name: _section(content[name], getattr(Config(), name), readers, f"config.{name}", problems)
        for name, readers in _SECTIONS.items()
        if name in content
    }
    pools = tuple(_pool(entry, where, problems) for where, entry in _pool_entries(content, problems))
    _check_together(pools, problems)
    if problems:
        raise Refused(problems)
    return Config(pools=pools, **sections, **values)


def _pool_entries(content: Mapping[str, Any], problems: list[Problem]) -> list[tuple[str, Mapping[str, Any]]]:
    found = []
    for where, entry in read.entries(content.get("pools"), "config.pools", "pools", problems):
        if isinstance(entry, Mapping):
            found.append((where, entry))
        else:
            problems.append(Problem(where, entry, "must be an object with the keys name and backend"))
    return found


def _pool(entry: Mapping[str, Any], variable: str, problems: list[Problem]) -> Pool:
    problems += unknown_keys(entry, ("name", "selectors", *_POOL_KEYS, *_ACCESS_KEYS), variable)
    name = read.value(_pool_name, entry.get("name"), f"{variable}.name", problems) or ""
    values = {key: item for key, item in read.values(entry, _POOL_KEYS, variable, problems).items() if item is not None}
    access = {key: item for key, item in read.values(entry, _ACCESS_KEYS, variable, problems).items() if item}
    selectors = parse_selectors(entry.get("selectors"), f"{variable}.selectors", problems)
    _check_backend(entry, str(values.get("backend", VDPA)), variable, problems)
    if values.get("backend") == OVS:
        values.setdefault("mode", "server")
    return Pool(name, selectors=selectors, access=Access(**access), **values)


def _check_backend(entry: Mapping[str, Any], backend: str, variable: str, problems: list[Problem]) -> None:
    """What makes sense for a back end, and what it cannot do without."""
    only = {"bridge": (OVS,), "vlan": (OVS,), "devargs": (VDPA, TRANSLATE), "selectors": (VDPA, TRANSLATE)}
    for key, backends in only.items():
        if key in entry and backend not in backends:
            shape = f"is for the back end {' or '.join(backends)}, and this pool has {backend}"
            problems.append(Problem(f"{variable}.{key}", entry[key], shape))
    if backend == OVS and not entry.get("bridge"):
        problems.append(Problem(f"{variable}.bridge", None, "is missing: the bridge that gets a port for each pod"))
    if backend == TRANSLATE and not entry.get("selectors"):
        problems.append(Problem(f"{variable}.selectors", None, "is missing: which devices the pool has"))


def _check_together(pools: tuple[Pool, ...], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(pools):
        if entry.name and entry.name in seen:
            problems.append(Problem(f"config.pools[{number}].name", entry.name, "stands there twice"))
        seen.add(entry.name)


def _section(
    entry: Any, default: Section, readers: Mapping[str, read.Reader], variable: str, problems: list[Problem]
) -> Section:
    """``default`` with what an object in the file says."""
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, f"must be an object with keys out of {', '.join(readers)}"))
        return default
    problems += unknown_keys(entry, readers, variable)
    values = read.values(entry, readers, variable, problems)
    return replace(default, **{key: item for key, item in values.items() if item is not None})


def _pool_name(value: Any) -> str:
    name = pool(value)
    if not name:
        raise Wrong("is missing: the name of the pool, as in the resource that pods ask for")
    return name


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable() or " " in value:
        raise Wrong("must be an absolute path without blanks")
    if posixpath.normpath(value) != value:
        raise Wrong(f"must be written as {posixpath.normpath(value)}")
    return value


def _paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise Wrong("must be a list of absolute paths")
    return tuple(_path(item) for item in value)


def _cpus(value: Any) -> tuple[int, ...]:
    """CPU 0 does the kernel's own work and is not taken by a program that never pauses."""
    try:
        found = parse_cpu_list(value)
    except WrongCpus as wrong:
        raise Wrong(str(wrong)) from wrong
    if 0 in found:
        raise Wrong("has CPU 0, which is the system's: choose others")
    return found


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and _WORD.match(item) for item in value):
        raise Wrong('must be a list of arguments without blanks, such as ["--log-level=lib.vhost:debug"]')
    return tuple(value)


def _matching(pattern: re.Pattern[str], shape: str) -> read.Reader:
    def text(value: Any) -> str:
        if not isinstance(value, str) or not pattern.match(value):
            raise Wrong(shape)
        return value

    return text


def _listen(value: Any) -> tuple[str, int]:
    match = _LISTEN.match(value) if isinstance(value, str) else None
    if not match or int(match.group("port")) > 65535:
        raise Wrong('must be an address and a port, such as "127.0.0.1:9465" or ":9465"')
    return match.group("host").strip("[]"), int(match.group("port"))


def _users(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise Wrong("must be a list of user numbers")
    return tuple(integer(item, 0, MAX_ID) for item in value)


_ACCESS_KEYS: Mapping[str, read.Reader] = {
    "user": lambda value: integer(value, 0, MAX_ID),
    "group": lambda value: integer(value, 0, MAX_ID),
    "label": _matching(_LABEL, 'must be an SELinux context, such as "system_u:object_r:container_file_t:s0"'),
}
_POOL_KEYS: Mapping[str, read.Reader] = {
    "backend": read.one_of(*BACKENDS),
    "mode": read.one_of(*MODES),
    "devargs": _matching(_DEVARGS, 'must be device arguments, such as "vdpa=1,sw-live-migration=1"'),
    "bridge": read.name,
    "vlan": lambda value: integer(value, 1, 4094),
    "queues": lambda value: integer(value, 1, 128),
}
_PROGRAM_KEYS: Mapping[str, read.Reader] = {
    "path": _matching(_WORD, "must be the name or the path of a program"),
    "cpus": _cpus,
    "forwarding_cpus": _cpus,
    "memory_mib": lambda value: integer(value, 8, 1024 * 1024),
    "eal_args": _words,
    "app_args": _words,
    "start_seconds": lambda value: integer(value, 1, 3600),
}
_CNI_KEYS: Mapping[str, read.Reader] = {
    "bin_dir": _path,
    "records": _path,
    "tool_folders": _paths,
    "whole_folders": boolean,
}
_SECTIONS = {VDPA: _PROGRAM_KEYS, TRANSLATE: _PROGRAM_KEYS, "cni": _CNI_KEYS}
_KEYS: Mapping[str, read.Reader] = {
    "pci_list": read.one_of(FOLLOW, POOLS),
    "directory": _path,
    "state_directory": _path,
    "sysfs": _path,
    "kubelet": _path,
    "ovs_database": _path,
    "cni_socket": read.socket_path,
    "grpc": boolean,
    "grpc_users": _users,
    "listen": _listen,
    "links_in_pod_folders": boolean,
}
