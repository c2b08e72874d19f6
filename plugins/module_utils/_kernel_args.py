# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Boot arguments of a node: the concern, with the boot loader behind a seam."""

from __future__ import annotations

from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_line,
    as_texts,
    hugepage_part,
    matches_any,
    missing_in,
    parse_line,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import BootChange, BootLoader, BootRules
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._grub import GrubLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._grubby import GrubbyLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages import promoted_sizes
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_hugepages
from ansible_collections.nfv.fastpath.plugins.module_utils._iommu import (
    ACPI_TABLES,
    NodeFacts,
    cpu_vendor,
    firmware_hint,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_plan import (
    NO_LOADER,
    REMEMBER,
    SET,
    VARIABLE,
    Current,
    Desired,
    asked_arguments,
    plan_kernel_args,
    plan_teardown,
    record_before,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import parse_cpu_list, parse_kernel_args
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id, reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._rpm_ostree import RpmOstreeLoader
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store

LAYER = "kernel_args"
GROUPS = "/sys/kernel/iommu_groups"
ACPI = "/sys/firmware/acpi/tables"
# VFIO makes groups of this name for devices that have no IOMMU.
NO_IOMMU_GROUP = "vfio-noiommu"
PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin")


def boot_loader(host: Host) -> BootLoader | None:
    """The boot loader that this node was started by, as far as it shows; None: none that is known."""
    if host.exists("/run/ostree-booted"):
        return RpmOstreeLoader(host) if _has_program(host, "rpm-ostree") else None
    if _has_program(host, "grubby"):
        return GrubbyLoader(host)
    return GrubLoader(host) if _has_program(host, "update-grub") else None


def _has_program(host: Host, name: str) -> bool:
    return any(host.exists(f"{folder}/{name}") for folder in PROGRAM_FOLDERS)


def node_facts(host: Host) -> NodeFacts:
    groups = [group for group in host.listdir(GROUPS) if host.read_value(f"{GROUPS}/{group}/name") != NO_IOMMU_GROUP]
    return NodeFacts(
        cpu_vendor=cpu_vendor(host.read("/proc/cpuinfo") or ""),
        iommu_groups=len(groups),
        cpus=parse_cpu_list(host.read_value("/sys/devices/system/cpu/present") or "") or (),
        iommu_vendor=next((vendor for table, vendor in ACPI_TABLES.items() if host.exists(f"{ACPI}/{table}")), ""),
        memory_encryption=host.read_value("/sys/module/kvm_amd/parameters/sev_snp") in ("Y", "1"),
    )


class KernelArgsConcern(Concern[Current, Desired]):
    """Spec: ``{"arguments": fastpath_kernel_args, "hugepages": fastpath_hugepages}``; either may be absent."""

    name = "kernel_args"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.loader = boot_loader(host)

    def parse(self, spec: Any) -> Desired:
        parts = spec or {}
        arguments, problems = parse_kernel_args(parts.get("arguments"), VARIABLE)
        pools, page_problems = parse_hugepages(parts.get("hugepages"))
        if problems or page_problems:
            raise Refused(problems + list(page_problems))
        return Desired(arguments, tuple(pools))

    def discover(self) -> Current:
        return Current(
            config=self.loader.discover() if self.loader else None,
            rules=self.loader.rules if self.loader else BootRules(),
            live=parse_line(self.host.read("/proc/cmdline") or ""),
            node=node_facts(self.host),
            record=self.store.record(),
            boot_id=boot_id(self.host),
            promoted=promoted_sizes(Store(self.host, "hugepages").record()),
            noted_reason=reasons(self.host).get(self.name, ""),
        )

    def plan(self, current: Current, desired: Desired) -> Plan:
        return plan_kernel_args(current, desired)

    def plan_teardown(self, current: Current) -> Plan:
        return plan_teardown(current)

    def record(self, current: Current, plan: Plan) -> dict[str, Any]:
        return record_before(current, plan)

    def perform(self, operation: Operation) -> None:
        if operation.action == REMEMBER:
            self.store.save_record(operation.after)
        elif operation.action == SET and self.loader:
            self.loader.write(BootChange.of_json(operation.after))
        else:
            raise FastpathError(f"{NO_LOADER} {operation.action} cannot be done.")

    def check(self, current: Current, desired: Desired) -> list[Check]:
        asked = asked_arguments(current, desired)
        checks = [_live_check(argument, asked, current) for argument in asked if not argument.is_hugepage]
        pages = hugepage_part(asked)
        if pages:
            seen = as_line(hugepage_part(current.live))
            checks.append(Check("kernel_args.hugepages", LAYER, "/proc/cmdline", as_line(pages), seen, REMEDY))
        for pattern in desired.spec.remove:
            left = as_line(item for item in current.live if matches_any(item, (pattern,)) and item not in asked)
            checks.append(Check("kernel_args.removed", LAYER, str(pattern), "", left, REMEDY))
        if current.config is not None:
            lacking = sorted({text for entry in current.config.entries for text in as_texts(missing_in(entry, asked))})
            checks.append(
                Check("kernel_args.configured", LAYER, current.rules.where, [], lacking, "Apply the role kernel_args.")
            )
        if desired.spec.iommu is not None:
            seen_iommu = "on" if current.node.iommu_groups else "off"
            expected = "off" if desired.spec.iommu == "off" else "on"
            checks.append(Check("kernel_args.iommu", LAYER, GROUPS, expected, seen_iommu, firmware_hint(current.node)))
        return checks


REMEDY = "Reboot the node; if it was rebooted, apply the role kernel_args: it names the file that overrides it."


def _live_check(argument: Argument, asked: tuple[Argument, ...], current: Current) -> Check:
    """Both sides are texts of arguments, and equal where the argument is live."""
    text = str(argument)
    if argument not in missing_in(current.live, asked):
        return Check("kernel_args.live", LAYER, text, text, text)
    seen = as_line(other for other in current.live if other.key == argument.key)
    # A value that stands there and is overridden by a later one is not live.
    return Check("kernel_args.live", LAYER, text, text, f"{seen} (not in force)" if seen else "", REMEDY)
