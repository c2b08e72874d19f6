# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Open vSwitch from a bundle on a node: the concern, with packages, bundles and systemd behind their seams."""

from __future__ import annotations

import os
import platform
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_bundle as planner
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import ACTIONS, SWITCH, UNPACK, Bundles
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_abi import discover_abi
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle import OvsBundleState
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_units import UNITS, ovs_units
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_discovery import daemon_program, entire_units
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_folders import FOLDERS
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.plugins.module_utils._packages import must_have_manager, package_manager
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

LAYER = "ovs_dpdk"
REMEDY = "Apply the role ovs_dpdk again."
PACKAGED = "/usr/sbin/ovsdb-server"
# Clearing many hugepages takes minutes; the unit itself gives up after five.
START_SECONDS = 330.0


class OvsBundleConcern(Concern[OvsBundleState, "Manifest | None"]):
    """Spec: ``{"bundle": manifest}``. ``archive``: where the bundle was put for this run.

    ``packaged``: the distribution's Open vSwitch is there, or will be before this is carried out.
    ``looking_ahead``: nothing will be done, so the bundle may not be built yet.
    """

    name = "ovs_bundle"

    def __init__(
        self,
        host: Host,
        archive: str | None = None,
        packaged: bool = False,
        looking_ahead: bool = False,
        database: Ovsdb | None = None,
    ) -> None:
        super().__init__(host)
        self.archive = archive
        self.packaged = packaged
        self.looking_ahead = looking_ahead
        self.database = database or Ovsdb(host)
        self.bundles = Bundles(host, planner.NAME)
        self.packages = package_manager(host)

    def parse(self, spec: Any) -> Manifest | None:
        return planner.parse_bundle(spec)

    def discover(self) -> OvsBundleState:
        host, record = self.host, self.store.record()
        running = {unit: daemon_program(host, daemon) for unit, daemon in planner.DAEMONS.items()}
        ours = record.get("packages", ())
        return OvsBundleState(
            node=discover_abi(host),
            manager=self.packages.name if self.packages else "",
            installed=self.packages.installed() if self.packages else frozenset(),
            removable=tuple(self.packages.removable(ours)) if self.packages and ours else (),
            bundles=self.bundles.discover(),
            files={path: host.read(path) for path in {**ovs_units(), **record.get("files", {})}},
            links={
                path: host.link_target(path) or ""
                for path in planner.wanted_links()
                if os.path.lexists(host.path(path))
            },
            running={unit: program for unit, program in running.items() if program},
            packaged=self.packaged or host.exists(PACKAGED),
            database=self.database.file,
            folders=tuple(folder for folder in FOLDERS if host.exists(folder)),
            ports=self._ports(bool(running["ovs-vswitchd.service"])),
            record=record,
        )

    def _ports(self, forwarding: bool) -> tuple[str, ...]:
        return self.database.read().further_ports() if forwarding and self.database.serving else ()

    def plan(self, current: OvsBundleState, desired: Manifest | None) -> Plan:
        return planner.plan_ovs_bundle(current, desired, self.looking_ahead)

    def plan_teardown(self, current: OvsBundleState) -> Plan:
        return planner.plan_ovs_bundle_teardown(current, remove_packages=True)

    def record(self, current: OvsBundleState, plan: Plan) -> dict[str, Any]:
        return planner.record_before(current, plan)

    def needs_archive(self, plan: Plan) -> bool:
        return self.archive is None and any(step.action == UNPACK for step in plan.operations)

    def perform(self, operation: Operation) -> None:
        if operation.action in ACTIONS:
            if operation.action == SWITCH and operation.after:
                self._prove(operation.after)
            self.bundles.perform(operation, self.archive)
        else:
            getattr(self, f"_{operation.action}")(operation)

    def finish(self, plan: Plan) -> None:
        if any(step.target.startswith(f"{UNITS}/") for step in plan.operations):
            self.host.must_run(["systemctl", "daemon-reload"])

    def check(self, current: OvsBundleState, desired: Manifest | None) -> list[Check]:
        folder = desired.folder if desired else current.bundles.current
        units = ovs_units()
        there = sorted(path for path, text in units.items() if current.files.get(path) == text)
        found = [
            Check("ovs_bundle.current", LAYER, "current", folder or "a bundle", current.bundles.current, REMEDY),
            Check("ovs_bundle.units", LAYER, UNITS, sorted(units), there, REMEDY),
        ]
        for unit, daemon in planner.DAEMONS.items():
            program = f"{planner.FOLDER}/{folder}/sbin/{daemon}"
            seen = current.running.get(unit, "not running")
            found.append(Check("ovs_bundle.program", LAYER, unit, program, seen, f"systemctl status {unit} says why."))
        return found

    def _prove(self, folder: str) -> None:
        """A bundle that does not start here never becomes current."""
        program = f"{self.bundles.folder}/{folder}/sbin/ovs-vswitchd"
        done = self.host.run([program, "--version"])
        if done.rc != 0:
            said = (done.err.strip() or done.out.strip())[-500:]
            raise FastpathError(f"{program} does not start on {platform.node()}: {said} Open vSwitch stays as it was.")

    def _install_packages(self, operation: Operation) -> None:
        """The record first: also what comes along by dependency goes again at a teardown."""
        manager = must_have_manager(self.packages)
        if manager.unknown(operation.after):
            manager.refresh()
        record = self.store.record()
        added = ({*manager.would_install(operation.after)} | {*operation.after}) - manager.installed()
        self.store.save_record({**record, "packages": sorted({*record.get("packages", ()), *added})})
        manager.install(operation.after)

    def _remove_packages(self, operation: Operation) -> None:
        must_have_manager(self.packages).remove(operation.before)

    def _remove_folder(self, operation: Operation) -> None:
        self.host.remove_folder(operation.target)

    def _backup_database(self, operation: Operation) -> None:
        content = self.host.read_bytes(operation.after)
        if content is not None:
            self.host.write_file(operation.target, content, mode=0o600)

    def _stop_daemons(self, operation: Operation) -> None:
        units = [unit for unit in planner.DAEMONS if unit in operation.before]
        self.host.must_run(["systemctl", "stop", *units], START_SECONDS)

    def _start_daemons(self, operation: Operation) -> None:
        """systemd has to know the units that were written; the database's server comes up first by itself."""
        self.host.must_run(["systemctl", "daemon-reload"])
        self.host.must_run(["systemctl", "start", *operation.after, *entire_units(self.host)], START_SECONDS)
        record = self.store.record()
        if planner.STOPPED in record:
            self.store.save_record({name: value for name, value in record.items() if name != planner.STOPPED})

    def _write_file(self, operation: Operation) -> None:
        self.host.write_file(operation.target, operation.after)

    def _remove_file(self, operation: Operation) -> None:
        self.host.remove(operation.target)

    def _link(self, operation: Operation) -> None:
        self.host.link(operation.target, operation.after)

    def _unlink(self, operation: Operation) -> None:
        self.host.remove(operation.target)
