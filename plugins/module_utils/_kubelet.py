# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The kubelet's configuration on a node, and what it has to forget when a policy changes. No I/O.

A copy of what the kubelet started with (our configuration, counts of hugepages) is taken at each of its starts by its
unit. What differs from that by now, it has not seen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import WrongCpus, format_cpu_list, parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    DROP_INS,
    MEMORY_MANAGER,
    Version,
    parse_version,
    shown,
    too_old,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import (
    VARIABLE,
    KubeletSpec,
    NumaNode,
    place_memory,
    show_bytes,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import (
    Files,
    changed_since,
    give_back,
    plan_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

NAME = "kubelet"
SERVICE = "kubelet.service"
CONFIG_DIR = "/etc/kubernetes/kubelet.conf.d"
CONFIG_NAME = "90-fastpath.conf"
UNIT = "/etc/systemd/system/kubelet.service.d/90-fastpath.conf"
SEEN = "fastpath-kubelet"
SEEN_FOLDER = f"/run/{SEEN}"
BASE = "--config=/var/lib/kubelet/config.yaml"
ARGUMENTS = "KUBELET_CONFIG_ARGS"
CPU_STATE, MEMORY_STATE = "/var/lib/kubelet/cpu_manager_state", "/var/lib/kubelet/memory_manager_state"
STOP, START, RELOAD, FORGET_STATE = "stop_kubelet", "start_kubelet", "reload_units", "remove_state"


@dataclass(frozen=True)
class KubeletState:
    """``arguments``: what the unit has in ``ARGUMENTS``; ``command``: its ExecStart and, if it runs, its own arguments.

    ``watched``: what a kubelet reads at its start only, by path; ``seen``: the same as it was at its last start, None
    where no start was watched yet.
    """

    version: str = ""
    loaded: bool = True
    active: bool = True
    reload_due: bool = False
    arguments: str = ""
    command: str = ""
    files: Files = field(default_factory=dict)
    watched: Mapping[str, str] = field(default_factory=dict)
    seen: Mapping[str, str] | None = None
    cpu_state: str | None = None
    memory_state: str | None = None
    cpus: tuple[int, ...] = ()
    numa: Mapping[int, NumaNode] = field(default_factory=dict)
    machine_bytes: int = 0
    guaranteed: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)


def plan_kubelet(current: KubeletState, desired: KubeletSpec, looking_ahead: bool = False) -> Plan:
    problems = _problems(current, desired, looking_ahead)
    if problems:
        raise Refused(problems)
    wanted = wanted_files(current, desired)
    files = plan_files(current.files, wanted, current.record.get("files", {}))
    stale = _stale(current, desired)
    unseen = _unseen(current, wanted)
    return _as_plan(current, files, stale, bool(unseen), {**current.files, **wanted})


def plan_kubelet_teardown(current: KubeletState) -> Plan:
    files = give_back(current.files, current.record.get("files", {}))
    former = current.record.get("policies", {})
    stale = [
        (path, "its policy goes")
        for path, text, key in ((CPU_STATE, current.cpu_state, "cpu"), (MEMORY_STATE, current.memory_state, "memory"))
        if key in former and text is not None and _policy(text).lower() != str(former[key]).lower()
    ]
    return _as_plan(current, files, stale, False, {})


def _as_plan(
    current: KubeletState, files: list[Operation], stale: list[tuple[str, str]], unseen: bool, after: Files
) -> Plan:
    """The kubelet never runs while its files and its memory do not fit each other, however short."""
    stopped = bool(current.record.get("stopped"))
    touched = bool(files or stale or current.reload_due)
    runs = current.loaded and (current.active or stopped)
    operations: list[Operation] = []
    if (touched or unseen) and current.active:
        operations.append(Operation(STOP, SERVICE, True, False))
    for path, why in stale:
        # Only they get CPUs and memory of their own.
        words = f"{current.guaranteed} Guaranteed pods run here as the former policy placed them ({why})"
        reason = words if current.guaranteed else ""
        operations.append(Operation(FORGET_STATE, path, None, None, bool(reason), reason))
    operations += files
    if current.loaded and (current.reload_due or any(step.target == UNIT for step in files)):
        operations.append(Operation(RELOAD, SERVICE))
    if runs and (operations or not current.active):
        operations.append(Operation(START, SERVICE, False, True))
    return Plan(
        operations=tuple(operations),
        before={path: text for path, text in sorted(current.files.items()) if text is not None},
        after={path: text for path, text in sorted(after.items()) if text is not None},
        warnings=tuple(
            f"{path} was changed by somebody since it was written."
            for path in changed_since(current.files, current.record.get("files", {}))
        ),
    )


def wanted_files(current: KubeletState, desired: KubeletSpec) -> dict[str, str]:
    folder = config_dir(current)
    return {f"{folder}/{CONFIG_NAME}": configuration(current, desired), UNIT: unit_text(current, folder)}


def configuration(current: KubeletState, desired: KubeletSpec) -> str:
    """JSON, which is YAML too. A map in it is added to that of the main file, a list takes its place."""
    said: dict[str, Any] = {
        **desired.config,
        "cpuManagerPolicy": desired.cpu_manager,
        "cpuManagerPolicyOptions": dict(desired.cpu_options),
        "topologyManagerPolicy": desired.topology_manager,
        "topologyManagerScope": desired.topology_scope,
        "topologyManagerPolicyOptions": dict(desired.topology_options),
        "memoryManagerPolicy": desired.memory_manager,
        "reservedSystemCPUs": format_cpu_list(desired.reserved_cpus),
        "kubeReserved": dict(desired.kube_reserved),
        "systemReserved": dict(desired.system_reserved),
        "evictionHard": desired.eviction() if desired.eviction_hard or desired.static_memory else {},
    }
    if desired.static_memory:
        placed, _problems_of_it = place_memory(desired, current.numa, current.machine_bytes)
        # Not said, an amount of the main file would count and spoil the sum.
        for key in ("kubeReserved", "systemReserved"):
            said[key] = {"memory": "0", **said[key]}
        said["reservedMemory"] = [
            {"numaNode": number, "limits": {"memory": show_bytes(size)}} for number, size in sorted(placed.items())
        ]
    head = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
    return as_json({**head, **{key: value for key, value in said.items() if value not in ("", {})}})


def unit_text(current: KubeletState, folder: str) -> str:
    """Beside the unit that somebody else has written: where further configuration is, and the look at each start."""
    lines = ["# Written by nfv.fastpath.", "[Service]"]
    if folder == CONFIG_DIR:
        lines.append(f'Environment="{ARGUMENTS}={_base(current)} --config-dir={CONFIG_DIR}"')
    watched = sorted({*current.watched, f"{folder}/{CONFIG_NAME}"})
    lines += [
        f"RuntimeDirectory={SEEN}",
        f"ExecStartPre=-/bin/cp --parents --target-directory={SEEN_FOLDER} {' '.join(watched)}",
    ]
    return "\n".join(lines) + "\n"


def config_dir(current: KubeletState) -> str:
    """A folder that the kubelet reads already is as good as ours."""
    for word in shlex.split(current.arguments) + current.command.split():
        if word.startswith("--config-dir="):
            return word.split("=", 1)[1]
    return CONFIG_DIR


def policies_before(current: KubeletState) -> dict[str, str]:
    return {
        key: _policy(text) or "none" for key, text in (("cpu", current.cpu_state), ("memory", current.memory_state))
    }


def _base(current: KubeletState) -> str:
    words = [word for word in shlex.split(current.arguments) if word != f"--config-dir={CONFIG_DIR}"]
    return " ".join(words) or BASE


def _unseen(current: KubeletState, wanted: Files) -> list[str]:
    """What is otherwise than at the start. Without a look at it our unit is new, and then there is a start anyway."""
    if current.seen is None:
        return []
    now = {**current.watched, **{path: text for path, text in wanted.items() if path != UNIT and text is not None}}
    return [path for path, text in sorted(now.items()) if current.seen.get(path) != text]


def _stale(current: KubeletState, desired: KubeletSpec) -> list[tuple[str, str]]:
    """State files that the kubelet would stumble over at its next start, each with the reason."""
    found = []
    cpu = current.cpu_state is not None and _cpu_mismatch(current, desired)
    memory = current.memory_state is not None and _memory_mismatch(current, desired)
    if cpu:
        found.append((CPU_STATE, cpu))
    if memory:
        found.append((MEMORY_STATE, memory))
    return found


def _cpu_mismatch(current: KubeletState, desired: KubeletSpec) -> str:
    wanted = desired.cpu_manager or str(current.record.get("policies", {}).get("cpu", ""))
    state = _json(current.cpu_state)
    if not wanted:
        return ""
    if state.get("policyName") != wanted:
        return f"CPU manager {state.get('policyName')} becomes {wanted}"
    if wanted != "static" or not desired.reserved_cpus or not state.get("defaultCpuSet"):
        return ""
    shared = _cpus(state["defaultCpuSet"])
    taken = {cpu for pod in (state.get("entries") or {}).values() for text in pod.values() for cpu in _cpus(text)}
    reserved = set(desired.reserved_cpus)
    strict = desired.cpu_options.get("strict-cpu-reservation") == "true"
    if (reserved & shared) if strict else (reserved - shared):
        return f"CPUs {format_cpu_list(reserved)} become reserved"
    expected = set(current.cpus) - (reserved if strict else set())
    if current.cpus and shared | taken != expected:
        return "this machine has other CPUs now"
    return ""


def _memory_mismatch(current: KubeletState, desired: KubeletSpec) -> str:
    wanted = desired.memory_manager or str(current.record.get("policies", {}).get("memory", ""))
    state = _json(current.memory_state)
    if not wanted:
        return ""
    if str(state.get("policyName")).lower() != wanted.lower():
        return f"memory manager {state.get('policyName')} becomes {wanted}"
    if wanted != "Static":
        return ""
    placed, _problems_of_it = place_memory(desired, current.numa, current.machine_bytes)
    for number, node in current.numa.items():
        table = ((state.get("machineState") or {}).get(str(number)) or {}).get("memoryMap") or {}
        memory = table.get("memory") or {}
        if memory.get("total") != node.memory:
            return f"NUMA node {number} has another amount of memory now"
        if memory.get("systemReserved") != placed.get(number, 0):
            return f"{show_bytes(placed.get(number, 0))} become reserved on NUMA node {number}"
        for size_kb, size in node.huge.items():
            if (table.get(_resource(size_kb)) or {}).get("total", 0) != size:
                return f"NUMA node {number} has other hugepages now"
    return ""


def _resource(size_kb: int) -> str:
    """The kubelet's name of a page size."""
    for unit, factor in (("Gi", 2**20), ("Mi", 2**10)):
        if size_kb % factor == 0:
            return f"hugepages-{size_kb // factor}{unit}"
    return f"hugepages-{size_kb}Ki"


def _problems(current: KubeletState, desired: KubeletSpec, looking_ahead: bool) -> list[Problem]:
    version = parse_version(current.version)
    if version is None or not current.loaded:
        if looking_ahead:
            return _node_problems(current, desired)
        message = "has no kubelet, or no unit kubelet.service for it: bring it into a cluster first"
        return [Problem(VARIABLE, "this node", message)]
    problems = _version_problems(version, desired)
    if ARGUMENTS not in current.command and "--config-dir=" not in current.command:
        message = (
            f"does not hand ${ARGUMENTS} to the kubelet, nor --config-dir: add one of them to its unit, "
            "or set the policies where this kubelet has its configuration"
        )
        problems.append(Problem(VARIABLE, SERVICE, message))
    return problems + _node_problems(current, desired)


def _version_problems(version: Version, desired: KubeletSpec) -> list[Problem]:
    seen = f"kubelet {shown(version)}"
    if too_old(version):
        return [Problem(VARIABLE, seen, too_old(version))]
    if version < DROP_INS:
        message = f"reads no further configuration before {shown(DROP_INS)}: set the policies in its own, or upgrade"
        return [Problem(VARIABLE, seen, message)]
    if desired.static_memory and version < MEMORY_MANAGER:
        return [Problem(f"{VARIABLE}.memory_manager", seen, f"has no memory manager before {shown(MEMORY_MANAGER)}")]
    return []


def _node_problems(current: KubeletState, desired: KubeletSpec) -> list[Problem]:
    problems = []
    missing = sorted(set(desired.reserved_cpus) - set(current.cpus))
    if missing and current.cpus:
        message = f"names CPUs that this node does not have; it has {format_cpu_list(current.cpus)}"
        problems.append(Problem(f"{VARIABLE}.reserved_cpus", format_cpu_list(desired.reserved_cpus), message))
    elif desired.reserved_cpus and set(desired.reserved_cpus) == set(current.cpus):
        problems.append(
            Problem(f"{VARIABLE}.reserved_cpus", format_cpu_list(desired.reserved_cpus), "leaves no CPU for pods")
        )
    if desired.static_memory:
        if not desired.reserved_bytes(current.machine_bytes):
            message = "needs memory in kube_reserved, system_reserved or eviction_hard: the kubelet refuses none at all"
            problems.append(Problem(f"{VARIABLE}.memory_manager", "Static", message))
        problems += place_memory(desired, current.numa, current.machine_bytes)[1]
    return problems


def _policy(text: str | None) -> str:
    return str(_json(text).get("policyName") or "")


def _json(text: str | None) -> dict[str, Any]:
    """What cannot be read fits nothing."""
    try:
        state = json.loads(text or "")
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _cpus(text: Any) -> set[int]:
    try:
        return set(parse_cpu_list(str(text)))
    except WrongCpus:
        return set()
