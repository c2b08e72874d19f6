# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The packages of Open vSwitch with DPDK on a node, looked at and brought about through the Host."""

from __future__ import annotations

import platform
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_packages as packages
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_discovery import vswitchd_pid
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_folders import BACKUPS, FOLDERS, MADE
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_packages import PackagesSpec, PackagesState
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_plan import SERVICE
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.plugins.module_utils._packages import Apt
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_packages import debian_package
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store

DPKG_QUERY = ["dpkg-query", "-W", "-f", "${Package}\\t${db:Status-Status}\\t${Version}\\n"]
RESTART_SECONDS = 900.0
LAYER = "ovs_dpdk"


class OvsPackagesConcern(Concern[PackagesState, PackagesSpec]):
    """Spec: ``{"ovs": fastpath_ovs, "upgrade": bool}``. ``remove``: whether teardown takes packages away.

    Kept on the node is ``{"plugins": [...], "upgrade": bool}``: most of ``fastpath_ovs`` does not matter to packages.
    """

    name = "ovs_packages"

    def __init__(self, host: Host, remove: bool = False, database: Ovsdb | None = None) -> None:
        super().__init__(host)
        self.remove = remove
        self.database = database or Ovsdb(host)
        self.apt = Apt(host)

    def parse(self, spec: Any) -> PackagesSpec:
        options = spec or {}
        if "plugins" in options:
            return PackagesSpec(tuple(options["plugins"]), options["upgrade"])
        ovs, problems = parse_ovs(options.get("ovs"))
        if not isinstance(options.get("upgrade", False), bool):
            problems.append(Problem("ovs_dpdk_upgrade", options["upgrade"], "must be true or false"))
        if problems:
            raise Refused(problems)
        return PackagesSpec(packages.virtual_plugins(ovs), options.get("upgrade", False))

    def stored(self, spec: Any) -> Any:
        desired = self.parse(spec)
        return {"plugins": list(desired.plugins), "upgrade": desired.upgrade}

    def discover(self) -> PackagesState:
        host = self.host
        if not host.exists("/usr/bin/dpkg-query"):
            return PackagesState(supported=False, backups=host.exists(BACKUPS), record=self.store.record())
        installed = packages.parse_installed(host.must_run(DPKG_QUERY))
        pid = vswitchd_pid(host)
        ports = self.database.read().further_ports() if packages.SWITCH in installed else ()
        return PackagesState(
            installed=installed,
            candidate=self._candidate(),
            alternative=packages.parse_alternative(
                host.run(["update-alternatives", "--query", packages.ALTERNATIVE]).out
            ),
            devices=read_pci(host),
            database=self.database.file,
            folders=tuple(folder for folder in FOLDERS if host.exists(folder)),
            of_bundle=tuple(Store(host, "ovs_bundle").record().get(MADE, ())),
            backups=host.exists(BACKUPS),
            running_program=host.link_target(f"/proc/{pid}/exe") if pid else None,
            ports=ports,
            record=self.store.record(),
        )

    def plan(self, current: PackagesState, desired: PackagesSpec) -> Plan:
        return packages.plan(current, desired)

    def plan_teardown(self, current: PackagesState) -> Plan:
        return packages.plan_teardown(current, self.remove)

    def record(self, current: PackagesState, plan: Plan) -> dict[str, Any]:
        return packages.record(current, plan)

    def perform(self, operation: Operation) -> None:
        getattr(self, f"_{operation.action}")(operation)

    def check(self, current: PackagesState, desired: PackagesSpec) -> list[Check]:
        remedy = "Apply the role ovs_dpdk again."
        abi = current.candidate[1] if current.candidate else None
        there = packages.installed_plugins(current.installed, abi)
        wanted = packages.wanted_plugins(current, desired)
        seen = current.alternative.value if current.alternative else None
        return [
            Check("ovs_packages.plugins", LAYER, "DPDK", wanted, [item for item in wanted if item in there], remedy),
            Check("ovs_packages.program", LAYER, packages.ALTERNATIVE, packages.DPDK_PROGRAM, seen, remedy),
        ]

    def _candidate(self) -> tuple[str, str] | None:
        shown = self.host.run(["apt-cache", "show", "--no-all-versions", packages.WITH_DPDK])
        return packages.parse_candidate(shown.out)

    def _update_package_lists(self, operation: Operation) -> None:
        self.apt.refresh()
        if self._candidate() is None:
            raise FastpathError(
                f"The package sources of {platform.node()} have no {packages.WITH_DPDK}: add a source that does, "
                "or use the provider source."
            )

    def _backup_database(self, operation: Operation) -> None:
        """The file is a log that only grows, so a copy is a state of the database whenever it is taken."""
        content = self.host.read_bytes(operation.after)
        if content is not None and not self.host.exists(operation.target):
            self.host.write_file(operation.target, content, mode=0o600)

    def _install_packages(self, operation: Operation) -> None:
        candidate = self._candidate()
        if candidate is None:
            raise FastpathError(f"The package sources of {platform.node()} have no {packages.WITH_DPDK} any more.")
        version = operation.after["version"]
        names = [
            debian_package(name[len("librte-") : -1], candidate[1]) if name.endswith("*") else name
            for name in operation.after["packages"]
        ]
        if version:
            names += [f"{packages.WITH_DPDK}={version}", packages.SWITCH]
        kept = self.store.record()
        kept["packages"] = sorted({*kept.get("packages", ()), *self.apt.would_install(names)})
        self.store.save_record(kept)
        self.apt.install(names)

    def _select_program(self, operation: Operation) -> None:
        after = operation.after
        way = (
            ["--auto", packages.ALTERNATIVE] if after["automatic"] else ["--set", packages.ALTERNATIVE, after["value"]]
        )
        self.host.must_run(["update-alternatives", *way])

    def _restart_vswitchd(self, operation: Operation) -> None:
        self.host.must_run(["systemctl", "restart", SERVICE], RESTART_SECONDS)

    def _remove_packages(self, operation: Operation) -> None:
        self.apt.remove(operation.before)

    def _remove_folder(self, operation: Operation) -> None:
        self.host.remove_folder(operation.target)

    def _forget(self, operation: Operation) -> None:
        """The core drops the record itself."""
