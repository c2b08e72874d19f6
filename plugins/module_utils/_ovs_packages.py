# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which packages of Debian and Ubuntu a node needs for Open vSwitch with DPDK. No I/O.

The drivers of DPDK are plugins in packages of their own. Which ones are needed follows from the network functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_folders import (
    BACKUPS,
    MADE,
    REMOVE_FOLDER,
    made,
    removals,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import DEVARGS
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_packages import ESSENTIAL_PLUGINS, abi_of, nic_plugins
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import ADDRESS

SWITCH, WITH_DPDK = "openvswitch-switch", "openvswitch-switch-dpdk"
ALTERNATIVE = "ovs-vswitchd"
DPDK_PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
# Virtual devices by the first part of their name.
VIRTUAL = {"virtio_user": "virtio", "eth_af_packet": "af-packet"}

UPDATE, BACKUP, INSTALL, SELECT = "update_package_lists", "backup_database", "install_packages", "select_program"
RESTART, REMOVE = "restart_vswitchd", "remove_packages"


@dataclass(frozen=True)
class Alternative:
    """The selected program; ``automatic``: by priority and not by hand."""

    value: str
    automatic: bool

    def result(self) -> dict[str, Any]:
        return {"value": self.value, "automatic": self.automatic}


@dataclass(frozen=True)
class PackagesState:
    """``installed``: version by package. ``candidate``: version and ABI of what would be installed, None: unknown.

    ``devices``: all PCI functions that are there. ``folders``: which of Open vSwitch's are there; ``of_bundle``: which
    of them a bundle of ours made. ``backups``: whether there are copies of the database.
    """

    supported: bool = True
    installed: Mapping[str, str] = field(default_factory=dict)
    candidate: tuple[str, str] | None = None
    alternative: Alternative | None = None
    devices: tuple[PciDevice, ...] = ()
    database: str | None = None
    folders: tuple[str, ...] = ()
    of_bundle: tuple[str, ...] = ()
    backups: bool = False
    running_program: str | None = None
    ports: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PackagesSpec:
    """``plugins``: those that virtual devices of the spec need, beside the ones of the NICs."""

    plugins: tuple[str, ...] = ()
    upgrade: bool = False


def virtual_plugins(spec: OvsSpec) -> tuple[str, ...]:
    """Plugins for devices such as ``net_null0`` or ``net_af_packet0,iface=eth0``."""
    found = set()
    for interface in spec.interfaces:
        name = str((interface.columns.get("options") or {}).get(DEVARGS) or "").split(",", 1)[0]
        match = re.match(r"(?:net_|eth_)?([a-z_]+?)_?[0-9]*\Z", name)
        if name and match and not ADDRESS.fullmatch(name) and not name.startswith("class="):
            kind = match.group(1)
            found.add("net-" + VIRTUAL.get(kind, kind.replace("_", "-")))
    return tuple(sorted(found))


def installed_plugins(installed: Iterable[str], abi: str | None) -> set[str]:
    """Plugins of the ABI in use; those of a former release do not help."""
    found = set()
    for name in installed:
        match = re.match(r"librte-(.+?)-?([0-9]{2})\Z", name)
        if match and abi in (None, match.group(2)):
            found.add(match.group(1))
    return found


def wanted_plugins(current: PackagesState, desired: PackagesSpec) -> list[str]:
    return sorted({*ESSENTIAL_PLUGINS, *nic_plugins(current.devices), *desired.plugins})


def plan(current: PackagesState, desired: PackagesSpec) -> Plan:
    if not current.supported:
        message = (
            "is for Debian and Ubuntu; elsewhere use the provider source, or install Open vSwitch with DPDK yourself"
        )
        raise Refused([Problem("ovs_dpdk_provider", "packages", message)])
    steps = _install(current, desired)
    selected = current.alternative
    wanted = Alternative(DPDK_PROGRAM, False)
    if selected != wanted:
        steps.append(Operation(SELECT, ALTERNATIVE, selected.result() if selected else None, wanted.result()))
    return _as_plan(current, steps)


def _install(current: PackagesState, desired: PackagesSpec) -> list[Operation]:
    abi = current.candidate[1] if current.candidate else None
    lacking = [f"librte-{plugin}*" for plugin in _lacking(current, desired, abi)]
    if WITH_DPDK not in current.installed:
        lacking.insert(0, WITH_DPDK)
    outdated = bool(
        desired.upgrade and current.candidate and current.installed.get(WITH_DPDK) not in (None, current.candidate[0])
    )
    if not lacking and not outdated:
        return []
    steps = [] if current.candidate else [Operation(UPDATE, "apt", None, True)]
    if current.database and SWITCH in current.installed:
        target = f"{BACKUPS}/conf.db.{current.installed[SWITCH]}"
        steps.append(Operation(BACKUP, target, None, current.database))
    former = current.installed.get(WITH_DPDK)
    reason = f"{', '.join(current.ports)} forward nothing while it starts anew" if outdated and current.ports else ""
    after = {"packages": lacking, "version": current.candidate[0] if outdated and current.candidate else None}
    return [*steps, Operation(INSTALL, "apt", former, after, bool(reason), reason)]


def _lacking(current: PackagesState, desired: PackagesSpec, abi: str | None) -> list[str]:
    there = installed_plugins(current.installed, abi)
    return [plugin for plugin in wanted_plugins(current, desired) if plugin not in there]


def plan_teardown(current: PackagesState, remove_packages: bool) -> Plan:
    """The former program, and where asked for without the packages that were not there before."""
    steps = []
    former = current.record.get("alternative")
    ours = sorted(set(current.record.get("packages", ())) & set(current.installed)) if remove_packages else []
    stays = SWITCH in current.installed and SWITCH not in ours
    if former is not None and current.alternative is not None and former != current.alternative.result() and stays:
        steps.append(Operation(SELECT, ALTERNATIVE, current.alternative.result(), former))
        if current.running_program not in (None, former["value"]):
            reason = f"{', '.join(current.ports)} forward nothing meanwhile" if current.ports else ""
            value = former["value"]
            steps.append(Operation(RESTART, "ovs-vswitchd", current.running_program, value, bool(reason), reason))
    if ours:
        steps.append(Operation(REMOVE, "apt", ours, None))
        steps += [] if stays else removals(current.folders, current.record)
    if current.backups:
        steps.append(Operation(REMOVE_FOLDER, BACKUPS, True, None))
    return _as_plan(current, steps)


def record(current: PackagesState, work: Plan) -> dict[str, Any]:
    """The alternative before, and which folders were not there; the packages are added when they are known."""
    kept = dict(current.record)
    actions = {step.action for step in work.operations}
    if SELECT in actions:
        former = current.alternative or Alternative("/usr/lib/openvswitch-switch/ovs-vswitchd", True)
        kept.setdefault("alternative", former.result())
    if INSTALL in actions:
        kept.setdefault(MADE, made(current.folders, current.of_bundle))
    return kept


def _as_plan(current: PackagesState, steps: list[Operation]) -> Plan:
    before = {f"{step.action} {step.target}": step.before for step in steps}
    return Plan(tuple(steps), before, {f"{step.action} {step.target}": step.after for step in steps})


def parse_alternative(text: str) -> Alternative | None:
    """The answer to ``update-alternatives --query``."""
    fields = dict(line.split(": ", 1) for line in text.split("\n\n", 1)[0].splitlines() if ": " in line)
    if fields.get("Value", "none") == "none":
        return None
    return Alternative(fields["Value"], fields.get("Status") == "auto")


def parse_candidate(text: str) -> tuple[str, str] | None:
    """Version, and the ABI of the DPDK libraries, out of a package's record."""
    version = re.search(r"^Version: (\S+)$", text, re.MULTILINE)
    abi = abi_of(text)
    return (version.group(1), abi) if version and abi else None


def parse_installed(text: str) -> dict[str, str]:
    """Version by package, out of lines of name, state and version."""
    rows = (line.split("\t") for line in text.splitlines())
    return {row[0]: row[2] for row in rows if len(row) == 3 and row[1] == "installed"}
