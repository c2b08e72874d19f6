# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which packages bring the DPDK drivers that a node's NICs need.

Debian and Ubuntu split DPDK into a package per driver, with the ABI in its name (``librte-net-e1000-25``), and only
recommend them. Without the right one a port fails with no more than ``failed to parse device``.
The RHEL family has all drivers in the package ``dpdk``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_ids import NET_DRIVER_IDS

# Without these no device is found and no memory pool is made.
ESSENTIAL_PLUGINS = ("bus-pci", "bus-vdev", "mempool-ring")
# Needed whatever the NIC: also the drivers of software ports.
COMMON_PLUGINS = (
    *ESSENTIAL_PLUGINS,
    "net-af-packet",
    "net-null",
    "net-ring",
    "net-tap",
    "net-vhost",
    "net-virtio",
)
# VFs that have another driver than their PF. They may not be there yet, so the PF speaks for them.
VF_DRIVERS = {"i40e": "iavf", "ice": "iavf"}
# vDPA drivers by the vendor of the NIC; they only act on devices that are given to them with a device argument.
VDPA_PLUGINS = {"15b3": "vdpa-mlx5", "1af4": "vdpa-ifc", "10ee": "vdpa-sfc", "19ee": "vdpa-nfp", "1da8": "vdpa-nfp"}

_NETWORK_CLASS = re.compile(r"(0x)?02")


def _by_id() -> dict[tuple[str, str], str]:
    table = {}
    for driver, ids in NET_DRIVER_IDS.items():
        vendor = ""
        for word in ids.split():
            if word.endswith(":"):
                vendor = word[:-1]
            else:
                table[(vendor, word)] = driver
    return table


_DRIVER = _by_id()


def driver_of(vendor_id: str | None, device_id: str | None) -> str | None:
    """The DPDK network driver of a PCI id (``8086``, ``10ca`` -> ``e1000``); None: none is known."""
    return _DRIVER.get((vendor_id or "", device_id or ""))


def nic_plugins(devices: Iterable[PciDevice], vdpa: bool = False) -> frozenset[str]:
    """Driver plugins for the network devices among ``devices``, whatever they are bound to: ``net-e1000``, ..."""
    wanted: set[str] = set()
    for device in devices:
        if not _NETWORK_CLASS.match(device.class_id or ""):
            continue
        driver = driver_of(device.vendor_id, device.device_id)
        wanted.update(f"net-{name}" for name in (driver, VF_DRIVERS.get(driver or "")) if name)
        if vdpa and device.vendor_id in VDPA_PLUGINS:
            wanted.add(VDPA_PLUGINS[device.vendor_id])
    return frozenset(wanted)


def plugins_for(devices: Iterable[PciDevice], vdpa: bool = False, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """All plugins, sorted, for programs of any kind: ``bus-pci``, ``net-e1000``, ..."""
    return tuple(sorted({*COMMON_PLUGINS, *extra, *nic_plugins(devices, vdpa)}))


def debian_package(plugin: str, abi: str) -> str:
    """``net-e1000``, ``25`` -> ``librte-net-e1000-25``; ``net-virtio``, ``25`` -> ``librte-net-virtio25``."""
    return f"librte-{plugin}{'-' if plugin[-1].isdigit() else ''}{abi}"


def abi_of(depends: str) -> str | None:
    """The ABI that a package was built for, from its field Depends (of ``dpdk-dev``, ``openvswitch-switch-dpdk``)."""
    match = re.search(r"\blibrte-eal([0-9][0-9.]*)\b", depends)
    return match.group(1) if match else None


def debian_packages(
    devices: Iterable[PciDevice], abi: str, vdpa: bool = False, extra: Sequence[str] = ()
) -> tuple[str, ...]:
    """Packages, sorted, with the drivers for ``devices``. ``extra``: further plugins, e.g. ``net-bond``."""
    return tuple(sorted(debian_package(plugin, abi) for plugin in plugins_for(devices, vdpa, extra)))
