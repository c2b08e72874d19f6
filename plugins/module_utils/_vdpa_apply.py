# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Carries out the operations of the vDPA planner, one function for each."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_tool
from ansible_collections.nfv.fastpath.plugins.module_utils._bounded import NoAnswer, within
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VHOST_VDPA, VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import NO_OVERRIDE
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import MODPROBE_SECONDS
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_discovery import BUS, management_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VdpaAttributes
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import PCI, VdpaState
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import held
from ansible_collections.nfv.fastpath.plugins.module_utils._virtio_vdpa import virtio_devices

MGMTDEV_SECONDS = 30.0
DEVICE_SECONDS = 30.0
# A write or a request that the kernel sits on: a device is in use after all, or the program behind VDUSE is dead.
KERNEL_SECONDS = 75.0


class VdpaWork:
    """The operations by name."""

    def __init__(self, host: Host, store: Store) -> None:
        self.host = host
        self.store = store

    def perform(self, operation: Operation) -> None:
        known: dict[str, Callable[[Operation], None]] = {
            "write_file": self._write_file,
            "remove_file": self._remove_file,
            "load_module": self._load_module,
            "add_device": self._add_device,
            "remove_device": self._remove_device,
            "bind_device": self._bind_device,
            "release": self._release,
        }
        try:
            known[operation.action](operation)
        except OSError as error:
            raise FastpathError(
                f"{operation.action} of {operation.target}: {error.strerror}.{self._kernel_says(operation.target)}"
            ) from error

    def _write_file(self, operation: Operation) -> None:
        self.host.write_file(operation.target, operation.after)

    def _remove_file(self, operation: Operation) -> None:
        self.host.remove(operation.target)

    def _load_module(self, operation: Operation) -> None:
        self.host.must_run(["modprobe", operation.target], MODPROBE_SECONDS)

    def _add_device(self, operation: Operation) -> None:
        """What it is made with is written down while it is not there: nothing else tells its features afterwards."""
        name, wanted = operation.target, dict(operation.after)
        mgmtdev = wanted.pop("mgmtdev")
        if "features" in wanted:
            wanted["features"] = int(wanted["features"], 16)
        self._remember(name, wanted)
        found = self._wait_for_mgmtdev(mgmtdev)
        attributes = VdpaAttributes(**wanted)
        self._bounded(f"make {name}", lambda: _vdpa_tool.add(self.host, name, found, attributes))
        self.host.wait_for(lambda: self.host.exists(f"{BUS}/devices/{name}"), DEVICE_SECONDS, f"vDPA device {name}")

    def _wait_for_mgmtdev(self, name: str) -> str:
        """Its module may just have been loaded, and only now is it seen on which bus a function has its own."""
        found: list[str] = []

        def look() -> bool:
            state = VdpaState(mgmtdevs=management_devices(self.host))
            found[:] = [state.mgmtdev_of(name[len(PCI) :]) if name.startswith(PCI) else name]
            return found[0] in state.mgmtdevs

        self.host.wait_for(look, MGMTDEV_SECONDS, f"the vDPA management device {name}")
        return found[0]

    def _remove_device(self, operation: Operation) -> None:
        name = operation.target
        if self.host.exists(f"{BUS}/devices/{name}"):
            self._bounded(f"remove {name}", lambda: self._delete(name))
        self.host.wait_for(
            lambda: not self.host.exists(f"{BUS}/devices/{name}"), DEVICE_SECONDS, f"vDPA device {name} to go"
        )
        self._forget(name)

    def _delete(self, name: str) -> None:
        with held(self.host, [name]):
            _vdpa_tool.delete(self.host, name)

    def _release(self, operation: Operation) -> None:
        self._forget(operation.target)

    def _bind_device(self, operation: Operation) -> None:
        name, wanted = operation.target, operation.after
        before, override = self._driver(name), self._override(name)
        try:
            self._bind_for_use(name, wanted["driver"], wanted["driver_override"])
        except FastpathError as failure:
            failure.take_back(lambda: self._bounded(f"bind {name} again", lambda: self._bind(name, before, override)))
            raise

    def _bind_for_use(self, name: str, driver: str | None, override: str | None) -> None:
        try:
            self._bounded(f"bind {name}", lambda: self._bind(name, driver, override))
            self._wait_for_use(name, driver)
        except OSError as error:
            raise FastpathError(
                f"vDPA device {name} cannot have the bus driver {driver}: {error.strerror}.{self._kernel_says(name)}"
            ) from error

    def _bind(self, name: str, driver: str | None, override: str | None) -> None:
        """The override first, so that nobody else's probe takes it in between."""
        folder = f"{BUS}/devices/{name}"
        if self.host.exists(f"{folder}/driver_override"):
            self.host.write_attribute(f"{folder}/driver_override", f"{override or ''}\n")
        have = self._driver(name)
        if have == driver:
            return
        if have is not None:
            with held(self.host, [name]):
                self.host.write_attribute(f"{folder}/driver/unbind", name)
        if driver is not None:
            self.host.write_attribute(f"{BUS}/drivers/{driver}/bind", name)

    def _wait_for_use(self, name: str, driver: str | None) -> None:
        """udev makes the device file after the kernel has made the device."""
        folder = f"{BUS}/devices/{name}"
        if driver == VHOST_VDPA:
            self.host.wait_for(lambda: self._device_file(folder), DEVICE_SECONDS, f"the device file of {name}")
        elif driver == VIRTIO_VDPA:
            self.host.wait_for(
                lambda: bool(virtio_devices(self.host, name)), DEVICE_SECONDS, f"the virtio device of {name}"
            )

    def _device_file(self, folder: str) -> bool:
        nodes = [child for child in self.host.listdir(folder) if child.startswith("vhost-vdpa-")]
        return any(self.host.exists(f"/dev/{node}") for node in nodes)

    def _bounded(self, what: str, work: Callable[[], None]) -> None:
        try:
            within(KERNEL_SECONDS, work)
        except NoAnswer:
            raise FastpathError(
                f"Cannot {what}: the kernel has not answered for {KERNEL_SECONDS:g} s. Somebody has the device open, "
                "or the program behind it does not answer."
            ) from None

    def _remember(self, name: str, made_with: dict[str, Any]) -> None:
        kept = self.store.record()
        self.store.save_record({**kept, "devices": {**kept.get("devices", {}), name: made_with}})

    def _forget(self, name: str) -> None:
        kept = self.store.record()
        for group in ("devices", "adopted"):
            kept.get(group, {}).pop(name, None)
        self.store.save_record({key: value for key, value in kept.items() if value})

    def _driver(self, name: str) -> str | None:
        return self.host.link_name(f"{BUS}/devices/{name}/driver")

    def _override(self, name: str) -> str | None:
        value = self.host.read_value(f"{BUS}/devices/{name}/driver_override")
        return None if value in (None, "", NO_OVERRIDE) else value

    def _kernel_says(self, name: str) -> str:
        """The kernel's last word on a device: errors carry no more than a number."""
        lines = [line for line in self.host.run(["dmesg"], 10).out.splitlines() if name in line]
        return f" The kernel says: {lines[-1].strip()}" if lines else ""
