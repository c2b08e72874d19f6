# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node without hardware: a sysfs tree whose attributes answer writes as the kernel does.

``FakeNode`` is a ``Host``. Discovery reads its tree with ordinary system calls; what is written changes the
tree (VFs appear, drivers bind) or fails with the errno of a real kernel.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.tests.unit.fake_pci import (
    KNOWN_DRIVERS,
    Driver,
    Function,
    default_attributes,
    vfinfo,
)
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

DEVICES = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"


class FakeNode(FolderNode):
    """See the module's text. ``sriov_errno`` by PF address makes writes of ``sriov_numvfs`` fail."""

    def __init__(self, root: Path | str, installed: Sequence[str] = ()) -> None:
        super().__init__(root)
        names = installed or [driver.name for driver in KNOWN_DRIVERS]
        self.drivers = {driver.name: driver for driver in KNOWN_DRIVERS if driver.name in names}
        self.functions: dict[str, Function] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.routes: list[dict[str, Any]] = []
        self.commands: list[list[str]] = []
        self.writes: list[tuple[str, str]] = []
        self.built_in: set[str] = set()
        self.refusing: set[str] = set()
        self.unsupported: set[str] = set()
        self.sriov_errno: dict[str, int] = {}
        self.kernel_log = ""
        self._groups = 0
        for folder in (DEVICES, DRIVERS, "/sys/class/net", "/sys/module", "/sys/bus/vdpa/devices", "/proc", "/dev"):
            os.makedirs(self.path(folder), exist_ok=True)
        self._put("/sys/bus/pci/drivers_probe", "")

    # Building

    def add_function(self, address: str, vendor: str, device: str, driver: str | None = None, **more: Any) -> Function:
        """A function in the tree, bound to ``driver`` if one is given."""
        function = Function(address, vendor, device, **more)
        self.functions[address] = function
        folder = f"/sys/devices/pci{address[:7]}/{address}"
        os.makedirs(self.path(folder))
        os.symlink(f"../../../devices/pci{address[:7]}/{address}", self.path(f"{DEVICES}/{address}"))
        self._put(f"{folder}/numa_node", str(function.numa_node))
        self._put(f"{folder}/driver_override", "(null)")
        self._put(f"{folder}/modalias", f"pci:v0000{vendor}d0000{device}")
        if function.iommu:
            self._add_group(folder, address)
        if function.total is not None:
            self._put(f"{folder}/sriov_totalvfs", str(function.total))
            self._put(f"{folder}/sriov_numvfs", "0")
            self._put(f"{folder}/sriov_drivers_autoprobe", "1")
        self._uevent(function)
        if driver:
            self.load(self.drivers[driver].module)
            if self.link_name(f"{DEVICES}/{address}/driver") is None:
                self._attach(function, driver)
        return function

    def add_pf(self, address: str = "0000:81:00.0", netdev: str = "ens1", **more: Any) -> Function:
        """A PF with an interface; an igb with 7 VFs unless told otherwise."""
        options = {"vendor": "8086", "device": "10c9", "driver": "igb", "total": 7, "vf_device": "10ca"}
        mac = f"02:00:00:00:{address[5:7]}:{address[8:10]}"
        return self.add_function(address, netdev=netdev, mac=mac, **{**options, **more})

    def snapshot(self) -> dict[str, Any]:
        """All that a teardown has to give back: the tree and what is set through ``ip``."""
        tree = {}
        for folder, folders, files in os.walk(self.path("/sys")):
            for name in [*files, *folders]:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    tree[path] = os.readlink(path)
                elif name in files:
                    tree[path] = Path(path).read_text()
        loaded = (self.path("/sys/module"), self.path(DRIVERS))
        attributes = {function.address: function.attributes for function in self.functions.values()}
        kept = {path: text for path, text in tree.items() if not path.startswith(loaded) and "iommu_group" not in path}
        return json.loads(json.dumps({"tree": kept, "links": self.links, "attributes": attributes}))

    def reboot(self) -> None:
        """VFs, overrides and settings are gone; PFs and their drivers come up again."""
        for function in [item for item in self.functions.values() if item.total is not None]:
            self._remove_vfs(function)
            function.autoprobe = True
            self._put(f"{DEVICES}/{function.address}/sriov_drivers_autoprobe", "1")
            if function.netdev in self.links:
                self.links[function.netdev].update(mtu=1500, flags=["BROADCAST"])
        used = {self.link_name(f"{DEVICES}/{address}/driver") for address in self.functions}
        for driver in self.drivers.values():
            if driver.name not in used and self.exists(f"{DRIVERS}/{driver.name}"):
                self._unload(driver)

    # What the code under test changes

    def write_attribute(self, path: str, value: str) -> None:
        if not self.exists(path):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.count_change()
        self.writes.append((path, value))
        text = value.strip()
        parts = path.split("/")
        if path.startswith(f"{DRIVERS}/"):
            self._bind(parts[5], text)
        elif path == "/sys/bus/pci/drivers_probe":
            self._probe(self.functions[text])
        elif parts[-1] == "unbind":
            self._detach(self.functions[text])
        elif parts[-1] == "driver_override":
            self._put(path, text or "(null)")
        elif parts[-1] == "sriov_drivers_autoprobe":
            self.functions[parts[5]].autoprobe = text == "1"
            self._put(path, text)
        elif parts[-1] == "sriov_numvfs":
            self._set_numvfs(self.functions[parts[5]], int(text))
        else:
            self._put(path, text)

    # Commands

    def _command(self, argv: Sequence[str], _timeout: float, stdin: str) -> Completed:
        words = list(argv)
        self.commands.append(words)
        if words[:5] == ["ip", "-j", "-d", "addr", "show"]:
            return Completed(0, json.dumps(self._all_shown()), "")
        if words == ["ip", "-j", "-d", "-batch", "-"] and stdin == "addr show\nroute show table all default\n":
            return Completed(0, json.dumps(self._all_shown()) + "\n" + json.dumps(self.routes) + "\n", "")
        if words[:4] == ["ip", "link", "set", "dev"]:
            return self._set_link(words[4], words[5:])
        if words[0] == "ip" and words[-2:] == ["-batch", "-"]:
            return self._batch(stdin, "-force" in words)
        if words[0] == "modprobe":
            return self._modprobe(words[1:])
        if words == ["dmesg"]:
            return Completed(0, self.kernel_log, "")
        raise AssertionError(f"unexpected command {words}")

    def _all_shown(self) -> list[dict[str, Any]]:
        return [self._shown(link) for link in self.links.values()]

    def _shown(self, link: dict[str, Any]) -> dict[str, Any]:
        functions = [item for item in self.functions.values() if item.netdev == link["ifname"] and item.vfs]
        if not functions or not functions[0].attributes:
            return link
        return {**link, "vfinfo_list": [vfinfo(index, vf) for index, vf in sorted(functions[0].attributes.items())]}

    def _set_link(self, name: str, words: list[str]) -> Completed:
        self.count_change()
        link = self.links[name]
        if words[0] == "mtu":
            link["mtu"] = int(words[1])
        else:
            link["flags"] = ["BROADCAST", "UP"] if words[0] == "up" else ["BROADCAST"]
        return Completed(0, "", "")

    def _batch(self, text: str, force: bool) -> Completed:
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            function = next(item for item in self.functions.values() if item.netdev == words[3])
            pairs = dict(zip(words[6::2], words[7::2], strict=True))
            if set(pairs) & self.unsupported or not function.attributes:
                if force:
                    continue
                return Completed(2, "", f"RTNETLINK answers: Operation not supported\nCommand failed -:{number}\n")
            self.count_change()
            vf = function.attributes[int(words[5])]
            for word, value in pairs.items():
                vf[word] = {"on": True, "off": False}.get(value, int(value) if value.isdigit() else value)
        return Completed(0, "", "")

    def _modprobe(self, words: list[str]) -> Completed:
        by_module = {driver.module: driver for driver in self.drivers.values()}
        name = words[-1].replace("-", "_")
        if words[0] == "--resolve-alias":
            ids = re.fullmatch(r"pci:v0000(....)d0000(....)", words[1])
            found = [driver.module for driver in self.drivers.values() if ids and ids.groups() in driver.ids]
            found = [module for module in found if module not in {self.drivers[name].module for name in self.built_in}]
            return Completed(0 if found else 1, "".join(f"{module}\n" for module in found), "")
        if name not in by_module and name != "vfio":
            return Completed(1, "", f"modprobe: FATAL: Module {words[-1]} not found.")
        if words[0] == "--remove":
            self.count_change()
            self._unload(by_module[name])
        elif words[0] != "--dry-run":
            self.count_change()
            self.load(name)
        return Completed(0, "", "")

    def load(self, module: str) -> None:
        """The module's drivers take what nobody forbids them."""
        if module in ("vfio", "vfio_pci"):
            self._put("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N", keep=True)
        for driver in self.drivers.values():
            if driver.module == module and not self.exists(f"{DRIVERS}/{driver.name}"):
                os.makedirs(self.path(f"{DRIVERS}/{driver.name}"))
                self._put(f"{DRIVERS}/{driver.name}/bind", "")
                self._put(f"/sys/module/{module}/drivers/pci:{driver.name}", "")
                for function in list(self.functions.values()):
                    if self.link_name(f"{DEVICES}/{function.address}/driver") is None:
                        self._probe(function)
                self._legacy_vfs(driver)

    def _unload(self, driver: Driver) -> None:
        for function in list(self.functions.values()):
            if self.link_name(f"{DEVICES}/{function.address}/driver") == driver.name:
                self._remove_vfs(function)
                self._detach(function)
        shutil.rmtree(self.path(f"{DRIVERS}/{driver.name}"))
        shutil.rmtree(self.path(f"/sys/module/{driver.module}/drivers"))

    def _legacy_vfs(self, driver: Driver) -> None:
        """``max_vfs`` of a driver that knows no ``sriov_numvfs``."""
        parameter = f"/sys/module/{driver.module}/parameters/max_vfs"
        if not self.exists(parameter):
            return
        options = self.read(f"/etc/modprobe.d/fastpath-{driver.name}.conf") or ""
        count = re.search(r"max_vfs=(\d+)", options)
        self._put(parameter, count.group(1) if count else "0")
        for function in list(self.functions.values()):
            if count and function.vf_device and function.total is None:
                self._create_vfs(function, int(count.group(1)))

    # The kernel's side

    def _set_numvfs(self, function: Function, count: int) -> None:
        if function.address in self.sriov_errno:
            raise OSError(self.sriov_errno[function.address], os.strerror(self.sriov_errno[function.address]))
        if count == len(function.vfs):
            return
        if count > (function.total or 0):
            raise OSError(errno.ERANGE, os.strerror(errno.ERANGE))
        if self.link_name(f"{DEVICES}/{function.address}/driver") is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if count and function.vfs:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if count:
            self._create_vfs(function, count)
        else:
            self._remove_vfs(function)
        self._put(f"{DEVICES}/{function.address}/sriov_numvfs", str(count))

    def _create_vfs(self, function: Function, count: int) -> None:
        bus, vendor = function.address[:8], function.vendor
        for index in range(count):
            address = f"{bus}{16 + index // 8:02x}.{index % 8}"
            vf = self.add_function(
                address,
                vendor,
                function.vf_device,
                physfn=function.address,
                index=index,
                numa_node=function.numa_node,
                iommu=function.iommu,
            )
            os.symlink(f"../{function.address}", self.path(f"{DEVICES}/{address}/physfn"))
            os.symlink(f"../{address}", self.path(f"{DEVICES}/{function.address}/virtfn{index}"))
            function.vfs.append(address)
            if vendor != "1af4":
                function.attributes[index] = default_attributes()
            self._probe(vf)
        for driver in self.drivers.values():
            if (vendor, function.vf_device) in driver.ids:
                self.load(driver.module)

    def _remove_vfs(self, function: Function) -> None:
        for index, address in enumerate(function.vfs):
            vf = self.functions.pop(address)
            self._detach(vf)
            os.unlink(self.path(f"{DEVICES}/{function.address}/virtfn{index}"))
            os.unlink(self.path(f"{DEVICES}/{address}"))
            folder = self.path(f"/sys/devices/pci{address[:7]}/{address}")
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    os.rmdir(path)
                else:
                    os.unlink(path)
            os.rmdir(folder)
        function.vfs.clear()
        function.attributes.clear()
        if function.total is not None:
            self._put(f"{DEVICES}/{function.address}/sriov_numvfs", "0")

    def _matches(self, driver: Driver, function: Function) -> bool:
        override = self.read_value(f"{DEVICES}/{function.address}/driver_override")
        if override != "(null)":
            return override == driver.name
        return (function.vendor, function.device) in driver.ids

    def _can_probe(self, function: Function) -> bool:
        override = self.read_value(f"{DEVICES}/{function.address}/driver_override")
        return function.physfn is None or self.functions[function.physfn].autoprobe or override != "(null)"

    def _probe(self, function: Function) -> None:
        if function.address not in self.functions or not self._can_probe(function):
            return
        for driver in self.drivers.values():
            if self.exists(f"{DRIVERS}/{driver.name}") and self._matches(driver, function):
                if driver.name not in self.refusing:
                    self._attach(function, driver.name)
                return

    def _bind(self, driver: str, address: str) -> None:
        function = self.functions[address]
        if self.link_name(f"{DEVICES}/{address}/driver") is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        if not self._matches(self.drivers[driver], function) or not self._can_probe(function):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if driver in self.refusing:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self._attach(function, driver)

    def _attach(self, function: Function, driver: str) -> None:
        folder = f"{DEVICES}/{function.address}"
        os.symlink(f"../../../bus/pci/drivers/{driver}", self.path(f"{folder}/driver"))
        self._put(f"{DRIVERS}/{driver}/unbind", "", keep=True)
        self._uevent(function, driver)
        if self.drivers[driver].netdevs:
            name = function.netdev or f"{function.physfn and self.functions[function.physfn].netdev}v{function.index}"
            function.netdev = name
            mac = function.mac
            self.links[name] = {"ifname": name, "flags": ["BROADCAST"], "mtu": 1500, "address": mac, "addr_info": []}
            target = f"../../devices/pci{function.address[:7]}/{function.address}/net/{name}"
            os.symlink(target, self.path(f"/sys/class/net/{name}"))

    def _detach(self, function: Function) -> None:
        folder = f"{DEVICES}/{function.address}"
        if self.link_name(f"{folder}/driver") is None:
            return
        os.unlink(self.path(f"{folder}/driver"))
        self._uevent(function)
        if function.netdev in self.links:
            del self.links[function.netdev]
            os.unlink(self.path(f"/sys/class/net/{function.netdev}"))

    def _uevent(self, function: Function, driver: str | None = None) -> None:
        lines = [f"DRIVER={driver}"] if driver else []
        lines += [f"PCI_CLASS={function.class_code}", f"PCI_ID={function.vendor}:{function.device}".upper()]
        lines += ["PCI_SUBSYS_ID=0000:0000", f"PCI_SLOT_NAME={function.address}"]
        self._put(f"/sys/devices/pci{function.address[:7]}/{function.address}/uevent", "\n".join(lines))

    def _add_group(self, folder: str, address: str) -> None:
        self._groups += 1
        os.symlink(f"../../../kernel/iommu_groups/{self._groups}", self.path(f"{folder}/iommu_group"))

    def _put(self, path: str, text: str, keep: bool = False) -> None:
        target = self.path(path)
        if keep and os.path.exists(target):
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w", encoding="utf-8") as file:
            file.write(text + "\n")
