# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A set of the distribution's packages that a role needs: installed where missing, and given back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._packages import package_manager
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

INSTALL, REMOVE = "install_packages", "remove_packages"
PROGRAM_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin")
SETS = ("container_runtime", "kubernetes")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+._-]*(=[A-Za-z0-9.+:~*_-]+)?\Z")
_PROGRAM = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9+._-]*\Z")


@dataclass(frozen=True)
class PackagesSpec:
    """``packages``: by the program for whose sake each is wanted. Where that is there already, none is needed."""

    packages: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        return [package.split("=", 1)[0] for package in self.packages.values()]


@dataclass(frozen=True)
class PackagesState:
    manager: str = ""
    installed: frozenset[str] = frozenset()
    programs: frozenset[str] = frozenset()
    removable: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


def parse_packages(spec: Any, variable: str = "packages") -> PackagesSpec:
    """``{program: package}``, e.g. ``{"containerd": "containerd.io"}``; a version may follow after ``=``."""
    if not isinstance(spec, Mapping):
        raise Refused([Problem(variable, spec, "must be a mapping from programs to packages")])
    problems = [
        Problem(f"{variable}.{program}", package, "must be a package, such as containerd, for the name of a program")
        for program, package in spec.items()
        if not (isinstance(package, str) and _NAME.match(package) and _PROGRAM.match(str(program)))
    ]
    if problems:
        raise Refused(problems)
    return PackagesSpec(dict(spec))


def plan_packages(current: PackagesState, desired: PackagesSpec) -> Plan:
    """A program that is there was put there by somebody, and stays as it is; packages that are there, too."""
    ours = set(current.record.get("packages", ()))
    lacking = [
        package
        for program, package in sorted(desired.packages.items())
        if package.split("=", 1)[0] not in current.installed and program not in current.programs
    ]
    if lacking and not current.manager:
        message = "this node has neither apt nor dnf: install them there by other means"
        raise Refused([Problem("packages", ", ".join(lacking), message)])
    operations = (Operation(INSTALL, current.manager, None, lacking),) if lacking else ()
    shown = sorted({*desired.names(), *ours} & current.installed)
    after = sorted({*shown, *(package.split("=", 1)[0] for package in lacking)})
    return Plan(operations, {"packages": shown}, {"packages": after})


def plan_packages_teardown(current: PackagesState) -> Plan:
    """What came with them by dependency goes as well, unless something else needs it by now."""
    gone = list(current.removable)
    operations = (Operation(REMOVE, current.manager, gone, None),) if gone else ()
    return Plan(operations, {"packages": gone}, {"packages": []})


class PackagesConcern(Concern[PackagesState, PackagesSpec]):
    """Spec: see ``parse_packages``. ``purpose`` is one of ``SETS``. ``remove``: whether a teardown removes any."""

    def __init__(self, host: Host, purpose: str, remove: bool = False) -> None:
        self.name = f"{purpose}_packages"
        super().__init__(host)
        self.remove = remove
        self.manager = package_manager(host)

    def parse(self, spec: Any) -> PackagesSpec:
        return parse_packages(spec, self.name)

    def discover(self) -> PackagesState:
        record = self.store.record()
        ours = record.get("packages", ())
        return PackagesState(
            manager=self.manager.name if self.manager else "",
            installed=self.manager.installed() if self.manager else frozenset(),
            programs=frozenset(name for folder in PROGRAM_FOLDERS for name in self.host.listdir(folder)),
            removable=tuple(self.manager.removable(ours)) if self.manager and ours and self.remove else (),
            record=record,
        )

    def plan(self, current: PackagesState, desired: PackagesSpec) -> Plan:
        return plan_packages(current, desired)

    def plan_teardown(self, current: PackagesState) -> Plan:
        return plan_packages_teardown(current)

    def record(self, current: PackagesState, plan: Plan) -> dict[str, Any]:
        return {"packages": list(current.record.get("packages", ()))}

    def perform(self, operation: Operation) -> None:
        if operation.action == INSTALL:
            self._install(operation.after)
        elif operation.action == REMOVE and self.manager:
            self.manager.remove(operation.before)

    def _install(self, packages: list[str]) -> None:
        """The record first: also what comes along by dependency goes again at a teardown."""
        manager = self.manager
        if manager is None:
            raise FastpathError("This node has neither apt nor dnf.")
        names = [package.split("=", 1)[0] for package in packages]
        if manager.unknown(names):
            manager.refresh()
            unknown = manager.unknown(names)
            if unknown:
                raise FastpathError(
                    f"The package sources of this node have no {', '.join(unknown)}: add a source that does, "
                    "or install them by other means."
                )
        record = self.store.record()
        # A simulation names upgrades as well; what was there before is not ours.
        added = ({*manager.would_install(packages)} | {*names}) - manager.installed()
        self.store.save_record({**record, "packages": sorted({*record.get("packages", ()), *added})})
        manager.install(packages)

    def check(self, current: PackagesState, desired: PackagesSpec) -> list[Check]:
        lacking = [step.after for step in plan_packages(current, desired).operations]
        remedy = "Apply the role again."
        return [Check(f"{self.name}.installed", self.name, current.manager or "packages", [], lacking, remedy)]
