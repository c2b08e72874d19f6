# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What firmware and kernel say about the IOMMU, and about interrupt remapping.

A group in ``/sys/kernel/iommu_groups`` is the only proof of an IOMMU in use: several kernels enable it
without any boot argument. Interrupt remapping is a feature of its own: without it vfio-pci binds, and
then every user of the device fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

TABLES = ("DMAR", "IVRS", "IORT")
DMAR_FLAGS = 37
DMAR_INTERRUPT_REMAPPING = 0x01
ECAP_INTERRUPT_REMAPPING = 1 << 3
SWITCHES_OFF = ("intel_iommu=off", "amd_iommu=off", "iommu=off")
UNSAFE_PARAMETER = "allow_unsafe_interrupts"


@dataclass(frozen=True)
class Iommu:
    """``table``: the ACPI table by which firmware announces an IOMMU. ``groups``: of this boot.

    ``switched_off``: the boot argument that keeps it off. ``interrupt_remapping`` None: cannot be known.
    ``translates``: devices have addresses of their own, given by the kernel; not so with ``iommu=pt``.
    """

    table: str | None = None
    groups: int = 0
    units: tuple[str, ...] = ()
    switched_off: str | None = None
    interrupt_remapping: bool | None = None
    unsafe_interrupts_ok: bool = False
    translates: bool = False

    @property
    def announced(self) -> bool:
        return bool(self.table or self.units)


def discover_iommu(host: Host, arguments: tuple[str, ...], groups: int) -> Iommu:
    """``arguments``: those of the running kernel. ``groups``: devices behind an IOMMU now."""
    table = next((name for name in TABLES if host.exists(f"/sys/firmware/acpi/tables/{name}")), None)
    units = tuple(host.listdir("/sys/class/iommu"))
    return Iommu(
        table=table,
        groups=groups,
        units=units,
        switched_off=next((argument for argument in arguments if argument in SWITCHES_OFF), None),
        interrupt_remapping=_interrupt_remapping(host, table, units, arguments),
        unsafe_interrupts_ok=_unsafe_interrupts_ok(host, arguments),
        translates=_translates(host),
    )


def _translates(host: Host) -> bool:
    """The type of a group is ``DMA`` or ``DMA-FQ`` where the kernel gives each device addresses of its own."""
    folder = "/sys/kernel/iommu_groups"
    kinds = {host.read_value(f"{folder}/{group}/type") or "" for group in host.listdir(folder)}
    return any(kind.startswith("DMA") for kind in kinds)


def _interrupt_remapping(
    host: Host, table: str | None, units: tuple[str, ...], arguments: tuple[str, ...]
) -> bool | None:
    if "nointremap" in arguments or "intremap=off" in arguments:
        return False
    if table != "DMAR":
        # AMD's and ARM's always have it; where there is none, nothing is known.
        return True if table or units else None
    announced = _dmar_flags(host)
    if announced is not None and not announced & DMAR_INTERRUPT_REMAPPING:
        return False
    features = [host.read_value(f"/sys/class/iommu/{unit}/intel-iommu/ecap") for unit in units]
    known = [int(value, 16) for value in features if value]
    if known:
        return all(value & ECAP_INTERRUPT_REMAPPING for value in known)
    return None if announced is None else True


def _dmar_flags(host: Host) -> int | None:
    table = host.read_bytes("/sys/firmware/acpi/tables/DMAR") or b""
    return table[DMAR_FLAGS] if len(table) > DMAR_FLAGS else None


def _unsafe_interrupts_ok(host: Host, arguments: tuple[str, ...]) -> bool:
    loaded = host.read_value(f"/sys/module/vfio_iommu_type1/parameters/{UNSAFE_PARAMETER}")
    if loaded is not None:
        return loaded == "Y"
    if any(argument in _unsafe_spellings("vfio_iommu_type1.") for argument in arguments):
        return True
    for folder in ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d"):
        for name in host.listdir(folder):
            for line in (host.read(f"{folder}/{name}") or "").splitlines():
                words = line.split()
                if words[:2] == ["options", "vfio_iommu_type1"] and _unsafe_spellings("").intersection(words[2:]):
                    return True
    return False


def _unsafe_spellings(prefix: str) -> frozenset[str]:
    values = ("", "=1", "=y", "=Y", "=on")
    return frozenset(f"{prefix}{UNSAFE_PARAMETER}{value}" for value in values)
