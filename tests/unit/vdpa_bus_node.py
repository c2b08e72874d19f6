# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake node with the kernel's vDPA bus: its devices and drivers, and programs that have devices open.

As with the real one, a new device goes to whichever bus driver is loaded unless an override says otherwise, the virtio
device of virtio_vdpa is below what does the DMA, and a device that a program has open is waited for without end.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode
from ansible_collections.nfv.fastpath.tests.unit.fake_pci import Function

BUS = "/sys/bus/vdpa"
MODULES = ("vdpa", "vhost_vdpa", "virtio_vdpa", "vduse", "mlx5_vdpa")


@dataclass
class Device:
    """One device of the model."""

    mgmtdev: str | None
    folder: str
    config: dict[str, Any] = field(default_factory=dict)
    features: int | None = None
    number: int = 0

    @property
    def virtio(self) -> str:
        """The folder of its virtio device: below the PCI function, or below itself where a program is behind it."""
        function = re.match(r".*/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](?=/)", self.folder)
        return f"{function[0] if function else self.folder}/virtio{self.number}"


class VdpaBusNode(FakeNode):
    """See the module's text. The bus is there as soon as a module brings it."""

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        os.rmdir(self.path(f"{BUS}/devices"))
        os.rmdir(self.path(BUS))
        self.devices: dict[str, Device] = {}
        self.refusing_bus: set[str] = set()
        # Programs that come while a device file goes: whether any do, and how many found it taken.
        self.late_openers = False
        self.turned_away = 0
        self._made = 0

    # What programs and pods do

    def open(self, name: str, pid: int = 4711, command: str = "qemu") -> None:
        """A program has the device open."""
        number = self.devices[name].number
        os.makedirs(self.path(f"/proc/{pid}/fd"), exist_ok=True)
        os.symlink(f"/dev/vhost-vdpa-{number}", self.path(f"/proc/{pid}/fd/7"))
        self._put(f"/proc/{pid}/comm", command)

    def close(self, pid: int = 4711) -> None:
        shutil.rmtree(self.path(f"/proc/{pid}"))

    def take_into_pod(self, name: str) -> None:
        """The interface of a device goes to another network namespace."""
        netdev = f"vnet{self.devices[name].number}"
        del self.links[netdev]
        os.unlink(self.path(f"/sys/class/net/{netdev}"))
        os.rmdir(self.path(f"{self.devices[name].virtio}/net/{netdev}"))

    # What the code under test changes

    def write_attribute(self, path: str, value: str) -> None:
        if not path.startswith(f"{BUS}/"):
            super().write_attribute(path, value)
            return
        if not self.exists(path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.count_change()
        self.writes.append((path, value))
        text, parts = value.strip(), path.split("/")
        if parts[-1] == "driver_override":
            self._put(path, text or "(null)")
        elif parts[-1] == "unbind":
            self._unbind(text)
        elif parts[-1] == "bind":
            self._bind_bus(text, parts[5])
        else:
            raise AssertionError(path)

    def load(self, module: str) -> None:
        if module in ("vp_vdpa", *MODULES):
            self._bus()
            os.makedirs(self.path(f"/sys/module/{module}"), exist_ok=True)
        if module in ("vhost_vdpa", "virtio_vdpa") and not self.exists(f"{BUS}/drivers/{module}"):
            self._put(f"{BUS}/drivers/{module}/bind", "")
            self._put(f"{BUS}/drivers/{module}/unbind", "")
            for name in self.devices:
                self._probe_bus(name)
        super().load(module)

    # The kernel's side

    def _bus(self) -> None:
        os.makedirs(self.path(f"{BUS}/devices"), exist_ok=True)
        os.makedirs(self.path(f"{BUS}/drivers"), exist_ok=True)

    def bus_info(self, interface: str) -> str | None:
        """What the kernel's virtio_net tells, in no more than 31 characters."""
        return next((name[:31] for name, item in self.devices.items() if interface == f"vnet{item.number}"), None)

    def _link(self, path: str, target: str) -> None:
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        up = "/".join([".."] * (path.count("/") - 1))
        os.symlink(f"{up}{target}", self.path(path))

    def _add(self, name: str, mgmtdev: str | None, address: str, config: dict[str, Any], features: int | None) -> None:
        folder = f"/sys/devices/pci{address[:7]}/{address}/{name}"
        if mgmtdev == "vduse":
            folder = f"/sys/devices/virtual/vduse/{name}/{name}"
        elif mgmtdev and mgmtdev.startswith("auxiliary/"):
            folder = f"/sys/devices/pci{address[:7]}/{address}/{mgmtdev.partition('/')[2]}/{name}"
        self.devices[name] = Device(mgmtdev, folder, config, features, self._made)
        self._made += 1
        os.makedirs(self.path(folder))
        self._put(f"{folder}/driver_override", "(null)")
        self._link(f"{BUS}/devices/{name}", folder)
        self._probe_bus(name)

    def _delete(self, name: str) -> None:
        self._unbind(name)
        os.unlink(self.path(f"{BUS}/devices/{name}"))
        shutil.rmtree(self.path(self.devices.pop(name).folder))

    def _probe_bus(self, name: str) -> None:
        override = self.read_value(f"{BUS}/devices/{name}/driver_override")
        for driver in self.listdir(f"{BUS}/drivers"):
            if override in ("(null)", driver) and self.link_name(f"{BUS}/devices/{name}/driver") is None:
                self._attach_bus(name, driver)

    def _bind_bus(self, name: str, driver: str) -> None:
        override = self.read_value(f"{BUS}/devices/{name}/driver_override")
        if override not in (None, "(null)", driver) or driver in self.refusing_bus:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if self.link_name(f"{BUS}/devices/{name}/driver") is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._attach_bus(name, driver)

    def _attach_bus(self, name: str, driver: str) -> None:
        device = self.devices[name]
        self._link(f"{device.folder}/driver", f"{BUS}/drivers/{driver}")
        if driver == "vhost_vdpa":
            os.makedirs(self.path(f"{device.folder}/vhost-vdpa-{device.number}"))
            self._put(f"/dev/vhost-vdpa-{device.number}", "")
            return
        netdev = f"vnet{device.number}"
        virtio = device.virtio
        os.makedirs(self.path(f"{virtio}/net/{netdev}"))
        self._link(f"/sys/bus/virtio/devices/virtio{device.number}", virtio)
        self._link(f"/sys/class/net/{netdev}", f"{virtio}/net/{netdev}")
        self.links[netdev] = {
            "ifname": netdev,
            "flags": [],
            "mtu": 1500,
            "address": "02:00:00:00:00:99",
            "addr_info": [],
        }

    def _unbind(self, name: str) -> None:
        device = self.devices[name]
        driver = self.link_name(f"{device.folder}/driver")
        if driver is None:
            return
        self._must_be_closed(name)
        os.unlink(self.path(f"{device.folder}/driver"))
        if driver == "vhost_vdpa":
            self._take_file_away(device)
            return
        shutil.rmtree(self.path(device.virtio))
        os.unlink(self.path(f"/sys/bus/virtio/devices/virtio{device.number}"))
        netdev = f"vnet{device.number}"
        if netdev in self.links:
            del self.links[netdev]
            os.unlink(self.path(f"/sys/class/net/{netdev}"))

    def _take_file_away(self, device: Device) -> None:
        """First nobody can open it any more, then who has it open is waited for."""
        node = self.path(f"/dev/vhost-vdpa-{device.number}")
        if self.late_openers:
            assert _held_by_us(node), "a late opener came in: this would never end"
            self.turned_away += 1
        os.rmdir(self.path(f"{device.folder}/vhost-vdpa-{device.number}"))
        os.unlink(node)
        deadline = time.monotonic() + 30
        while _held_by_us(node):
            assert time.monotonic() < deadline, "we have it open ourselves: this would never end"
            time.sleep(0.001)

    def _must_be_closed(self, name: str) -> None:
        node = f"/dev/vhost-vdpa-{self.devices[name].number}"
        for pid in self.listdir("/proc"):
            for descriptor in self.listdir(f"/proc/{pid}/fd"):
                assert os.readlink(self.path(f"/proc/{pid}/fd/{descriptor}")) != node, "this would never end"

    def _detach(self, function: Function) -> None:
        """With the driver of the function its devices go."""
        for name, item in list(self.devices.items()):
            if f"/{function.address}/" in item.folder:
                self._delete(name)
        super()._detach(function)


def _held_by_us(path: str) -> bool:
    """What was removed meanwhile is shown as such."""
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{descriptor}") in (path, f"{path} (deleted)"):
                return True
        except OSError:
            continue
    return False
