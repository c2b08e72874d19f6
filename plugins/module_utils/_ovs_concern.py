# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The Open vSwitch concern: other_config, bridges and ports of a node, for the module and for verification."""

from __future__ import annotations

import os
import posixpath
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_plan
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_apply import OvsWork, Restored
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_discovery import (
    folder_problems,
    read_facts,
    read_files,
    read_service,
    with_devices,
    with_versions,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_preconditions import find, socket_folders
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec, parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import ALL_OPENFLOW, OvsState, flow_text
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

DIFFERENT = 2


class OvsDpdkConcern(Concern[OvsState, OvsSpec]):
    """``looking_ahead``: nothing will be done, so what other roles would bring about may still be absent."""

    name = "ovs_dpdk"

    def __init__(
        self, host: Host, timeout: float = 60, looking_ahead: bool = False, database: Ovsdb | None = None
    ) -> None:
        super().__init__(host)
        self.timeout = timeout
        self.looking_ahead = looking_ahead
        self.database = database or Ovsdb(host)
        self._current = OvsState()

    def parse(self, spec: Any) -> OvsSpec:
        parsed, problems = parse_ovs(spec)
        if problems:
            raise Refused(problems)
        return parsed

    def discover(self) -> OvsState:
        database = self.database.read()
        self._current = OvsState(
            database=database,
            service=read_service(self.host, self.database.serving),
            facts=read_facts(self.host),
            record=self.store.record(),
            files=read_files(self.host),
        )
        return self._current

    def plan(self, current: OvsState, desired: OvsSpec) -> Plan:
        current = self._with_what_it_needs(current, desired)
        resolved, unresolved = _ovs_plan.resolve(current, desired)
        folders = folder_problems(self.host, socket_folders(resolved))
        current = replace(
            current,
            facts=replace(current.facts, folders=folders),
            other_flows=frozenset(self._bridges_with_other_flows(current, resolved)),
        )
        findings = find(current, resolved)
        missing = unresolved + [item for item in findings.missing if item.value not in _texts(unresolved)]
        warnings = list(findings.warnings)
        if self.looking_ahead:
            warnings += [f"{problem}. A run would be refused if this is still so." for problem in missing]
            missing = []
        if findings.problems or missing:
            raise Refused(findings.problems + missing)
        return _ovs_plan.plan(current, resolved, tuple(warnings))

    def plan_teardown(self, current: OvsState) -> Plan:
        return _ovs_plan.plan_teardown(current)

    def record(self, current: OvsState, plan: Plan) -> dict[str, Any]:
        return _ovs_plan.record(current, plan)

    def perform(self, operation: Operation) -> None:
        """Files and the server; what belongs to the transaction waits for ``finish``."""
        if operation.action == _ovs_plan.WRITE_FILE:
            self.host.write_file(operation.target, operation.after)
        elif operation.action == _ovs_plan.REMOVE_FILE:
            self.host.remove(operation.target)
            self._remove_empty(posixpath.dirname(operation.target))
        elif operation.action == _ovs_plan.START_SERVER:
            if not self._current.service.installed:
                raise FastpathError("Open vSwitch is not installed: the role ovs_dpdk installs it.")
            OvsWork(self.host, self.database, self.timeout).start_server()

    def _remove_empty(self, folder: str) -> None:
        if not self.host.listdir(folder) and self.host.exists(folder):
            os.rmdir(self.host.path(folder))

    def finish(self, plan: Plan) -> None:
        former = self._current
        work = OvsWork(self.host, self.database, self.timeout)
        try:
            work.bring_about(plan, former.database)
        except Restored:
            self.store.save_record(dict(former.record))
            raise
        forgotten = {text for step in plan.operations if step.action == _ovs_plan.FORGET for text in step.before}
        if forgotten:
            kept = self.store.record()
            kept["cells"] = {text: value for text, value in kept.get("cells", {}).items() if text not in forgotten}
            self.store.save_record(kept)

    def check(self, current: OvsState, desired: OvsSpec) -> list[Check]:
        from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_check import checks, parse_pmd_rxq_show

        current = self._with_what_it_needs(current, desired)
        resolved, _problems = _ovs_plan.resolve(current, desired)
        return checks(current, resolved, parse_pmd_rxq_show(self._pmd_rxq_show(current)))

    def _with_what_it_needs(self, current: OvsState, desired: OvsSpec) -> OvsState:
        """What is costly to look at, and does not matter to every spec."""
        if desired.uses_dpdk:
            service = with_versions(self.host, current.service, current.database.root)
            current = replace(current, service=service)
        if any(interface.device_text for interface in desired.interfaces):
            current = replace(current, facts=with_devices(self.host, current.facts))
        return current

    def _pmd_rxq_show(self, current: OvsState) -> str:
        if not current.service.running:
            return ""
        argv = ["ovs-appctl", f"--timeout={self.timeout:g}", "dpif-netdev/pmd-rxq-show"]
        return self.host.run(argv, self.timeout + 5).out

    def _bridges_with_other_flows(self, current: OvsState, desired: OvsSpec) -> list[str]:
        found = []
        for bridge in desired.bridges:
            if bridge.flows is not None and current.service.running and bridge.name in current.database.bridges:
                argv = ["ovs-ofctl", "-O", ALL_OPENFLOW, "diff-flows", bridge.name, "/dev/stdin"]
                if self.host.run(argv, self.timeout, flow_text(bridge.flows)).rc == DIFFERENT:
                    found.append(bridge.name)
        return found


def _texts(problems: list[Any]) -> set[str]:
    return {str(problem.value) for problem in problems}
