# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which boot arguments an IOMMU mode and CPU isolation need on this node: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import Argument
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import KernelArgsSpec, cpu_list

INTEL = "intel"
AMD = "amd"
ARM = "arm"
_VENDORS = {"GenuineIntel": INTEL, "CentaurHauls": INTEL, "Shanghai": INTEL, "AuthenticAMD": AMD, "HygonGenuine": AMD}

_ON = {INTEL: (Argument("intel_iommu", "on"),), AMD: (), ARM: ()}
_PASSTHROUGH = {
    INTEL: (Argument("intel_iommu", "on"), Argument("iommu", "pt")),
    AMD: (Argument("iommu", "pt"),),
    ARM: (Argument("iommu.passthrough", "1"),),
}
_OFF = {INTEL: (Argument("intel_iommu", "off"),), AMD: (Argument("amd_iommu", "off"),)}
ACPI_TABLES = {"DMAR": INTEL, "IVRS": AMD, "IORT": ARM}
_FIRMWARE = {INTEL: "VT-d", AMD: "AMD-Vi (IOMMU)", ARM: "the SMMU"}


@dataclass(frozen=True)
class NodeFacts:
    """What the node is. ``cpu_vendor`` empty: none of those known. ``cpus``: all that can exist.

    ``iommu_vendor``: whose IOMMU the firmware announces. A virtual machine may have Intel's beside an AMD CPU.
    """

    cpu_vendor: str = ""
    iommu_groups: int = 0
    cpus: tuple[int, ...] = ()
    memory_encryption: bool = False
    iommu_vendor: str = ""

    @property
    def vendor(self) -> str:
        """Whose boot arguments the IOMMU heeds."""
        return self.iommu_vendor or self.cpu_vendor


def cpu_vendor(cpuinfo: str) -> str:
    """The vendor out of /proc/cpuinfo; empty where it is none that an IOMMU mode is known for."""
    for line in cpuinfo.splitlines():
        key, _colon, value = line.partition(":")
        if key.strip() == "vendor_id":
            return _VENDORS.get(value.strip(), "")
        if key.strip() == "CPU implementer":
            return ARM
    return ""


def iommu_arguments(mode: str | None, node: NodeFacts, ours: Sequence[Argument]) -> tuple[Argument, ...]:
    """Arguments of a mode. What the kernel does anyway needs none, unless it does so through ``ours``."""
    if mode is None:
        return ()
    if mode == "passthrough":
        return _PASSTHROUGH.get(node.vendor, ())
    arguments = _ON.get(node.vendor, ()) if mode == "on" else _OFF.get(node.vendor, ())
    as_wished_already = (node.iommu_groups > 0) == (mode == "on")
    through_ours = any(own.same(argument) for own in ours for argument in arguments)
    return () if as_wished_already and not through_ours else arguments


def isolation_arguments(cpus: tuple[int, ...]) -> tuple[Argument, ...]:
    """Keep the scheduler, managed interrupts, the timer tick and RCU callbacks off these CPUs."""
    if not cpus:
        return ()
    text = cpu_list(cpus)
    return (
        Argument("isolcpus", f"managed_irq,domain,{text}"),
        Argument("nohz_full", text),
        Argument("rcu_nocbs", text),
    )


def node_problems(spec: KernelArgsSpec, node: NodeFacts, variable: str) -> list[Problem]:
    """What this node cannot do of a spec that is right in itself."""
    problems = []
    if spec.iommu is not None and not node.vendor:
        problems.append(
            Problem(f"{variable}.iommu", spec.iommu, "the CPU is none of Intel, AMD, ARM; name the argument in extra.")
        )
    if spec.iommu == "off" and node.vendor == ARM and node.iommu_groups:
        problems.append(
            Problem(f"{variable}.iommu", "off", "an ARM SMMU is switched off in firmware, not by an argument.")
        )
    where = f"{variable}.isolated_cpus"
    absent = tuple(cpu for cpu in spec.isolated_cpus if node.cpus and cpu not in node.cpus)
    if absent:
        problems.append(
            Problem(
                where,
                cpu_list(spec.isolated_cpus),
                f"the node has no CPU {cpu_list(absent)}, only {cpu_list(node.cpus)}.",
            )
        )
    elif spec.isolated_cpus and set(node.cpus) == set(spec.isolated_cpus):
        problems.append(
            Problem(where, cpu_list(spec.isolated_cpus), "leaves no CPU to the system; leave out one at least.")
        )
    return problems


def node_warnings(spec: KernelArgsSpec, node: NodeFacts) -> tuple[str, ...]:
    warnings = []
    if spec.iommu in ("on", "passthrough") and node.vendor in (AMD, ARM) and not node.iommu_groups:
        warnings.append(
            f"The kernel found no IOMMU, and this CPU needs no argument for it: enable {_FIRMWARE[node.vendor]} in "
            "the firmware's setup."
        )
    if spec.iommu == "passthrough" and node.vendor == AMD and node.memory_encryption:
        warnings.append("iommu=pt switches SEV-SNP off on this node (/sys/module/kvm_amd/parameters/sev_snp is on).")
    if 0 in spec.isolated_cpus:
        warnings.append("isolated_cpus has CPU 0, which kernels usually keep for timekeeping and take out again.")
    return tuple(warnings)


def firmware_hint(node: NodeFacts) -> str:
    """What to do where the arguments are live and there is still no IOMMU."""
    what = _FIRMWARE.get(node.vendor, "the IOMMU")
    return f"Enable {what} in the firmware's setup (in a virtual machine: add a virtual IOMMU)."
