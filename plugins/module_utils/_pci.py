# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. PCI devices as sysfs shows them, and who uses them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PciDevice:
    """One PCI function. Ids are 4-digit lower-case hex strings; what is absent is None (or empty).

    ``numa_node`` None where the kernel says -1. ``uses``: who holds the device, e.g. ``default-route``,
    ``ssh``, ``bridge:br0``, ``bond:bond0``, ``vlan:ens1.5``, ``ovs:br-int``, ``vfio:1234 (qemu)``,
    ``netns:/run/netns/x``, ``vdpa:vdpa0``. ``virtfns``: addresses of the VFs in index order.
    """

    address: str
    vendor_id: str | None = None
    device_id: str | None = None
    subsystem_vendor_id: str | None = None
    subsystem_device_id: str | None = None
    class_id: str | None = None
    driver: str | None = None
    driver_override: str | None = None
    numa_node: int | None = None
    iommu_group: int | None = None
    sriov_totalvfs: int | None = None
    sriov_numvfs: int | None = None
    physfn: str | None = None
    vf_index: int | None = None
    virtfns: tuple[str, ...] = ()
    netdevs: tuple[str, ...] = ()
    vdpa_devices: tuple[str, ...] = ()
    uses: tuple[str, ...] = field(default=())
