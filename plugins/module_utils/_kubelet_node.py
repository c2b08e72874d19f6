# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The kubelet on a node: the concern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_sysfs import (
    NODES,
    all_pages,
    memory,
    pool_folder,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import version_said
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet import (
    ARGUMENTS,
    CONFIG_DIR,
    CONFIG_NAME,
    CPU_STATE,
    FORGET_STATE,
    MEMORY_STATE,
    NAME,
    RELOAD,
    SEEN_FOLDER,
    SERVICE,
    START,
    STOP,
    UNIT,
    KubeletState,
    config_dir,
    plan_kubelet,
    plan_kubelet_teardown,
    policies_before,
    wanted_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_spec import KubeletSpec, NumaNode, parse_kubelet
from ansible_collections.nfv.fastpath.plugins.module_utils._owned_files import (
    ACTIONS,
    perform_file,
    read_files,
    record_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._systemd import unit_environment, unit_properties

# Folders of Guaranteed pods, as systemd or the kubelet itself makes them; the other two classes are one level below.
GUARANTEED_FOLDERS = (
    "/sys/fs/cgroup/kubepods.slice",
    "/sys/fs/cgroup/kubepods",
    "/sys/fs/cgroup/cpuset/kubepods.slice",
    "/sys/fs/cgroup/cpuset/kubepods",
)
_GUARANTEED = re.compile(r"(kubepods-)?pod[0-9a-f]")
SECONDS = 120.0
APPLY = "Apply the role kubernetes again, and look at journalctl -u kubelet."
PROPERTIES = ("LoadState", "ActiveState", "NeedDaemonReload", "MainPID", "Environment", "ExecStart")


class KubeletConcern(Concern[KubeletState, KubeletSpec]):
    """Spec: see ``parse_kubelet``. ``looking_ahead``: the node may still be about to join."""

    name = NAME

    def __init__(self, host: Host, looking_ahead: bool = False) -> None:
        super().__init__(host)
        self.looking_ahead = looking_ahead
        self._contents: Mapping[str, str] = {}
        self._awaited: list[str] = []

    def parse(self, spec: Any) -> KubeletSpec:
        desired, problems = parse_kubelet(spec)
        if problems:
            raise Refused(problems)
        return desired

    def discover(self) -> KubeletState:
        host, record = self.host, self.store.record()
        unit = unit_properties(host, SERVICE, PROPERTIES)
        cpus = host.read_value("/sys/devices/system/cpu/online") or ""
        state = KubeletState(
            version=version_said(host.run(["kubelet", "--version"]).out) or "",
            loaded=unit["LoadState"] == "loaded",
            active=unit["ActiveState"] in ("active", "activating", "reloading"),
            reload_due=unit["NeedDaemonReload"] == "yes",
            arguments=unit_environment(unit["Environment"]).get(ARGUMENTS, ""),
            command=f"{unit['ExecStart']} {_command_line(host, unit['MainPID'])}",
            files={},
            watched=_pages(host),
            cpu_state=host.read(CPU_STATE),
            memory_state=host.read(MEMORY_STATE),
            cpus=parse_cpu_list(cpus),
            numa=_numa(host),
            machine_bytes=memory(host)[None] * 1024,
            guaranteed=_guaranteed(host),
            record=record,
        )
        return self._with_files(state)

    def _with_files(self, state: KubeletState) -> KubeletState:
        own = f"{config_dir(state)}/{CONFIG_NAME}"
        files = read_files(self.host, [own, UNIT, *state.record.get("files", {})])
        seen = None
        if self.host.exists(SEEN_FOLDER) and files.get(UNIT) is not None:
            there = read_files(self.host, [f"{SEEN_FOLDER}{path}" for path in (own, *state.watched)])
            seen = {path[len(SEEN_FOLDER) :]: text for path, text in there.items() if text is not None}
        return KubeletState(**{**vars(state), "files": files, "seen": seen})

    def plan(self, current: KubeletState, desired: KubeletSpec) -> Plan:
        plan = plan_kubelet(current, desired, self.looking_ahead)
        self._contents = wanted_files(current, desired)
        return plan

    def plan_teardown(self, current: KubeletState) -> Plan:
        return plan_kubelet_teardown(current)

    def record(self, current: KubeletState, plan: Plan) -> dict[str, Any]:
        files = record_files(self.host, current.record.get("files", {}), current.files, plan.operations)
        return {"policies": policies_before(current), **current.record, "files": files}

    def perform(self, operation: Operation) -> None:
        if operation.action in ACTIONS:
            perform_file(self.host, operation, self._contents, self.store.record().get("files", {}))
            if operation.target.startswith(f"{CONFIG_DIR}/") or operation.target == UNIT:
                self.host.remove_empty_folder(operation.target.rsplit("/", 1)[0])
        elif operation.action == FORGET_STATE:
            self.host.remove(operation.target)
            self._awaited.append(operation.target)
        elif operation.action == RELOAD:
            self.host.must_run(["systemctl", "daemon-reload"])
        elif operation.action == STOP:
            # Cut off here, the next run has to know that it was not somebody else who stopped it.
            self.store.save_record({**self.store.record(), "stopped": True})
            self.host.must_run(["systemctl", "stop", SERVICE], timeout=SECONDS)
        elif operation.action == START:
            self._start()

    def _start(self) -> None:
        """A kubelet that does not like its configuration is started again and again, and is active meanwhile."""
        self.host.must_run(["systemctl", "start", SERVICE], timeout=SECONDS)
        try:
            for path in self._awaited:
                self.host.wait_for(lambda path=path: self.host.exists(path), SECONDS, path)  # type: ignore[misc]
        except FastpathError as late:
            said = self.host.run(["journalctl", "--unit", SERVICE, "--lines", "3", "--output", "cat"]).out.strip()
            raise FastpathError(f"The kubelet does not come up with its new configuration: {said[-1000:]}") from late
        self.store.save_record({key: value for key, value in self.store.record().items() if key != "stopped"})

    def check(self, current: KubeletState, desired: KubeletSpec) -> list[Check]:
        checks = [Check("kubelet.active", NAME, SERVICE, True, current.active, APPLY)]
        plan = plan_kubelet(current, desired)
        written = [step.target for step in plan.operations if step.action in ACTIONS]
        checks.append(Check("kubelet.configuration", NAME, "files", [], written, APPLY))
        stale = [step.target for step in plan.operations if step.action == FORGET_STATE]
        checks.append(Check("kubelet.policies", NAME, "state files that do not fit", [], stale, APPLY))
        seen = current.seen or {}
        late = [path for path, count in sorted(current.watched.items()) if seen.get(path) != count]
        checks.append(Check("kubelet.hugepages_seen", NAME, "counts that changed since its start", [], late, APPLY))
        return checks


def _pages(host: Host) -> dict[str, str]:
    """Counts of hugepages as the kubelet reads them, by NUMA node where there are any."""
    places = [place for place in all_pages(host) if place[1] is not None] or list(all_pages(host))
    paths = [f"{pool_folder(place)}/nr_hugepages" for place in places]
    return {path: text for path, text in read_files(host, paths).items() if text is not None}


def _numa(host: Host) -> dict[int, NumaNode]:
    pages = all_pages(host)
    found = {}
    for number, size_kb in memory(host).items():
        if number is not None:
            huge = {size: counts.total * size * 1024 for (size, node), counts in pages.items() if node == number}
            cpus = parse_cpu_list(host.read_value(f"{NODES}/node{number}/cpulist") or "")
            found[number] = NumaNode(size_kb * 1024, cpus, huge)
    return found


def _guaranteed(host: Host) -> int:
    names = {name for folder in GUARANTEED_FOLDERS for name in host.listdir(folder)}
    return sum(bool(_GUARANTEED.match(name)) for name in names)


def _command_line(host: Host, pid: str) -> str:
    return (host.read(f"/proc/{pid}/cmdline") or "").replace("\0", " ") if pid not in ("", "0") else ""
