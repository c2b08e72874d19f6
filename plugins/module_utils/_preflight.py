# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Every reason not to start on a node, found before anything is changed. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_argument, matches_any
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VHOST_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._iommu import INTEL
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import KernelArgsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import NodeFacts
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import VFIO, Wanted

PYTHON_FLOOR = (3, 9)
UIO_DRIVERS = ("igb_uio", "uio_pci_generic")
OUT_OF_TREE = ("igb_uio",)
SWITCHED_OFF = "needs the IOMMU, and fastpath_kernel_args.iommu switches it off. Set it to passthrough."


def preflight(facts: NodeFacts, wanted: Wanted, noiommu_ok: bool = False, vhost: Collection[str] = ()) -> list[Problem]:
    """What no planner sees for itself; ``_preflight_node`` adds what the planners would refuse.

    ``vhost``: where in the input vDPA devices are given to programs that reach memory through the node's IOMMU.
    """
    return [
        *_node_problems(facts),
        *_iommu_problems(facts, wanted, noiommu_ok),
        *_vhost_problems(facts, wanted, vhost),
        *_translation_problems(facts, wanted),
        *_lockdown_problems(facts, wanted, noiommu_ok),
    ]


def needs_reboot_first(facts: NodeFacts, wanted: Wanted, vhost: Collection[str] = ()) -> bool:
    """Whether VFs are of use with their drivers only after a boot argument has set the IOMMU otherwise."""
    on = (
        bool(vhost or _asks_for(wanted, (VFIO,))) and not facts.iommu.groups and _switches_on(facts, wanted.kernel_args)
    )
    return on or (bool(_asks_for(wanted, UIO_DRIVERS)) and facts.iommu.translates)


def _switches_on(facts: NodeFacts, spec: KernelArgsSpec) -> bool:
    """Whether the boot arguments asked for turn an announced IOMMU on. AMD's and ARM's are on unless one says off."""
    if facts.cpu_vendor == INTEL:
        return spec.iommu in ("on", "passthrough")
    culprit = facts.iommu.switched_off
    return culprit is not None and matches_any(as_argument(culprit), spec.remove)


def _node_problems(facts: NodeFacts) -> Iterable[Problem]:
    if facts.user_id != 0:
        yield Problem(
            "ansible_user", f"user id {facts.user_id}", "is not root. Connect as root or set ansible_become: true."
        )
    if facts.python[:2] < PYTHON_FLOOR:
        found = ".".join(str(part) for part in facts.python)
        yield Problem("ansible_python_interpreter", found, "is too old. Name a Python of at least 3.9 on the node.")
    if facts.boot_loader is None:
        yield _boot_loader_problem(facts)
    if facts.missing_tools:
        yield Problem(
            "node.tools",
            ", ".join(facts.missing_tools),
            "cannot be found on the node. Install them (Debian: iproute2, kmod, systemd).",
        )


def _boot_loader_problem(facts: NodeFacts) -> Problem:
    name = facts.os.get("PRETTY_NAME") or facts.os.get("ID") or "unknown"
    return Problem(
        "node.os",
        name,
        "has none of the boot loaders that can be set. Supported are Debian and Ubuntu (update-grub), Fedora and the "
        "RHEL family (grubby), and rpm-ostree.",
    )


def _asks_for(wanted: Wanted, drivers: Collection[str]) -> list[str]:
    """Where in the input one of these drivers is asked for."""
    return [f"{where}.driver" for where, _pf, group in wanted.groups() if group.driver in drivers]


def _iommu_problems(facts: NodeFacts, wanted: Wanted, noiommu_ok: bool) -> Iterable[Problem]:
    asked = _asks_for(wanted, (VFIO,))
    if not asked or noiommu_ok:
        return
    where = ", ".join(asked)
    if wanted.kernel_args.iommu == "off":
        yield Problem(where, VFIO, SWITCHED_OFF)
        return
    missing = _no_iommu(facts, wanted)
    if missing:
        yield Problem(where, VFIO, missing)
    elif facts.iommu.interrupt_remapping is False and not facts.iommu.unsafe_interrupts_ok:
        yield Problem(where, VFIO, _no_interrupt_remapping(facts))


def _vhost_problems(facts: NodeFacts, wanted: Wanted, vhost: Collection[str]) -> Iterable[Problem]:
    """Here no consent helps: the kernel has no way round the IOMMU, but it needs no remapping of interrupts."""
    missing = SWITCHED_OFF if wanted.kernel_args.iommu == "off" else _no_iommu(facts, wanted)
    if vhost and missing:
        yield Problem(", ".join(vhost), VHOST_VDPA, missing)


def _translation_problems(facts: NodeFacts, wanted: Wanted) -> Iterable[Problem]:
    """Programs give a UIO device physical addresses: it binds under a translating IOMMU, and no packet ever arrives."""
    if not facts.iommu.translates or wanted.kernel_args.iommu in ("passthrough", "off"):
        return
    for where, _pf, group in wanted.groups():
        if group.driver in UIO_DRIVERS:
            yield Problem(
                f"{where}.driver",
                group.driver,
                "works with physical addresses, and the IOMMU of this node translates them: the device would reach no "
                "memory. Use vfio-pci, or set fastpath_kernel_args: {iommu: passthrough}, which takes one reboot.",
            )


def _no_iommu(facts: NodeFacts, wanted: Wanted) -> str:
    iommu = facts.iommu
    if iommu.groups:
        return ""
    if not iommu.announced:
        return (
            "needs an IOMMU, and firmware announces none (no ACPI table DMAR, IVRS or IORT). "
            "Switch on VT-d, AMD-Vi or SMMU in the firmware's setup; no boot argument can do it."
        )
    if _switches_on(facts, wanted.kernel_args):
        return ""
    table = f"firmware has it, table {iommu.table}" if iommu.table else "the hardware has it"
    because = f", kept off by the boot argument {iommu.switched_off}" if iommu.switched_off else ""
    return f"needs the IOMMU, which is off ({table}{because}). {_how_to_switch_on(facts)}"


def _how_to_switch_on(facts: NodeFacts) -> str:
    if facts.cpu_vendor == INTEL:
        return "Set fastpath_kernel_args: {iommu: passthrough}, which takes one reboot."
    if facts.iommu.switched_off:
        return f'Set fastpath_kernel_args: {{remove: ["{facts.iommu.switched_off}"]}}, which takes one reboot.'
    return "The kernel should have taken it by itself; look for IOMMU in its log (dmesg), and in the firmware's setup."


def _no_interrupt_remapping(facts: NodeFacts) -> str:
    culprit = {"nointremap", "intremap=off"}.intersection(facts.arguments)
    if culprit:
        how = f"Remove the boot argument {min(culprit)}"
    else:
        how = "Switch it on in the firmware's setup (x2APIC or interrupt remapping, beside VT-d)"
    return (
        "needs interrupt remapping, which this node has not: the driver would bind, and then no program could use "
        f"the device. {how}, or accept the risk with allow_unsafe_interrupts=1 for the module vfio_iommu_type1."
    )


def _lockdown_problems(facts: NodeFacts, wanted: Wanted, noiommu_ok: bool) -> Iterable[Problem]:
    locked = facts.lockdown in ("integrity", "confidentiality")
    if not locked and not facts.secure_boot:
        return
    why = f"kernel lockdown ({facts.lockdown})" if locked else "Secure Boot"
    for where, _pf, group in wanted.groups():
        if group.driver in OUT_OF_TREE and group.driver in facts.unsigned_drivers:
            yield Problem(
                f"{where}.driver", group.driver, f"is an unsigned module, which {why} does not load. Use vfio-pci."
            )
        elif group.driver in UIO_DRIVERS and locked:
            yield Problem(
                f"{where}.driver",
                group.driver,
                f"lets programs at the device without an IOMMU, which {why} forbids. Use vfio-pci.",
            )
    if noiommu_ok and _asks_for(wanted, (VFIO,)) and not facts.iommu.groups:
        yield Problem(
            "fastpath_noiommu_ok", True, f"allows vfio-pci without an IOMMU, which {why} forbids. Switch the IOMMU on."
        )
