# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Open vSwitch from a bundle on a node: what is there, what is to be done. No I/O.

The units have the distribution's names and go before its own, so with them the built one runs, and without them the
packaged one. Both daemons are stopped before that changes and started after it: neither meets half of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import (
    ROOT,
    Manifest,
    NodeAbi,
    fits,
    parse_manifest,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import (
    REMOVE,
    SWITCH,
    UNPACK,
    BundleState,
    plan_bundle,
    plan_bundle_teardown,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_units import ovs_enablement, ovs_links, ovs_units
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_folders import BACKUPS, MADE, made, removals
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import pair_problems
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

NAME = "openvswitch"
FOLDER = f"{ROOT}/{NAME}"
VARIABLE = "fastpath_ovs_provider"
# In the order in which they are stopped.
DAEMONS = {"ovs-vswitchd.service": "ovs-vswitchd", "ovsdb-server.service": "ovsdb-server"}
INSTALL, REMOVE_PACKAGES = "install_packages", "remove_packages"
BACKUP, STOP, START = "backup_database", "stop_daemons", "start_daemons"
WRITE_FILE, REMOVE_FILE, LINK, UNLINK = "write_file", "remove_file", "link", "unlink"
STOPPED = "stopped"


@dataclass(frozen=True)
class OvsBundleState:
    """What a node has.

    ``running``: program by unit, for daemons that live. ``links``: where names lead to, empty for what is no link.
    ``packaged``: whether the distribution's daemons would run without ours.
    ``folders``: which of Open vSwitch's are there.
    """

    node: NodeAbi
    manager: str = "apt"
    installed: frozenset[str] = frozenset()
    removable: tuple[str, ...] = ()
    bundles: BundleState = field(default_factory=BundleState)
    files: Mapping[str, str | None] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    running: Mapping[str, str] = field(default_factory=dict)
    packaged: bool = False
    database: str | None = None
    folders: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


def parse_bundle(spec: Any) -> Manifest | None:
    """``{"bundle": manifest}``; None where it is not known yet."""
    manifest = (spec or {}).get("bundle")
    return parse_manifest(manifest) if manifest else None


def plan_ovs_bundle(state: OvsBundleState, bundle: Manifest | None, looking_ahead: bool = False) -> Plan:
    if bundle is None and looking_ahead:
        return Plan()
    problems = find_problems(state, bundle)
    if problems or bundle is None:
        raise Refused(problems)
    missing = [name for name in bundle.packages if name not in state.installed]
    steps = [Operation(INSTALL, state.manager, [], missing)] if missing else []
    of_bundle = plan_bundle(state.bundles, bundle, state.record.get("former_bundle"))
    steps += [step for step in of_bundle if step.action == UNPACK]
    stale = any(program != f"{bundle.prefix}/sbin/{DAEMONS[unit]}" for unit, program in state.running.items())
    stop = _stop(state) if stale else []
    steps += stop + (_backup(state, bundle.folder) if stop else [])
    steps += [step for step in of_bundle if step.action == SWITCH]
    steps += _files(state, ovs_units()) + _links(state, wanted_links())
    steps += _start(state, stop)
    steps += [step for step in of_bundle if step.action == REMOVE]
    return _as_plan(state, steps, bundle.folder)


def plan_ovs_bundle_teardown(state: OvsBundleState, remove_packages: bool) -> Plan:
    """The packaged Open vSwitch, where there is one, takes over with the database as it is."""
    record = state.record
    of_bundle = plan_bundle_teardown(NAME, state.bundles)
    stop = _stop(state) if any(program.startswith(f"{FOLDER}/") for program in state.running.values()) else []
    steps = stop + (_backup(state, state.bundles.current or "bundle") if stop else [])
    steps += [
        Operation(REMOVE_FILE if former is None else WRITE_FILE, path, state.files.get(path), former)
        for path, former in record.get("files", {}).items()
        if state.files.get(path) != former
    ]
    steps += [
        Operation(LINK if former else UNLINK, path, state.links[path], former)
        for path, former in record.get("links", {}).items()
        if path in state.links and is_ours(path, state.links[path])
    ]
    steps += [step for step in of_bundle if step.action == SWITCH]
    steps += _start(state, stop) if state.packaged else []
    steps += [step for step in of_bundle if step.action == REMOVE]
    if remove_packages and state.removable:
        steps.append(Operation(REMOVE_PACKAGES, state.manager, list(state.removable), []))
    steps += [] if state.packaged else removals(state.folders, record)
    return _as_plan(state, steps, None)


def record_before(state: OvsBundleState, plan: Plan) -> dict[str, Any]:
    """The former state of all that a plan touches, and the daemons that are stopped on the way."""
    record: dict[str, Any] = {"files": {}, "links": {}, "packages": [], MADE: made(state.folders), **state.record}
    files, links = dict(record["files"]), dict(record["links"])
    for step in plan.operations:
        if step.action == WRITE_FILE:
            files.setdefault(step.target, step.before)
        elif step.action == LINK:
            links.setdefault(step.target, None if is_ours(step.target, step.before) else step.before)
        elif step.action == SWITCH and step.before:
            record["former_bundle"] = step.before
        elif step.action == STOP:
            record[STOPPED] = sorted(step.before)
    return {**record, "files": files, "links": links}


def find_problems(state: OvsBundleState, bundle: Manifest | None) -> list[Problem]:
    if bundle is None:
        return [Problem(VARIABLE, "source", "needs a bundle that the builder made; the role brings it.")]
    problems = fits(bundle, state.node, VARIABLE)
    dpdk = str(bundle.options.get("dpdk", ""))
    problems += pair_problems(bundle.version, dpdk) if dpdk else []
    if not state.manager and bundle.packages:
        message = f"needs the packages {', '.join(bundle.packages)}, and this node has neither apt nor dnf."
        problems.append(Problem(VARIABLE, "source", message))
    for path, target in sorted(ovs_links().items()):
        there = state.links.get(path)
        if there is not None and there != target and not is_ours(path, there):
            message = f"is there already and not ours (it should lead to {target}): move it away."
            problems.append(Problem(VARIABLE, path, message))
    return problems


def wanted_links() -> dict[str, str]:
    return {**ovs_links(), **ovs_enablement()}


def is_ours(path: str, target: str | None) -> bool:
    return bool(target) and (str(target).startswith(f"{FOLDER}/") or target == wanted_links().get(path))


def _stop(state: OvsBundleState) -> list[Operation]:
    if not state.running:
        return []
    ports = ", ".join(state.ports)
    reason = f"{ports} forward nothing while another Open vSwitch takes over" if ports else ""
    return [Operation(STOP, NAME, dict(state.running), None, bool(reason), reason)]


def _start(state: OvsBundleState, stop: list[Operation]) -> list[Operation]:
    """What is stopped now, and what a run that was cut off left stopped."""
    left = {unit for unit in state.record.get(STOPPED, ()) if unit not in state.running}
    units = sorted({unit for step in stop for unit in step.before} | left)
    return [Operation(START, NAME, None, units)] if units else []


def _backup(state: OvsBundleState, name: str) -> list[Operation]:
    """The daemon that starts converts the database to its own schema."""
    return [Operation(BACKUP, f"{BACKUPS}/conf.db.before-{name}", None, state.database)] if state.database else []


def _files(state: OvsBundleState, wanted: Mapping[str, str]) -> list[Operation]:
    return [
        Operation(WRITE_FILE, path, state.files.get(path), text)
        for path, text in sorted(wanted.items())
        if state.files.get(path) != text
    ]


def _links(state: OvsBundleState, wanted: Mapping[str, str]) -> list[Operation]:
    return [
        Operation(LINK, path, state.links.get(path), target)
        for path, target in sorted(wanted.items())
        if state.links.get(path) != target
    ]


def _as_plan(state: OvsBundleState, steps: list[Operation], after: str | None) -> Plan:
    """``diff`` has the folder of the bundle, and everything else that changes."""
    others = [step for step in steps if step.action not in (UNPACK, SWITCH, REMOVE)]
    return Plan(
        operations=tuple(steps),
        before={"bundle": state.bundles.current, **{f"{step.action} {step.target}": step.before for step in others}},
        after={"bundle": after, **{f"{step.action} {step.target}": step.after for step in others}},
    )
