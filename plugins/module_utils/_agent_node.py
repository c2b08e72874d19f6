# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The node's side of the node agent: looked at and brought about through the Host."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _agent_node_plan as planner
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_node_plan import (
    FOLDERS_PATH,
    FOLDERS_TEXT,
    HOST_NIC,
    MOUNT_POINT,
    NO_LINKS,
    OTHERS,
    OWN_FOLDERS,
    PLUGINS,
    PODS,
    SHARED_FOLDERS,
    SHIM,
    UNIT,
    UNIT_PATH,
    WANTED_BY,
    AgentNode,
    AgentNodeState,
    mount_options,
    parse_kernel,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map_node import settled_checks
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

# As the agent marks its plugins, in their first bytes.
MARK = b"# nfv.fastpath CNI shim "
SAVED = ".fastpath-saved-"
UMOUNT_SECONDS = 30.0


class AgentNodeConcern(Concern[AgentNodeState, AgentNode]):
    """The spec: ``{agent: ..., bin_dir: PATH, host_nic: [...], expected: {pool: number}}``."""

    name = "node_agent"

    def __init__(self, host: Host, bin_dir: str = "") -> None:
        super().__init__(host)
        # A teardown gets no spec: it is where it was.
        self.bin_dir = bin_dir or (self.store.desired() or {}).get("bin_dir") or AgentNode.bin_dir

    def parse(self, spec: Any) -> AgentNode:
        agent, problems = parse_agent(spec.get("agent"))
        host_nic = spec.get("host_nic")
        if host_nic is not None and not _is_list_of_mappings(host_nic):
            problems.append(Problem("host_nic", host_nic, "must be a list of mappings with the key pciAddress"))
        if problems:
            raise Refused(problems)
        text = as_json(host_nic) if host_nic else None
        return AgentNode(agent, spec.get("bin_dir") or self.bin_dir, text, dict(spec.get("expected") or {}))

    def discover(self) -> AgentNodeState:
        host = self.host
        folder = posixpath.dirname(UNIT_PATH)
        plugins = {name: self._whose(name) for name in PLUGINS}
        known = {*OWN_FOLDERS, *SHARED_FOLDERS, *self.store.record().get("folders", ())}
        return AgentNodeState(
            unit=host.read(UNIT_PATH),
            at_boot=host.read(FOLDERS_PATH),
            pods=host.exists(PODS),
            enabled=host.link_name(f"{folder}/{WANTED_BY}.wants/{UNIT}") is not None,
            mount=mount_options(host.read("/proc/self/mounts") or ""),
            host_nic=host.read(HOST_NIC),
            plugins={name: whose for name, whose in plugins.items() if whose},
            saved=tuple(name for name in PLUGINS if host.exists(f"{self.bin_dir}/{SAVED}{name}")),
            folders=tuple(sorted(path for path in known if host.exists(path))),
            kernel=parse_kernel(host.read_value("/proc/sys/kernel/osrelease") or ""),
            cpus=parse_cpu_list(host.read_value("/sys/devices/system/cpu/present") or ""),
            record=self.store.record(),
        )

    def plan(self, current: AgentNodeState, desired: AgentNode) -> Plan:
        problems = planner.node_problems(current, desired)
        if problems:
            raise Refused(problems)
        return planner.plan(current, desired)

    def plan_teardown(self, current: AgentNodeState) -> Plan:
        return planner.plan_teardown(current)

    def record(self, current: AgentNodeState, plan: Plan) -> dict[str, Any]:
        """``folders``: those that the pod will make, and that were not there. ``host_nic``: the file is ours."""
        kept = self.store.record()
        folders = (
            kept.get("folders") if kept else {missing for path in SHARED_FOLDERS for missing in self._missing(path)}
        )
        written = any(step.action == "write_host_nic" for step in plan.operations)
        return {"folders": sorted(folders or ()), "host_nic": written or bool(kept.get("host_nic"))}

    def perform(self, operation: Operation) -> None:
        getattr(self, f"_{operation.action}")(operation)

    def check(self, current: AgentNodeState, desired: AgentNode) -> list[Check]:
        """The mount by its effect, the plugins, then the map of sockets."""
        remedy = "Apply the role node_agent again."
        mounted = "absent" if current.mount is None else NO_LINKS if NO_LINKS in current.mount else "follows links"
        whose = {name: current.plugins.get(name, "absent") for name in PLUGINS}
        return [
            Check("node_agent.mount", self.name, MOUNT_POINT, NO_LINKS, mounted, remedy),
            Check("node_agent.mount_at_boot", self.name, UNIT, True, current.enabled, remedy),
            Check("node_agent.pods_folder", self.name, PODS, True, current.pods, remedy),
            Check("node_agent.plugins", self.name, desired.bin_dir, dict.fromkeys(PLUGINS, SHIM), whose, remedy),
            *settled_checks(self.host, desired.expected),
        ]

    def _whose(self, name: str) -> str:
        content = self.host.read_bytes(f"{self.bin_dir}/{name}")
        return "" if content is None else SHIM if MARK in content[:200] else OTHERS

    def _missing(self, path: str) -> Iterable[str]:
        while path != "/" and not self.host.exists(path):
            yield path
            path = posixpath.dirname(path)

    def _write_unit(self, operation: Operation) -> None:
        self.host.write_file(UNIT_PATH, operation.after)
        self.host.must_run(["systemctl", "daemon-reload"])

    def _mount(self, _operation: Operation) -> None:
        self.host.must_run(["systemctl", "enable", "--now", UNIT])

    def _make_pods_folder(self, _operation: Operation) -> None:
        self.host.write_file(FOLDERS_PATH, FOLDERS_TEXT)
        self.host.must_run(["systemd-tmpfiles", "--create", FOLDERS_PATH])

    def _remove_at_boot(self, _operation: Operation) -> None:
        self.host.remove(FOLDERS_PATH)

    def _unmount(self, _operation: Operation) -> None:
        self.host.must_run(["systemctl", "disable", "--now", UNIT], timeout=UMOUNT_SECONDS)

    def _remove_unit(self, _operation: Operation) -> None:
        self.host.remove(UNIT_PATH)
        self.host.must_run(["systemctl", "daemon-reload"])
        self.host.remove_empty_folder(MOUNT_POINT)

    def _write_host_nic(self, operation: Operation) -> None:
        self.host.write_file(HOST_NIC, operation.after)

    def _remove_host_nic(self, _operation: Operation) -> None:
        self.host.remove(HOST_NIC)

    def _remove_folder(self, operation: Operation) -> None:
        self.host.remove_folder(operation.target)

    def _remove_empty_folder(self, operation: Operation) -> None:
        self.host.remove_empty_folder(operation.target)

    def _give_back_plugin(self, operation: Operation) -> None:
        target, saved = f"{self.bin_dir}/{operation.target}", f"{self.bin_dir}/{SAVED}{operation.target}"
        former, mode = self.host.read_bytes(saved), self.host.mode(saved)
        if former is None:
            self.host.remove(target)
            return
        self.host.write_file(target, former, mode or 0o755)
        self.host.remove(saved)


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(item, Mapping) and "pciAddress" in item for item in value
    )
