# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Reads the vDPA devices of a node, and who uses them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_tool
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import (
    ADDRESS,
    NO_OVERRIDE,
    VDPA_DEVICES,
    function_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import MODPROBE_SECONDS, read_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import with_uses
from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import gather
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa import MODULES_LOAD
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import BUSES, HARDWARE, VdpaAttributes
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import NETWORK, MgmtDev, VdpaDevice, VdpaState
from ansible_collections.nfv.fastpath.plugins.module_utils._virtio_vdpa import netdevs_of, virtio_devices

BUS = "/sys/bus/vdpa"
VDUSE_CLASS = "/sys/class/vduse"
_NODE = re.compile(r"vhost-vdpa-\d+")


def read_vdpa(host: Host, record: dict[str, Any], ssh_connection: str = "") -> VdpaState:
    """Without the kernel's vDPA bus there is nothing to ask for, so a node that has none pays nothing."""
    there = host.exists(BUS)
    devices = _devices(host) if there else ()
    functions = _as_functions(host, devices)
    facts = gather(host, functions, ssh_connection)
    uses = {function.address: function.uses for function in with_uses(functions, facts)}
    return VdpaState(
        functions=read_sriov(host, {}, known=facts)[0],
        tool=_vdpa_tool.has_tool(host),
        mgmtdevs=management_devices(host) if there else {},
        devices=tuple(replace(device, uses=_by_others(uses[_place(host, device)])) for device in devices),
        vduse=frozenset(host.listdir(VDUSE_CLASS)) - {"control"},
        modules_load=host.read(MODULES_LOAD),
        record=record,
    )


def management_devices(host: Host) -> dict[str, MgmtDev]:
    """The tool names bus and device, and sysfs knows what that stands on."""
    found = {}
    for name, mgmtdev in _vdpa_tool.management_devices(host).items():
        bus, _slash, device = name.partition("/")
        path = f"/sys/bus/{bus}/devices/{device}"
        found[name] = replace(mgmtdev, address=_above(host, path) if device and bus != "pci" else None)
    return found


def module_states(host: Host, names: Iterable[str]) -> dict[str, bool | None]:
    """True loaded or built in, False can be loaded, None not installed."""
    found: dict[str, bool | None] = {}
    for name in sorted(names):
        if host.exists(f"/sys/module/{name}") or (name in BUSES and host.exists(f"{BUS}/drivers/{name}")):
            found[name] = True
        else:
            done = host.run(["modprobe", "--show-depends", name], MODPROBE_SECONDS)
            found[name] = None if done.rc != 0 else done.out.strip().rpartition("\n")[2].startswith("builtin")
    return found


def _devices(host: Host) -> tuple[VdpaDevice, ...]:
    managed = _vdpa_tool.devices(host)
    networks = [name for name, facts in managed.items() if facts.get("type") == NETWORK]
    attributes = _vdpa_tool.attributes(host, networks)
    return tuple(
        _device(host, name, managed.get(name, {}), attributes.get(name, HARDWARE))
        for name in host.listdir(f"{BUS}/devices")
    )


def _device(host: Host, name: str, told: dict[str, Any], attributes: VdpaAttributes) -> VdpaDevice:
    folder = f"{BUS}/devices/{name}"
    override = host.read_value(f"{folder}/driver_override")
    driver = host.link_name(f"{folder}/driver")
    return VdpaDevice(
        name=name,
        mgmtdev=told.get("mgmtdev"),
        address=_above(host, folder) if "mgmtdev" not in told else None,
        kind=told.get("type", NETWORK),
        driver=driver,
        override=None if override in (None, "", NO_OVERRIDE) else override,
        overridable=override is not None,
        node=next((child for child in host.listdir(folder) if _NODE.fullmatch(child)), None),
        netdevs=netdevs_of(host, name) if driver == VIRTIO_VDPA else (),
        attributes=attributes,
    )


def _above(host: Host, path: str) -> str | None:
    """The PCI function that is the parent of a device, not one further above."""
    above = posixpath.basename(posixpath.dirname(host.link_target(path) or ""))
    return above if ADDRESS.fullmatch(above) else None


def _as_functions(host: Host, devices: tuple[VdpaDevice, ...]) -> tuple[PciDevice, ...]:
    """The finder of uses knows PCI functions, so each device is shown to it as one."""
    found: dict[str, PciDevice] = {}
    for device in devices:
        place = _place(host, device)
        former = found.get(place, PciDevice(place, class_id="0200", driver=VIRTIO_VDPA if _astray(device) else None))
        found[place] = replace(
            former,
            netdevs=(*former.netdevs, *device.netdevs),
            vdpa_devices=(*former.vdpa_devices, device.name),
        )
    return tuple(found.values())


def _astray(device: VdpaDevice) -> bool:
    """It should have a network interface, which must then be in another network namespace."""
    return device.driver == VIRTIO_VDPA and device.kind == NETWORK and not device.netdevs


def _place(host: Host, device: VdpaDevice) -> str:
    """Its name, or for an interface that is astray what ``ip`` calls its parent there."""
    if not _astray(device):
        return device.name
    below = virtio_devices(host, device.name)
    return function_of(host, f"{VDPA_DEVICES}/{device.name}") or (
        posixpath.basename(below[0]) if below else device.name
    )


def _by_others(uses: tuple[str, ...]) -> tuple[str, ...]:
    """A device is no use of itself."""
    return tuple(use for use in uses if not use.startswith("vdpa:"))
