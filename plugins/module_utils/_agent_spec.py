# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The node agent's part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import (
    WrongCpus,
    format_cpu_list,
    parse_cpu_list,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._host_nic_spec import HostNics, parse_host_nics
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import Wrong, boolean, integer, pool

VARIABLE = "fastpath_node_agent"
VDPA, TRANSLATE, OVS = "vdpa", "translate", "ovs"
BACKENDS = (VDPA, TRANSLATE, OVS)
CLIENT, SERVER = "client", "server"
DEFAULT_PORTS = 16
MAX_PORTS, MAX_ID = 1024, 2**32 - 2
WITHOUT_PAGES = "--no-huge"
# DPDK's own words for a driver that works beside the kernel's.
BESIDE_THE_KERNEL = "class=vdpa"
TOP_KEYS = ("pools", VDPA, TRANSLATE, "grpc", "grpc_users", "listen", "whole_folders", "host_nic")

_DEVARGS = re.compile(r"[A-Za-z0-9_.=\-]+(?:,[A-Za-z0-9_.=\-]+)*\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]+(?::[A-Za-z0-9_]+){2}(?::[A-Za-z0-9_.,:-]+)?\Z")
_LISTEN = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]*):(?P<port>[0-9]{1,5})\Z")
_WORD = re.compile(r"[^\s\0]+\Z")


@dataclass(frozen=True)
class AgentPool:
    """Sockets of one kind. ``mode``: the pod's side. ``ports``: how many an ``ovs`` pool offers on each node.

    ``variable``: where it stands in the user's input.
    """

    name: str
    backend: str = VDPA
    mode: str = CLIENT
    queues: int = 1
    devargs: str = ""
    bridge: str = ""
    vlan: int | None = None
    ports: int = 0
    user: int = 0
    group: int = 0
    label: str = ""
    variable: str = ""

    @property
    def has_devices(self) -> bool:
        return self.backend != OVS


@dataclass(frozen=True)
class ProgramSpec:
    """A DPDK program of which each device has a process of its own. ``start_seconds`` 0: as the agent has it."""

    cpus: tuple[int, ...] = ()
    forwarding_cpus: tuple[int, ...] = ()
    memory_mib: int = 64
    eal_args: tuple[str, ...] = ()
    app_args: tuple[str, ...] = ()
    start_seconds: int = 0

    def as_json(self) -> dict[str, Any]:
        """As the agent's configuration has it; what is empty is the agent's own business."""
        said: dict[str, Any] = {
            "cpus": format_cpu_list(self.cpus),
            "forwarding_cpus": format_cpu_list(self.forwarding_cpus),
            "memory_mib": self.memory_mib,
            "eal_args": list(self.eal_args),
            "app_args": list(self.app_args),
            "start_seconds": self.start_seconds,
        }
        return {key: value for key, value in said.items() if value}

    @property
    def wants_pages(self) -> bool:
        return WITHOUT_PAGES not in self.eal_args


@dataclass(frozen=True)
class AgentSpec:
    """``host_nic``: addresses for VFs by pool. Without pools there is no agent."""

    pools: tuple[AgentPool, ...] = ()
    vdpa: ProgramSpec = field(default_factory=ProgramSpec)
    translate: ProgramSpec = field(default_factory=lambda: ProgramSpec(memory_mib=128))
    grpc: bool = True
    grpc_users: tuple[int, ...] = (0,)
    listen: str = "127.0.0.1:9465"
    whole_folders: bool = False
    host_nic: tuple[HostNics, ...] = ()

    def of_backend(self, *backends: str) -> tuple[AgentPool, ...]:
        return tuple(entry for entry in self.pools if entry.backend in backends)

    def pool(self, name: str | None) -> AgentPool | None:
        return next((entry for entry in self.pools if entry.name == name), None)

    def program(self, backend: str) -> ProgramSpec:
        return self.vdpa if backend == VDPA else self.translate

    @property
    def cpus(self) -> dict[str, tuple[int, ...]]:
        """All CPUs that are asked for, by where they stand."""
        named = {(kind, key): getattr(self.program(kind), key) for kind in (VDPA, TRANSLATE) for key in _CPU_KEYS}
        return {f"{VARIABLE}.{kind}.{key}": cpus for (kind, key), cpus in named.items() if cpus}


def parse_agent(spec: Any, variable: str = VARIABLE) -> tuple[AgentSpec, list[Problem]]:
    """Validate ``fastpath_node_agent``; all problems at once. The result is only of use where there is none."""
    problems: list[Problem] = []
    if spec is None:
        return AgentSpec(), problems
    if not isinstance(spec, Mapping):
        return AgentSpec(), [Problem(variable, spec, f"must be a mapping with the keys {', '.join(TOP_KEYS)}")]
    problems += unknown_keys(spec, TOP_KEYS, variable)
    pools = [
        _pool(entry, where, problems)
        for where, entry in read.entries(spec.get("pools"), f"{variable}.pools", "pools", problems)
    ]
    found = tuple(entry for entry in pools if entry is not None)
    _once(found, problems)
    values = {key: item for key, item in read.values(spec, _KEYS, variable, problems).items() if item is not None}
    vdpa = _program(spec.get(VDPA), ProgramSpec(), _VDPA_KEYS, f"{variable}.{VDPA}", problems)
    base = ProgramSpec(memory_mib=128)
    translate = _program(spec.get(TRANSLATE), base, _PROGRAM_KEYS, f"{variable}.{TRANSLATE}", problems)
    host_nic = parse_host_nics(spec.get("host_nic"), [entry.name for entry in found], f"{variable}.host_nic", problems)
    return AgentSpec(found, vdpa, translate, host_nic=host_nic, **values), problems


def _pool(entry: Any, variable: str, problems: list[Problem]) -> AgentPool | None:
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, "must be a mapping with the keys name and backend"))
        return None
    before = len(problems)
    problems += unknown_keys(entry, ("name", *_POOL_KEYS), variable)
    name = read.value(_name, entry.get("name"), f"{variable}.name", problems)
    values = {key: item for key, item in read.values(entry, _POOL_KEYS, variable, problems).items() if item is not None}
    backend = str(values.get("backend", VDPA))
    _check_backend(entry, backend, variable, problems)
    if len(problems) > before:
        return None
    if backend == OVS:
        values = {"mode": SERVER, "ports": DEFAULT_PORTS, **values}
    return AgentPool(name, variable=variable, **values)


def _check_backend(entry: Mapping[str, Any], backend: str, variable: str, problems: list[Problem]) -> None:
    """What makes sense for a back end, and what it cannot do without."""
    only = {"bridge": (OVS,), "vlan": (OVS,), "ports": (OVS,), "devargs": (VDPA, TRANSLATE)}
    for key, backends in only.items():
        if key in entry and backend not in backends:
            shape = f"is for the back end {' or '.join(backends)}, and this pool has {backend}"
            problems.append(Problem(f"{variable}.{key}", entry[key], shape))
    if backend != OVS:
        return
    if not entry.get("bridge"):
        problems.append(Problem(f"{variable}.bridge", None, "is missing: the bridge that gets a port for each pod"))
    if entry.get("mode") == CLIENT:
        shape = (
            "cannot be had: Open vSwitch makes such a socket in its own folder, on another mount than the pods'. "
            "Leave mode out, then the pod makes the socket and Open vSwitch connects to it"
        )
        problems.append(Problem(f"{variable}.mode", CLIENT, shape))


def _once(pools: Sequence[AgentPool], problems: list[Problem]) -> None:
    first: dict[str, AgentPool] = {}
    for entry in pools:
        former = first.setdefault(entry.name, entry)
        if former is not entry:
            shape = f"is also the name of {former.variable}: a pool has one back end"
            problems.append(Problem(f"{entry.variable}.name", entry.name, shape))


def _program(
    entry: Any, base: ProgramSpec, readers: Mapping[str, read.Reader], variable: str, problems: list[Problem]
) -> ProgramSpec:
    if entry is None:
        return base
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, f"must be a mapping with keys among {', '.join(readers)}"))
        return base
    problems += unknown_keys(entry, readers, variable)
    values = {key: item for key, item in read.values(entry, readers, variable, problems).items() if item is not None}
    found = ProgramSpec(**{"memory_mib": base.memory_mib, **values})
    shared = set(found.cpus) & set(found.forwarding_cpus)
    if shared:
        shape = f"has CPU {format_cpu_list(shared)}, which is in cpus too: a CPU that forwards has no time for others"
        problems.append(Problem(f"{variable}.forwarding_cpus", entry["forwarding_cpus"], shape))
    return found


def _name(value: Any) -> str:
    name = pool(value)
    if not name:
        raise Wrong("is missing: the name of the pool, as in the resource that pods ask for")
    return name


def _cpus(value: Any) -> tuple[int, ...]:
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


def _listen(value: Any) -> str:
    match = _LISTEN.match(value) if isinstance(value, str) else None
    if not match or not 0 < int(match.group("port")) < 65536:
        raise Wrong('must be an address and a port in quotes, such as "127.0.0.1:9465" or ":9465"')
    return str(value)


def _users(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise Wrong("must be a list of user numbers")
    return tuple(integer(item, 0, MAX_ID) for item in value)


_POOL_KEYS: Mapping[str, read.Reader] = {
    "backend": read.one_of(*BACKENDS),
    "mode": read.one_of(CLIENT, SERVER),
    "queues": lambda value: integer(value, 1, 128),
    "devargs": _matching(_DEVARGS, 'must be device arguments, such as "vdpa=1,sw-live-migration=1"'),
    "bridge": read.name,
    "vlan": lambda value: integer(value, 1, 4094),
    "ports": lambda value: integer(value, 1, MAX_PORTS),
    "user": lambda value: integer(value, 0, MAX_ID),
    "group": lambda value: integer(value, 0, MAX_ID),
    "label": _matching(_LABEL, 'must be an SELinux context, such as "system_u:object_r:container_file_t:s0"'),
}
_CPU_KEYS = ("cpus", "forwarding_cpus")
_PROGRAM_KEYS: Mapping[str, read.Reader] = {
    "cpus": _cpus,
    "forwarding_cpus": _cpus,
    "memory_mib": lambda value: integer(value, 8, 1024 * 1024),
    "eal_args": _words,
    "app_args": _words,
    "start_seconds": lambda value: integer(value, 1, 3600),
}
_VDPA_KEYS = {key: reader for key, reader in _PROGRAM_KEYS.items() if key != "forwarding_cpus"}
_KEYS: Mapping[str, read.Reader] = {
    "grpc": boolean,
    "grpc_users": _users,
    "listen": _listen,
    "whole_folders": boolean,
}
