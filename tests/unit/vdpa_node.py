# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake node with vDPA: PFs and VFs, management devices, the modules that there are, and the tool ``vdpa``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa import MODULES_LOAD
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES
from ansible_collections.nfv.fastpath.tests.unit.fake_pci import Driver, Function
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS, MODULES, VdpaBusNode

PF = "0000:02:00.0"
OFFERED = ["MAC", "MTU", "STATUS", "CTRL_VQ", "MQ", "VERSION_1", "ACCESS_PLATFORM"]
# Which drivers take what, as in the kernel's config_attr_mask.
TAKES = {"vp-vdpa": {"device_features"}, "mlx5_core": {"device_features", "mac", "mtu", "max_vqp"}}
NOT_SUPPORTED = (
    "Error: vdpa: Some provided attributes are not supported: 0x200.\nkernel answers: Operation not supported\n"
)


class VdpaNode(VdpaBusNode):
    """See the module's text. ``vduse``: by name whether its program has set up its queues."""

    def __init__(self, root: Path | str, without: Sequence[str] = ()) -> None:
        super().__init__(root)
        self.drivers["mlx5_core"] = Driver("mlx5_core", "mlx5_core", (("15b3", "101d"), ("15b3", "101e")), True)
        for name in without:
            self.drivers = {key: driver for key, driver in self.drivers.items() if driver.module != name}
        self.installed = set(MODULES) - set(without)
        self.tool = "vdpa" not in without
        self.built_in_modules: set[str] = set()
        self.vduse: dict[str, bool] = {}
        self.auxiliary: dict[str, str] = {}
        self.tool_error = ""
        self.old_kernel = False

    # Building

    def add_virtio_pf(self, count: int = 4, driver: str = "vp-vdpa", **more: Any) -> Function:
        """A virtio PF with VFs that ``fastpath_sriov`` has left to a driver."""
        options = {"vendor": "1af4", "device": "1041", "vf_device": "1041", "driver": "virtio-pci", "total": 4}
        pf = self.add_pf(PF, "ens2", **{**options, **more})
        if count:
            self.add_vfs(count, driver)
        return pf

    def add_vfs(self, count: int = 4, driver: str = "vp-vdpa") -> None:
        """As the role sriov, or its unit at boot."""
        for value in ("0", "1"):
            super().write_attribute(f"{DEVICES}/{PF}/sriov_drivers_autoprobe", value)
            if value == "0":
                super().write_attribute(f"{DEVICES}/{PF}/sriov_numvfs", str(count))
        for address in self.functions[PF].vfs:
            self.give(address, driver)
        self.writes.clear()
        self.changes = 0

    def give(self, address: str, driver: str | None) -> None:
        """As the role sriov would."""
        if self.link_name(f"{DEVICES}/{address}/driver"):
            self._detach(self.functions[address])
        self._put(f"{DEVICES}/{address}/driver_override", driver or "(null)")
        if driver:
            self.load(self.drivers[driver].module)
            if self.link_name(f"{DEVICES}/{address}/driver") is None:
                self._attach(self.functions[address], driver)

    def add_foreign(self, name: str, address: str, managed: bool = True, **config: Any) -> None:
        """A device that somebody else made."""
        self._bus()
        self._add(name, f"pci/{address}" if managed else None, address, config, None)

    def add_auxiliary(self, name: str, address: str) -> None:
        """A management device that stands on a function and is on a bus of its own."""
        self._bus()
        self.auxiliary[name] = address
        folder = f"/sys/devices/pci{address[:7]}/{address}/{name}"
        os.makedirs(self.path(folder))
        self._link(f"/sys/bus/auxiliary/devices/{name}", folder)

    def offer(self, name: str, ready: bool = True) -> None:
        """A program makes a VDUSE device."""
        self.load("vduse")
        os.makedirs(self.path(f"/sys/devices/virtual/vduse/{name}"), exist_ok=True)
        self._link(f"/sys/class/vduse/{name}", f"/sys/devices/virtual/vduse/{name}")
        self.vduse[name] = ready

    def snapshot(self) -> dict[str, Any]:
        kept = super().snapshot()
        drivers = self.path(f"{BUS}/drivers")
        kept["tree"] = {path: text for path, text in kept["tree"].items() if not path.startswith(drivers)}
        return {**kept, "modules": self.read(MODULES_LOAD)}

    def reboot(self) -> None:
        """No vDPA device outlasts it; what systemd-modules-load loads is there again."""
        for name in list(self.devices):
            self._delete(name)
        for name in list(self.vduse):
            os.unlink(self.path(f"/sys/class/vduse/{name}"))
        self.vduse.clear()
        super().reboot()
        for name in MODULES:
            shutil.rmtree(self.path(f"/sys/module/{name}"), ignore_errors=True)
        shutil.rmtree(self.path(BUS), ignore_errors=True)
        for line in (self.read(MODULES_LOAD) or "").splitlines():
            if not line.startswith("#"):
                self.load(line)

    # Commands

    def _command(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        words = list(argv)
        if words[0] == "vdpa":
            self.commands.append(words)
            return self._vdpa(words[1:])
        if words[:2] == ["modprobe", "--show-depends"]:
            self.commands.append(words)
            return self._show_depends(words[2])
        return super()._command(argv, timeout, stdin)

    def _modprobe(self, words: list[str]) -> Completed:
        if words[-1] in MODULES:
            if words[-1] not in self.installed:
                return Completed(1, "", f"modprobe: FATAL: Module {words[-1]} not found in directory /lib/modules.")
            self.count_change()
            self.load(words[-1])
            return Completed(0, "", "")
        return super()._modprobe(words)

    def _show_depends(self, name: str) -> Completed:
        if name in self.built_in_modules:
            return Completed(0, f"builtin {name}\n", "")
        if name in self.installed or name in {driver.module for driver in self.drivers.values()}:
            return Completed(0, f"insmod /lib/modules/x/vdpa.ko\ninsmod /lib/modules/x/{name}.ko\n", "")
        return Completed(1, "", f"modprobe: FATAL: Module {name} not found in directory /lib/modules/x\n")

    def _vdpa(self, words: list[str]) -> Completed:
        if not self.tool:
            return Completed(127, "", "vdpa: not found")
        if words == ["-V"]:
            return Completed(0, "vdpa utility, iproute2-6.15.0\n", "")
        if not self.exists(BUS):
            return Completed(1, "", "Failed to connect to vdpa Netlink\n")
        if words == ["-j", "mgmtdev", "show"]:
            return Completed(0, json.dumps({"mgmtdev": self._mgmtdevs()}), "")
        if words == ["-j", "dev", "show"]:
            return Completed(0, json.dumps({"dev": self._shown_devices()}), "")
        if words[:4] == ["-j", "dev", "config", "show"]:
            return self._shown_configs(words[4:])
        if words[:3] == ["dev", "add", "name"] and words[4] == "mgmtdev":
            return self._dev_add(words[3], words[5], dict(zip(words[6::2], words[7::2])))
        if words[:2] == ["dev", "del"]:
            return self._dev_del(words[2])
        raise AssertionError(f"unexpected command vdpa {words}")

    def _mgmtdevs(self) -> dict[str, Any]:
        facts = {"supported_classes": ["net"], "max_supported_vqs": 9, "dev_features": [*OFFERED, 40]}
        found = {}
        for address in self.functions:
            driver = self.link_name(f"{DEVICES}/{address}/driver")
            mlx5 = driver == "mlx5_core" and self.exists("/sys/module/mlx5_vdpa")
            if (driver == "vp-vdpa" or mlx5) and not self.old_kernel:
                found[f"pci/{address}"] = facts
        found.update({f"auxiliary/{name}": facts for name in self.auxiliary})
        if self.exists("/sys/module/vduse"):
            found["vduse"] = {"supported_classes": ["net", "block"], "max_supported_vqs": 0, "dev_features": []}
        return found

    def _shown_devices(self) -> dict[str, Any]:
        facts = {"type": "network", "vendor_id": 6900, "max_vqs": 3, "max_vq_size": 64}
        return {name: {**facts, "mgmtdev": item.mgmtdev} for name, item in self.devices.items() if item.mgmtdev}

    def _shown_configs(self, names: list[str]) -> Completed:
        shown = {}
        for name, item in self.devices.items():
            if item.mgmtdev and (not names or name in names):
                shown[name] = {"link ": "up", "link_announce ": False, **item.config}
        return Completed(0, json.dumps({"config": shown}), "")

    def _dev_add(self, name: str, mgmtdev: str, words: dict[str, str]) -> Completed:
        address = mgmtdev.partition("/")[2]
        address = self.auxiliary.get(address, address)
        if self.tool_error:
            return Completed(255, "", self.tool_error)
        if mgmtdev not in self._mgmtdevs():
            return _refused("Fail to find the specified management device", "No such device")
        driver = self.link_name(f"{DEVICES}/{address}/driver") or ""
        if set(words) - TAKES.get(driver, set()):
            return Completed(255, "", NOT_SUPPORTED)
        features = int(words["device_features"], 16) if "device_features" in words else None
        if features is not None and features & ~_vdpa_features.mask([*OFFERED, 40]):
            return Completed(255, "", "kernel answers: Invalid argument\n")
        if mgmtdev == "vduse" and not self.vduse.get(name):
            return Completed(255, "", "kernel answers: Invalid argument\n")
        if name in self.devices or any(item.mgmtdev == mgmtdev != "vduse" for item in self.devices.values()):
            raise AssertionError("a second device on one function")
        self.count_change()
        config: dict[str, Any] = {"mac": words.get("mac", "52:54:00:00:00:01")}
        config.update(
            {key: int(words[word]) for word, key in (("mtu", "mtu"), ("max_vqp", "max_vq_pairs")) if word in words}
        )
        self._add(name, mgmtdev, address, config, features)
        return Completed(0, "", "")

    def _dev_del(self, name: str) -> Completed:
        if name not in self.devices:
            return _refused("device not found", "No such device")
        if self.devices[name].mgmtdev is None:
            return _refused("Only user created device can be deleted by user", "Invalid argument")
        self._must_be_closed(name)
        self.count_change()
        self._delete(name)
        return Completed(0, "", "")


def _refused(sentence: str, text: str) -> Completed:
    return Completed(255, "", f"Error: vdpa: {sentence}.\nkernel answers: {text}\n")
