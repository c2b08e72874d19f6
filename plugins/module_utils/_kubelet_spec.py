# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is wanted of the kubelet, and its arithmetic of memory. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import WrongCpus, parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys

VARIABLE = "fastpath_kubelet"
CPU_POLICIES = ("none", "static")
MEMORY_POLICIES = ("None", "Static")
TOPOLOGY_POLICIES = ("none", "best-effort", "restricted", "single-numa-node")
SCOPES = ("container", "pod")
EVICTION = "memory.available"
# Named by us means that the kubelet's own defaults count no more, so the others are said again.
EVICTION_DEFAULTS = {
    EVICTION: "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
}
KEYS = (
    "cpu_manager",
    "cpu_manager_options",
    "topology_manager",
    "topology_scope",
    "topology_manager_options",
    "memory_manager",
    "reserved_cpus",
    "reserved_memory",
    "kube_reserved",
    "system_reserved",
    "eviction_hard",
    "config",
)
# By key of the kubelet's own configuration, what of ours makes it.
OWN = {
    "apiVersion": "",
    "kind": "",
    "cpuManagerPolicy": "cpu_manager",
    "cpuManagerPolicyOptions": "cpu_manager_options",
    "topologyManagerPolicy": "topology_manager",
    "topologyManagerScope": "topology_scope",
    "topologyManagerPolicyOptions": "topology_manager_options",
    "memoryManagerPolicy": "memory_manager",
    "reservedMemory": "reserved_memory",
    "reservedSystemCPUs": "reserved_cpus",
    "kubeReserved": "kube_reserved",
    "systemReserved": "system_reserved",
    "evictionHard": "eviction_hard",
}
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_QUANTITY = re.compile(r"([0-9]+)(|k|M|G|T|Ki|Mi|Gi|Ti)\Z")
_CPU = re.compile(r"[0-9]+(\.[0-9]{1,3})?\Z|[0-9]+m\Z")
_PERCENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]+)?)%\Z")
MEBI = 2**20


@dataclass(frozen=True)
class KubeletSpec:
    """Empty: left as the node's own configuration has it. ``reserved_memory``: bytes by NUMA node, None: computed."""

    cpu_manager: str = ""
    cpu_options: Mapping[str, str] = field(default_factory=dict)
    topology_manager: str = ""
    topology_scope: str = ""
    topology_options: Mapping[str, str] = field(default_factory=dict)
    memory_manager: str = ""
    reserved_cpus: tuple[int, ...] = ()
    reserved_memory: Mapping[int, int] | None = None
    kube_reserved: Mapping[str, str] = field(default_factory=dict)
    system_reserved: Mapping[str, str] = field(default_factory=dict)
    eviction_hard: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def static_memory(self) -> bool:
        return self.memory_manager == "Static"

    def eviction(self) -> dict[str, str]:
        return {**EVICTION_DEFAULTS, **self.eviction_hard}

    def reserved_bytes(self, machine_bytes: int) -> int:
        """What the kubelet keeps from pods: the sum over all NUMA nodes must be this, to the byte."""
        total = threshold_bytes(self.eviction()[EVICTION], machine_bytes)
        return total + sum(
            parse_quantity(kept.get("memory", "0")) or 0 for kept in (self.kube_reserved, self.system_reserved)
        )


@dataclass(frozen=True)
class NumaNode:
    """``huge``: bytes of pages by size in kB."""

    memory: int
    cpus: tuple[int, ...] = ()
    huge: Mapping[int, int] = field(default_factory=dict)

    @property
    def ordinary(self) -> int:
        return self.memory - sum(self.huge.values())


def parse_quantity(value: Any) -> int | None:
    """Bytes; None where it is no amount of memory."""
    match = _QUANTITY.match(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    return int(match.group(1)) * _UNITS[match.group(2)] if match else None


def threshold_bytes(value: str, machine_bytes: int) -> int:
    percent = _PERCENT.match(value)
    if percent:
        return int(machine_bytes * (float(percent.group(1)) / 100))
    return parse_quantity(value) or 0


def show_bytes(value: int) -> str:
    return f"{value // MEBI}Mi" if value % MEBI == 0 else str(value)


def place_memory(
    spec: KubeletSpec, numa: Mapping[int, NumaNode], machine_bytes: int
) -> tuple[dict[int, int], list[Problem]]:
    """Bytes by NUMA node. Without a wish they come from where the reserved CPUs are: what uses them runs there."""
    total = spec.reserved_bytes(machine_bytes)
    if spec.reserved_memory is not None:
        return dict(spec.reserved_memory), _wish_problems(spec.reserved_memory, numa, total, machine_bytes, spec)
    near = [number for number, node in sorted(numa.items()) if set(node.cpus) & set(spec.reserved_cpus) and node.memory]
    nodes = near or [number for number, node in sorted(numa.items()) if node.memory][:1]
    if not nodes:
        return {}, [Problem(f"{VARIABLE}.memory_manager", "Static", "needs NUMA nodes, and this node shows none")]
    share = total // len(nodes) // MEBI * MEBI
    placed = dict.fromkeys(nodes, share)
    placed[nodes[0]] += total - share * len(nodes)
    short = [number for number, size in placed.items() if size > numa[number].ordinary]
    if short:
        message = (
            f"{show_bytes(placed[short[0]])} are to be reserved on NUMA node {short[0]}, which has only "
            f"{show_bytes(max(numa[short[0]].ordinary, 0))} beside its hugepages: say how much comes from where"
        )
        return placed, [Problem(f"{VARIABLE}.reserved_memory", None, message)]
    return {number: size for number, size in placed.items() if size}, []


def _wish_problems(
    wish: Mapping[int, int], numa: Mapping[int, NumaNode], total: int, machine_bytes: int, spec: KubeletSpec
) -> list[Problem]:
    where = f"{VARIABLE}.reserved_memory"
    problems = [
        Problem(f"{where}.{number}", show_bytes(size), f"is no NUMA node with memory; there are {_listed(numa)}")
        for number, size in wish.items()
        if number not in numa or not numa[number].memory
    ]
    problems += [
        Problem(
            f"{where}.{number}",
            show_bytes(size),
            f"is more than its {show_bytes(numa[number].ordinary)} beside hugepages",
        )
        for number, size in wish.items()
        if number in numa and numa[number].memory and size > numa[number].ordinary
    ]
    if sum(wish.values()) != total:
        amounts = {
            "kube_reserved": spec.kube_reserved.get("memory", "0"),
            "system_reserved": spec.system_reserved.get("memory", "0"),
            EVICTION: show_bytes(threshold_bytes(spec.eviction()[EVICTION], machine_bytes)),
        }
        parts = ", ".join(f"{name} {amount}" for name, amount in amounts.items())
        message = f"is {show_bytes(sum(wish.values()))} in all, and must be {show_bytes(total)}, the sum of {parts}"
        problems.append(Problem(where, {number: show_bytes(size) for number, size in wish.items()}, message))
    return problems


def _listed(numa: Mapping[int, NumaNode]) -> str:
    return ", ".join(str(number) for number, node in sorted(numa.items()) if node.memory) or "none"


def parse_kubelet(value: Any, variable: str = VARIABLE) -> tuple[KubeletSpec, list[Problem]]:
    if value is None:
        return KubeletSpec(), []
    if not isinstance(value, Mapping):
        return KubeletSpec(), [
            Problem(variable, value, "must be a mapping, e.g. {cpu_manager: static, reserved_cpus: 0-1}")
        ]
    problems = unknown_keys(value, KEYS, variable)
    parser = _Parser(value, variable, problems)
    spec = KubeletSpec(
        cpu_manager=parser.word("cpu_manager", CPU_POLICIES),
        cpu_options=parser.options("cpu_manager_options"),
        topology_manager=parser.word("topology_manager", TOPOLOGY_POLICIES),
        topology_scope=parser.word("topology_scope", SCOPES),
        topology_options=parser.options("topology_manager_options"),
        memory_manager=parser.word("memory_manager", MEMORY_POLICIES),
        reserved_cpus=parser.cpus("reserved_cpus"),
        reserved_memory=parser.memory("reserved_memory"),
        kube_reserved=parser.reserved("kube_reserved"),
        system_reserved=parser.reserved("system_reserved"),
        eviction_hard=parser.eviction("eviction_hard"),
        config=parser.config("config"),
    )
    return spec, problems + _together(spec, value, variable)


def _together(spec: KubeletSpec, value: Mapping[Any, Any], variable: str) -> list[Problem]:
    """What the kubelet would refuse at its start, where nobody looks."""
    problems = []
    cpu = any("cpu" in kept for kept in (spec.kube_reserved, spec.system_reserved))
    if spec.cpu_manager == "static" and not (spec.reserved_cpus or cpu):
        message = "needs reserved_cpus, or cpu in kube_reserved or system_reserved: the node itself needs some CPU"
        problems.append(Problem(f"{variable}.cpu_manager", "static", message))
    if spec.cpu_options and spec.cpu_manager != "static":
        problems.append(
            Problem(f"{variable}.cpu_manager_options", dict(spec.cpu_options), "are for cpu_manager static only")
        )
    if spec.reserved_memory is not None and not spec.static_memory:
        message = "is for memory_manager Static only"
        problems.append(Problem(f"{variable}.reserved_memory", value["reserved_memory"], message))
    return problems


@dataclass(frozen=True)
class _Parser:
    value: Mapping[Any, Any]
    variable: str
    problems: list[Problem]

    def _wrong(self, key: str, given: Any, message: str) -> None:
        self.problems.append(Problem(f"{self.variable}.{key}", given, message))

    def word(self, key: str, words: tuple[str, ...]) -> str:
        given = self.value.get(key)
        if given is None:
            return ""
        for word in words:
            if isinstance(given, str) and given.lower() == word.lower():
                return word
        self._wrong(
            key, given, f"must be one of {', '.join(words)} (none in quotes)" if given else f"must be one of {words}"
        )
        return ""

    def _mapping(self, key: str, example: str) -> Mapping[Any, Any]:
        given = self.value.get(key)
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            self._wrong(key, given, f"must be a mapping, e.g. {example}")
            return {}
        return given

    def options(self, key: str) -> dict[str, str]:
        """The kubelet wants texts; YAML has made booleans of what users write."""
        found = {}
        for name, given in self._mapping(key, '{full-pcpus-only: "true"}').items():
            if isinstance(given, (bool, int, str)):
                found[str(name)] = str(given).lower() if isinstance(given, bool) else str(given)
            else:
                self._wrong(f"{key}.{name}", given, "must be a text, number or boolean")
        return found

    def cpus(self, key: str) -> tuple[int, ...]:
        try:
            return parse_cpu_list(self.value.get(key))
        except WrongCpus as wrong:
            self._wrong(key, self.value[key], str(wrong))
            return ()

    def memory(self, key: str) -> dict[int, int] | None:
        if self.value.get(key) is None:
            return None
        found = {}
        for number, given in self._mapping(key, "{0: 1Gi, 1: 512Mi}").items():
            size = parse_quantity(given)
            if size is None or not re.match(r"[0-9]+\Z", str(number)):
                self._wrong(f"{key}.{number}", given, "must be an amount of memory such as 512Mi, by NUMA node")
            elif size:
                found[int(number)] = size
        return found

    def reserved(self, key: str) -> dict[str, str]:
        found = {}
        for name, given in self._mapping(key, "{memory: 512Mi, cpu: 500m}").items():
            right = _CPU.match(str(given)) if name == "cpu" else parse_quantity(given) is not None
            if name not in ("cpu", "memory", "ephemeral-storage", "pid") or isinstance(given, bool) or not right:
                self._wrong(f"{key}.{name}", given, "must be cpu (500m), memory (512Mi), ephemeral-storage or pid")
            else:
                found[str(name)] = str(given)
        return found

    def eviction(self, key: str) -> dict[str, str]:
        found = {}
        for name, given in self._mapping(key, "{memory.available: 200Mi}").items():
            if isinstance(given, bool) or (parse_quantity(given) is None and not _PERCENT.match(str(given))):
                self._wrong(f"{key}.{name}", given, "must be an amount such as 200Mi, or a share such as 5%")
            else:
                found[str(name)] = str(given)
        return found

    def config(self, key: str) -> dict[str, Any]:
        given = dict(self._mapping(key, "{maxPods: 200}"))
        for name in sorted(set(map(str, given)) & set(OWN)):
            instead = f"is said by {self.variable}.{OWN[name]}" if OWN[name] else "is written by the role"
            self._wrong(f"{key}.{name}", given.pop(name), instead)
        return given
