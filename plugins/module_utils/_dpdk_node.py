# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. DPDK on a node: the concern, with packages, bundles and the kernel behind their seams."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import ACTIONS, SWITCH, UNPACK, Bundles
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk import (
    LINKS,
    MODULES_LOAD,
    NAME,
    PROFILE,
    DpdkState,
    plan_dpdk,
    plan_dpdk_teardown,
    record_before,
    wanted_packages,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import MODULES, SOURCE, DpdkSpec, parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._eal import WITH_PAGES, WITHOUT_PAGES, WORKS, start_eal
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_sysfs import all_pages
from ansible_collections.nfv.fastpath.plugins.module_utils._node_abi import discover_abi
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import discover_node
from ansible_collections.nfv.fastpath.plugins.module_utils._packages import (
    Apt,
    PackageManager,
    must_have_manager,
    package_manager,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_packages import abi_of

LAYER = "dpdk"
TESTPMD = "dpdk-testpmd"
MODPROBE_SECONDS = 60
# Twice what the trial start asks for: free pages may be on the wrong NUMA node.
TRIAL_KB = 128 * 1024
APPLY = "Apply the role dpdk again."


class DpdkConcern(Concern[DpdkState, DpdkSpec]):
    """Spec: ``{"dpdk": fastpath_dpdk, "bundle": manifest}``.

    ``archive``: where a bundle was put for this run. ``remove_packages``: this is a teardown that takes packages away.
    ``refresh``: whether the archives' lists may be read anew where they do not know DPDK.
    ``looking_ahead``: nothing will be done, so what the builder would bring may still be absent.
    """

    name = NAME

    def __init__(
        self,
        host: Host,
        archive: str | None = None,
        remove_packages: bool = False,
        refresh: bool = False,
        looking_ahead: bool = False,
    ) -> None:
        super().__init__(host)
        self.archive = archive
        self.remove_packages = remove_packages
        self.refresh = refresh
        self.looking_ahead = looking_ahead
        self.bundles = Bundles(host, NAME)
        self.packages = package_manager(host)

    def parse(self, spec: Any) -> DpdkSpec:
        return parse_dpdk(spec)

    def discover(self) -> DpdkState:
        record = self.store.record()
        devices = read_pci(self.host)
        node = discover_node(self.host)
        pages = all_pages(self.host)
        installed = self.packages.installed() if self.packages else frozenset()
        return DpdkState(
            node=discover_abi(self.host),
            manager=self.packages.name if self.packages else "",
            abi=self._abi(installed),
            kernel=node.kernel,
            lockdown=node.lockdown,
            secure_boot=bool(node.secure_boot),
            devices=devices,
            installed=installed,
            files={path: self.host.read(path) for path in (MODULES_LOAD, PROFILE)},
            links=self._links(),
            loaded=frozenset(name for name in MODULES if self.host.exists(_module_folder(name))),
            loadable=loadable_modules(self.host, node.kernel) & frozenset(MODULES),
            idle=frozenset(name for name in record.get("modules", ()) if self._is_idle(name)),
            removable=self._removable(record),
            bundles=self.bundles.discover(),
            pages_kb=sum(kind.total * size for (size, place), kind in pages.items() if place is None),
            free_kb=sum(kind.free * size for (size, place), kind in pages.items() if place is None),
            iommu_groups=len(self.host.listdir("/sys/kernel/iommu_groups")),
            record=record,
        )

    def plan(self, current: DpdkState, desired: DpdkSpec) -> Plan:
        return plan_dpdk(current, desired, self.looking_ahead)

    def plan_teardown(self, current: DpdkState) -> Plan:
        return plan_dpdk_teardown(current, self.remove_packages)

    def record(self, current: DpdkState, plan: Plan) -> dict[str, Any]:
        return record_before(current, plan)

    def perform(self, operation: Operation) -> None:
        if operation.action in ACTIONS:
            if operation.action == SWITCH and operation.after:
                self._prove(operation.after)
            self.bundles.perform(operation, self.archive)
        elif operation.action == "install_packages":
            self._install(operation.after)
        elif operation.action == "remove_packages":
            must_have_manager(self.packages).remove(operation.before)
        elif operation.action in ("write_file", "remove_file"):
            self._write(operation.target, operation.after)
        elif operation.action in ("link", "unlink"):
            self._link(operation.target, operation.after)
        elif operation.action == "load_module":
            self.host.must_run(["modprobe", operation.target], timeout=MODPROBE_SECONDS)
        elif operation.action == "unload_module":
            self.host.must_run(["modprobe", "--remove", operation.target], timeout=MODPROBE_SECONDS)

    def needs_archive(self, plan: Plan) -> bool:
        """Whether a bundle has to be brought to the node before the plan can be carried out."""
        return self.archive is None and any(step.action == UNPACK for step in plan.operations)

    def check(self, current: DpdkState, desired: DpdkSpec) -> list[Check]:
        lacking = [name for name in wanted_packages(current, desired) if name not in current.installed]
        checks = [Check("dpdk.packages", LAYER, current.manager, [], lacking, APPLY)]
        if desired.provider == SOURCE:
            folder = desired.bundle.folder if desired.bundle else current.bundles.current
            checks.append(Check("dpdk.bundle", LAYER, "current", folder or "a bundle", current.bundles.current, APPLY))
        for name in desired.modules:
            seen = "loaded" if name in current.loaded else "absent"
            checks.append(Check("dpdk.module", LAYER, name, "loaded", seen, f"modprobe {name} says why."))
        if "vfio-pci" in desired.modules:
            seen = "on" if current.iommu_groups else "off"
            checks.append(Check("dpdk.iommu", LAYER, "vfio-pci", "on", seen, "See fastpath_kernel_args: iommu."))
        return checks + self._eal_checks(current, desired)

    def _eal_checks(self, current: DpdkState, desired: DpdkSpec) -> list[Check]:
        testpmd = self._program(TESTPMD)
        if not (desired.tools or desired.bundle) or testpmd is None:
            return []
        kinds = {"without hugepages": WITHOUT_PAGES}
        # The rest may well be with Open vSwitch.
        if current.free_kb >= TRIAL_KB:
            kinds["with hugepages"] = WITH_PAGES
        remedy = f"Run {TESTPMD} by hand on the node; it says more."
        checks = [
            Check("dpdk.eal", LAYER, kind, WORKS, start_eal(self.host, testpmd, memory), remedy)
            for kind, memory in kinds.items()
        ]
        seen = "some" if current.pages_kb else "none"
        return [*checks, Check("dpdk.hugepages", LAYER, "hugepages", "some", seen, "See fastpath_hugepages.")]

    def _program(self, name: str) -> str | None:
        found = [f"{folder}/{name}" for folder in (LINKS, "/usr/bin") if self.host.exists(f"{folder}/{name}")]
        return found[0] if found else None

    def _prove(self, folder: str) -> None:
        """A bundle that does not start here never becomes current."""
        program = f"{self.bundles.folder}/{folder}/bin/{TESTPMD}"
        if self.host.exists(program):
            seen = start_eal(self.host, program, WITHOUT_PAGES)
            if seen != WORKS:
                raise FastpathError(
                    f"{self.bundles.folder}/{folder} does not start on this node, {seen}. "
                    "What was current stays current."
                )

    def _abi(self, installed: frozenset[str]) -> str | None:
        """Of the version that would be installed; without the archives' lists, of the one that is."""
        if not isinstance(self.packages, Apt):
            return None
        depends = self.packages.field("dpdk-dev", "Depends")
        if depends is None and self.refresh:
            self.packages.refresh()
            depends = self.packages.field("dpdk-dev", "Depends")
        return abi_of(depends or ", ".join(sorted(installed)))

    def _links(self) -> dict[str, str]:
        names = [name for name in self.host.listdir(LINKS) if name.startswith("dpdk-") or name in self._recorded()]
        return {name: self.host.link_target(f"{LINKS}/{name}") or "" for name in names}

    def _recorded(self) -> Any:
        return self.store.record().get("links", {})

    def _is_idle(self, module: str) -> bool:
        """Loaded, with no device and no other user."""
        folder = _module_folder(module)
        if not self.host.exists(folder):
            return False
        bound = any(":" in name for name in self.host.listdir(f"/sys/bus/pci/drivers/{module}"))
        return not bound and self.host.read_value(f"{folder}/refcnt") == "0"

    def _removable(self, record: dict[str, Any]) -> tuple[str, ...]:
        packages = record.get("packages", ())
        if not packages or not self.remove_packages or not self.packages:
            return ()
        return tuple(self.packages.removable(packages))

    def _install(self, packages: list[str]) -> None:
        """The record first: also what comes along by dependency goes again at a teardown."""
        manager: PackageManager = must_have_manager(self.packages)
        if manager.unknown(packages):
            manager.refresh()
        record = self.store.record()
        # A simulation names upgrades as well; what was there before is not ours.
        added = ({*manager.would_install(packages)} | {*packages}) - manager.installed()
        self.store.save_record({**record, "packages": sorted({*record.get("packages", ()), *added})})
        manager.install(packages)

    def _write(self, path: str, content: str | None) -> None:
        if content is None:
            self.host.remove(path)
        else:
            self.host.write_file(path, content)

    def _link(self, path: str, target: str | None) -> None:
        if target is None:
            self.host.remove(path)
        else:
            self.host.link(path, target)


def _module_folder(name: str) -> str:
    return f"/sys/module/{name.replace('-', '_')}"


def loadable_modules(host: Host, kernel: str) -> frozenset[str]:
    """All that a kernel has, built in or not, named as their files are."""
    folder = f"/lib/modules/{kernel}"
    text = (host.read(f"{folder}/modules.dep") or "") + "\n" + (host.read(f"{folder}/modules.builtin") or "")
    return frozenset(re.findall(r"^[^\s:]*/([^/\s:]+?)\.ko(?:\.[a-z0-9]+)?(?=:|$)", text, re.MULTILINE))
