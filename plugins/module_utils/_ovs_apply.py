# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Carries out a plan for Open vSwitch: one transaction, bounded waits, and the way back.

ovs-vswitchd is stopped before the transaction and started after it, so it never works with half of a
change, and a run that is cut off at any point leaves a stopped process, which the next run starts.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Cell, Database
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_discovery import entire_units, vswitchd_pid
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_plan import (
    DELETE_BRIDGE,
    DELETE_PORT,
    IN_DATABASE,
    REPLACE_FLOWS,
    RESTART,
    SERVER_SERVICE,
    SERVICE,
    SET,
    START,
    changes_units,
    inverse,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import RUNDIR, flow_text, replace_flows
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

LOG = "/var/log/openvswitch/ovs-vswitchd.log"
SHOWN_LINES = 6
PROGRAM = "ovs-vswitchd: "
# Of the datapath itself, whichever bridges it has.
DATAPATH_TAP = "ovs-netdev"
_LOG_LINE = re.compile(r"[^|]*\|\d+\|(?P<module>[^|]*)\|(?P<level>EMER|ERR|WARN)\|(?P<text>.*)")
_SPEAKING = re.compile(r"dpdk|bridge|netdev|ovs_numa")


@dataclass(frozen=True)
class Mark:
    """Where the log ended, and when."""

    size: int
    seconds: int


class NotTakenOver(FastpathError):
    """ovs-vswitchd does not live with what the database says."""


class Restored(FastpathError):
    """The change failed and was taken back."""


class OvsWork:
    """``timeout``: seconds that ovs-vswitchd has for each change."""

    def __init__(self, host: Host, database: Ovsdb, timeout: float) -> None:
        self.host = host
        self.database = database
        self.timeout = timeout

    def bring_about(self, plan: Plan, former: Database) -> None:
        actions = {step.action for step in plan.operations}
        changes = [step for step in plan.operations if step.action in IN_DATABASE]
        if changes_units(plan):
            self.host.must_run(["systemctl", "daemon-reload"])
        if changes or actions & {RESTART, START}:
            self._make_socket_folder(changes)
            self._change(changes, former, actions)
        if any(step.action in (DELETE_BRIDGE, DELETE_PORT) for step in changes):
            self._remove_left_taps(former)
        for step in plan.operations:
            if step.action == REPLACE_FLOWS:
                self._replace_flows(step)

    def _remove_left_taps(self, former: Database) -> None:
        """What goes while ovs-vswitchd is down leaves its tap device behind: they outlive the process."""
        after = self.database.read()
        left = set(former.interfaces) - set(after.interfaces)
        if not any(row.get("datapath_type") == "netdev" for row in after.bridges.values()):
            left.add(DATAPATH_TAP)
        for name in sorted(left):
            tap = f"/sys/class/net/{name}/tun_flags"
            if self.host.exists(tap) and self.host.run(["ip", "link", "delete", name]).rc and self.host.exists(tap):
                raise FastpathError(
                    f"The tap device {name} of Open vSwitch is left on {platform.node()}: ip link delete."
                )

    def start_server(self) -> None:
        self.host.must_run(["systemctl", "start", SERVER_SERVICE], self.timeout + 5)
        self.host.wait_for(lambda: self.database.serving, self.timeout, "Open vSwitch's database server")

    def _change(self, changes: Sequence[Operation], former: Database, actions: set[str]) -> None:
        started = bool(actions & {RESTART, START})
        mark = self._mark()
        pid = vswitchd_pid(self.host)
        if RESTART in actions:
            self._systemctl("stop")
        number = self._commit(changes, former, RESTART in actions)
        if pid is None and not started:
            return
        try:
            if started:
                self._systemctl("start")
                pid = vswitchd_pid(self.host)
            self._await(number, pid)
            after = self.database.read()
            _expect_dpdk(after)
        except NotTakenOver as failure:
            reason = self._reason(mark)
            outcome = self._restore(changes)
            raise Restored(f"{failure.message} {reason} {outcome}") from failure
        self._expect_interfaces(after, mark)

    def _commit(self, changes: Sequence[Operation], former: Database, stopped: bool) -> int:
        try:
            return self.database.commit(transaction(changes, former))
        except FastpathError as failure:
            failure.take_back(lambda: self._systemctl("start") if stopped else None)
            raise

    def _systemctl(self, verb: str) -> None:
        further = entire_units(self.host) if verb == "start" else []
        try:
            self.host.must_run(["systemctl", verb, SERVICE, *further], self.timeout + 5)
        except FastpathError as failure:
            raise NotTakenOver(f"{failure.message} ({platform.node()}).") from failure

    def _await(self, number: int, pid: int | None) -> None:
        """Until the change is taken over, or the process is not ``pid`` any more, which means that it died of it."""

        def settled() -> bool:
            return self.database.taken_over(number) or vswitchd_pid(self.host) != pid

        try:
            self.host.wait_for(settled, self.timeout, "ovs-vswitchd to take the change over")
        except FastpathError as late:
            raise NotTakenOver(f"{late.message} ({platform.node()}).") from late
        if vswitchd_pid(self.host) != pid:
            raise NotTakenOver(f"ovs-vswitchd ended with the new configuration on {platform.node()}.")

    def _restore(self, changes: Sequence[Operation]) -> str:
        """Back to the former configuration; says how that went."""
        self.host.run(["systemctl", "stop", SERVICE], self.timeout + 5)
        number = self.database.commit(transaction(inverse(changes), self.database.read()))
        self.host.run(["systemctl", "reset-failed", SERVICE])
        try:
            self._systemctl("start")
            self._await(number, vswitchd_pid(self.host))
        except NotTakenOver:
            return "The former configuration was restored, but ovs-vswitchd does not run with it either."
        return "The former configuration was restored, and ovs-vswitchd runs with it."

    def _expect_interfaces(self, after: Database, mark: Mark) -> None:
        wrong = {name: row.get("error") for name, row in after.interfaces.items() if row.owned and row.get("error")}
        if wrong:
            told = "; ".join(f"{name}: {error}" for name, error in sorted(wrong.items()))
            raise FastpathError(
                f"ovs-vswitchd could not make all interfaces on {platform.node()} ({told}). {self._reason(mark)} "
                "A device needs its plugin of DPDK (packages librte-net-*), a driver such as vfio-pci, and an IOMMU. "
                "The configuration stands; the next run tries again.",
                interface_errors=wrong,
            )

    def _make_socket_folder(self, changes: Sequence[Operation]) -> None:
        for step in changes:
            if step.action == SET and Cell.parse(step.target).key == "vhost-sock-dir" and step.after:
                os.makedirs(self.host.path(f"{RUNDIR}/{step.after}"), mode=0o755, exist_ok=True)

    def _replace_flows(self, step: Operation) -> None:
        argv = replace_flows(step.target, "/dev/stdin", step.after["bundle"])
        self.host.must_run(argv, self.timeout, flow_text(tuple(step.after["flows"])))

    def _mark(self) -> Mark:
        try:
            return Mark(os.stat(self.host.path(LOG)).st_size, int(time.time()))
        except OSError:
            return Mark(0, int(time.time()))

    def _reason(self, mark: Mark) -> str:
        """What it said since ``mark``; a log that was rotated meanwhile is read from its start."""
        content = self.host.read_bytes(LOG) or b""
        text = content[mark.size if mark.size <= len(content) else 0 :].decode("utf-8", "replace")
        journal = self.host.run(["journalctl", "--no-pager", "-o", "cat", "--since", f"@{mark.seconds}", "-u", SERVICE])
        lines = [line for line in journal.out.splitlines() if line.strip()]
        # What an option of DPDK is wrong for goes to standard error, and no further.
        said = [*dict.fromkeys(line for line in lines if line.startswith(PROGRAM)), *reasons(text)]
        said = said or lines[-SHOWN_LINES:]
        return f"Its log says: {' | '.join(said)}." if said else f"Nothing about it is in {LOG} nor in the journal."


def _expect_dpdk(after: Database) -> None:
    if after.root.get("other_config", "dpdk-init") in ("true", "try") and not after.root.get("dpdk_initialized"):
        raise NotTakenOver(f"ovs-vswitchd could not initialise DPDK on {platform.node()}.")


def reasons(log: str) -> list[str]:
    """The gravest lines of a log, each once, the last ones."""
    found: dict[str, list[str]] = {"EMER": [], "ERR": [], "WARN": []}
    for line in log.splitlines():
        match = _LOG_LINE.match(line)
        if match and (match.group("level") != "WARN" or _SPEAKING.search(match.group("module"))):
            lines = found[match.group("level")]
            if match.group("text") not in lines:
                lines.append(match.group("text"))
    grave = found["ERR"] + found["EMER"]
    return (grave or found["WARN"])[-SHOWN_LINES:]
