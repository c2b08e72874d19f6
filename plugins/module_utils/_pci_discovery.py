# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. All PCI functions of a node in one pass of sysfs.

A node can have thousands of VFs, and each sysfs attribute is an open, a read and a close. So each
function costs only what cannot be had otherwise: ``uevent`` gives driver, class and ids in one read;
network interfaces and vDPA devices come from one listing of their own class and not from a search
below every function.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice

DEVICES = "/sys/bus/pci/devices"
NET_CLASS = "/sys/class/net"
VDPA_DEVICES = "/sys/bus/vdpa/devices"
NO_OVERRIDE = "(null)"
_READ_SIZE = 4096
# A netdev belongs to a function when nothing but virtio or vDPA lies between: a USB adapter is not its controller.
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_NETDEV_BELOW = re.compile(rf"/({ADDRESS.pattern})(?:/[^/:]+)?(?:/virtio\d+)?/net/[^/]+$")


def read_pci(host: Host) -> tuple[PciDevice, ...]:
    """Every PCI function in address order, without ``uses``."""
    return tuple(_Pass(host).devices())


def netdevs_by_address(host: Host) -> dict[str, tuple[str, ...]]:
    """Network interfaces of this network namespace by the PCI function that they belong to."""
    found: dict[str, tuple[str, ...]] = {}
    for name in host.listdir(NET_CLASS):
        below = _NETDEV_BELOW.search(_link(host.path(f"{NET_CLASS}/{name}")))
        if below:
            found[below.group(1)] = (*found.get(below.group(1), ()), name)
    return found


def vdpa_by_address(host: Host) -> dict[str, tuple[str, ...]]:
    """vDPA devices by the PCI function that they stand on."""
    found: dict[str, tuple[str, ...]] = {}
    for name in host.listdir(VDPA_DEVICES):
        function = function_of(host, f"{VDPA_DEVICES}/{name}")
        if function:
            found[function] = (*found.get(function, ()), name)
    return found


def function_of(host: Host, link: str) -> str | None:
    """The PCI function that a device stands on, at whatever height, by its link in sysfs; None where on none."""
    return next((part for part in reversed((host.link_target(link) or "").split("/")) if ADDRESS.fullmatch(part)), None)


class _Pass:
    """One pass over all functions, each through one open folder: the way to it is walked once."""

    def __init__(self, host: Host) -> None:
        self._folder = host.path(DEVICES)
        self._addresses = host.listdir(DEVICES)
        self._netdevs = netdevs_by_address(host)
        self._vdpa_devices = vdpa_by_address(host)
        self._indexes: dict[str, dict[str, int]] = {}

    def devices(self) -> Iterator[PciDevice]:
        for address in self._addresses:
            try:
                folder = os.open(f"{self._folder}/{address}", os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                continue
            try:
                yield self._device(folder, address)
            finally:
                os.close(folder)

    def _device(self, folder: int, address: str) -> PciDevice:
        uevent = dict(line.split("=", 1) for line in _text("uevent", folder).split("\n") if "=" in line)
        vendor, device = _ids(uevent.get("PCI_ID"))
        subsystem_vendor, subsystem_device = _ids(uevent.get("PCI_SUBSYS_ID"))
        physfn = _link_name("physfn", folder)
        total = None if physfn else _number(_text("sriov_totalvfs", folder))
        override = _text("driver_override", folder).strip()
        numa_node = _number(_text("numa_node", folder))
        return PciDevice(
            address=address,
            vendor_id=vendor,
            device_id=device,
            subsystem_vendor_id=subsystem_vendor,
            subsystem_device_id=subsystem_device,
            class_id=_class_id(uevent.get("PCI_CLASS")),
            driver=uevent.get("DRIVER"),
            driver_override=None if override in ("", NO_OVERRIDE) else override,
            numa_node=None if numa_node is None or numa_node < 0 else numa_node,
            iommu_group=_number(_link_name("iommu_group", folder) or ""),
            sriov_totalvfs=total,
            sriov_numvfs=None if total is None else _number(_text("sriov_numvfs", folder)),
            physfn=physfn,
            vf_index=self._vf_indexes(physfn).get(address) if physfn else None,
            virtfns=() if physfn else tuple(self._vf_indexes(address)),
            netdevs=self._netdevs.get(address, ()),
            vdpa_devices=self._vdpa_devices.get(address, ()),
        )

    def _vf_indexes(self, pf: str) -> dict[str, int]:
        """VFs of a PF: the links come and go in the order of their indexes, without ``sriov_numvfs`` too."""
        if pf not in self._indexes:
            found: dict[str, int] = {}
            while link := _link_name(f"{self._folder}/{pf}/virtfn{len(found)}"):
                found[link] = len(found)
            self._indexes[pf] = found
        return self._indexes[pf]


def _ids(pair: str | None) -> tuple[str | None, str | None]:
    if not pair or ":" not in pair:
        return None, None
    vendor, device = pair.lower().split(":", 1)
    return vendor.zfill(4), device.zfill(4)


def _class_id(value: str | None) -> str | None:
    """Class and subclass; the kernel prints all three bytes without leading zeros."""
    return None if not value else f"{int(value, 16) >> 8:04x}"


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _text(name: str, folder: int) -> str:
    """An attribute with three system calls; Python's text files would take twice as many."""
    try:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _READ_SIZE).decode("ascii", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _link(path: str, folder: int | None = None) -> str:
    try:
        return os.readlink(path, dir_fd=folder)
    except OSError:
        return ""


def _link_name(path: str, folder: int | None = None) -> str | None:
    return _link(path, folder).rpartition("/")[2] or None
