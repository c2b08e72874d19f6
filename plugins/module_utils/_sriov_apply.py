# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Carries out the operations of the SR-IOV planner, one function for each."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _ip_link
from ansible_collections.nfv.fastpath.plugins.module_utils._bounded import NoAnswer, within
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import is_kernel_driver
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import (
    DEVICES,
    NO_OVERRIDE,
    netdevs_by_address,
    vdpa_by_address,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import (
    DRIVERS,
    DRIVERS_PROBE,
    MODPROBE_SECONDS,
    NOIOMMU_PARAMETER,
    main_link,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import NOTHING, VfAttributes
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import held

# Some drivers take seconds for each VF. The write itself blocks as long as the driver works.
NUMVFS_SECONDS = 300.0
VF_SECONDS = 60.0
CARRIER_SECONDS = 15.0
MODPROBE_FOLDER = "/etc/modprobe.d"
NUMVFS_ERRORS = {
    errno.ENOMEM: "there is no room for the VFs' memory or bus numbers: switch on SR-IOV and 'above 4G decoding' in "
    "the machine's firmware, or boot with pci=realloc",
    errno.EBUSY: "VFs exist already and something keeps them",
    errno.ERANGE: "more than sriov_totalvfs",
    errno.ENOENT: "the driver of the PF makes no VFs (no sriov_configure)",
    errno.EPERM: "the kernel forbids it; is it locked down, or assigned the PF to a guest?",
}


class SriovWork:
    """The operations by name. Own drivers that were looked up are kept: VFs of a PF share theirs."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._own_drivers: dict[str, str] = {}
        self._switched_off: set[str] = set()

    def perform(self, operation: Operation) -> None:
        known: dict[str, Callable[[Operation], None]] = {
            "set_autoprobe": self._set_autoprobe,
            "set_numvfs": self._set_numvfs,
            "set_max_vfs": self._set_max_vfs,
            "set_mtu": self._set_mtu,
            "set_link": self._set_link,
            "set_vf_attributes": self._set_vf_attributes,
            "bind_driver": self._bind_driver,
            "load_driver": self._load_driver,
            "enable_noiommu": self._set_noiommu,
            "disable_noiommu": self._set_noiommu,
        }
        try:
            known[operation.action](operation)
        except FastpathError as error:
            raise FastpathError(error.message + self._give_autoprobe_back(), **error.details) from error
        except OSError as error:
            raise FastpathError(
                f"{operation.action} of {operation.target} to {operation.after!r}: {error.strerror}."
                + self._kernel_says(operation.target.split(" ")[0])
                + self._give_autoprobe_back()
            ) from error

    def _set_autoprobe(self, operation: Operation) -> None:
        self._write_autoprobe(operation.target, operation.after)
        (self._switched_off.discard if operation.after else self._switched_off.add)(operation.target)

    def _write_autoprobe(self, pf: str, on: bool) -> None:
        self.host.write_attribute(f"{DEVICES}/{pf}/sriov_drivers_autoprobe", "1" if on else "0")

    def _give_autoprobe_back(self) -> str:
        """A run that fails in the middle must not leave it off: VFs that others make would lack their drivers.

        Return a sentence on each PF where it stays off, for the message of the failure.
        """
        left = ""
        for pf in sorted(self._switched_off):
            try:
                self._write_autoprobe(pf, True)
            except OSError as error:
                left += f" sriov_drivers_autoprobe of {pf} stays off ({error.strerror}): write 1 to it."
        self._switched_off.clear()
        return left

    def _set_numvfs(self, operation: Operation) -> None:
        path = f"{DEVICES}/{operation.target}/sriov_numvfs"
        if operation.before and operation.after:
            self._write_numvfs(path, operation, 0)
        self._write_numvfs(path, operation, operation.after)
        self._wait_for_vfs(operation)

    def _write_numvfs(self, path: str, operation: Operation, count: int) -> None:
        def write() -> None:
            with held(self.host, self._vdpa_devices(operation.target)):
                self.host.write_attribute(path, str(count))

        what = f"Cannot set {count} VFs on {operation.target}"
        try:
            within(NUMVFS_SECONDS, write)
        except NoAnswer:
            raise FastpathError(f"{what}: the driver has not answered for {NUMVFS_SECONDS:g} s.") from None
        except OSError as error:
            cause = NUMVFS_ERRORS.get(error.errno or 0, error.strerror)
            raise FastpathError(f"{what}: {cause}.{self._kernel_says(operation.target)}") from error

    def _vdpa_devices(self, pf: str) -> list[str]:
        """Those on the VFs of a PF."""
        links = [f"{DEVICES}/{pf}/{name}" for name in self.host.listdir(f"{DEVICES}/{pf}") if name.startswith("virtfn")]
        vfs = {self.host.link_name(link) for link in links}
        return [name for address, names in vdpa_by_address(self.host).items() if address in vfs for name in names]

    def _wait_for_vfs(self, operation: Operation) -> None:
        last = f"{DEVICES}/{operation.target}/virtfn{operation.after - 1}"
        if operation.after:
            self.host.wait_for(
                lambda: self.host.exists(last), VF_SECONDS, f"{operation.after} VFs of {operation.target}"
            )

    def _set_max_vfs(self, operation: Operation) -> None:
        """Drivers without ``sriov_numvfs`` read the number from their options when they are loaded."""
        driver = self._driver(operation.target)
        path = f"{MODPROBE_FOLDER}/fastpath-{driver}.conf"
        if operation.after:
            self.host.write_file(path, f"# Made by nfv.fastpath.sriov\noptions {driver} max_vfs={operation.after}\n")
        else:
            self.host.remove(path)
        self.host.must_run(["modprobe", "--remove", str(driver)], MODPROBE_SECONDS)
        self.host.must_run(["modprobe", str(driver)], MODPROBE_SECONDS)
        self._wait_for_vfs(operation)

    def _set_mtu(self, operation: Operation) -> None:
        _ip_link.set_mtu(self.host, self._link(operation.target).name, operation.after)

    def _set_link(self, operation: Operation) -> None:
        _ip_link.set_up(self.host, self._link(operation.target).name, operation.after)

    def _set_vf_attributes(self, operation: Operation) -> None:
        """Compared with what is there now: new VFs have most defaults already."""
        link = self._link(operation.target)
        changes: list[_ip_link.VfChange] = []
        for index, wanted in sorted(operation.after.items(), key=lambda item: int(item[0])):
            have = link.vfs.get(int(index), NOTHING)
            changes += _ip_link.vf_changes(int(index), have, VfAttributes(**wanted))
        if changes:
            if any(wanted.get("min_rate") or wanted.get("max_rate") for wanted in operation.after.values()):
                self._wait_for_carrier(link.name)
            _ip_link.set_vfs(self.host, link.name, self._driver(operation.target), changes)

    def _wait_for_carrier(self, interface: str) -> None:
        """Drivers check a rate against the speed of the link, which a PF that was just set up does not have yet."""
        carrier = f"/sys/class/net/{interface}/carrier"
        with contextlib.suppress(FastpathError):  # no cable: then the driver says what it thinks of the rate
            self.host.wait_for(lambda: self.host.read_value(carrier) != "0", CARRIER_SECONDS, f"a link on {interface}")

    def _load_driver(self, operation: Operation) -> None:
        driver = operation.target
        self.host.must_run(["modprobe", driver], MODPROBE_SECONDS)
        if not self.host.exists(f"{DRIVERS}/{driver}"):
            raise FastpathError(f"modprobe {driver} succeeded, but there is no PCI driver of that name.")

    def _set_noiommu(self, operation: Operation) -> None:
        if operation.after:
            self.host.must_run(["modprobe", "vfio"], MODPROBE_SECONDS)
        self.host.write_attribute(NOIOMMU_PARAMETER, "Y" if operation.after else "N")

    def _bind_driver(self, operation: Operation) -> None:
        address = self._vf_address(operation.target)
        driver, override = operation.after["driver"], operation.after["driver_override"]
        before, before_override = self._driver(address), self._override(address)
        try:
            if driver == KERNEL:
                driver = self._own_driver(address)
            if driver == KERNEL:
                self._probe(address, before)
            else:
                self._bind(address, before, driver, override)
        except FastpathError as failure:
            failure.take_back(lambda: self._bind_again(address, before, before_override))
            raise

    def _bind(self, address: str, before: str | None, driver: str | None, override: str | None) -> None:
        """Through driver_override, which holds even while autoprobe is off and for ids that a driver does not know."""
        if before == driver:
            self._set_override(address, override)
            return
        self._set_override(address, driver or override)
        if before is not None:
            self._unbind(address)
        if driver is None:
            return
        try:
            self.host.write_attribute(f"{DRIVERS}/{driver}/bind", address)
        except OSError as error:
            if self._driver(address) != driver:
                raise FastpathError(
                    f"Driver {driver} does not take {address}: {error.strerror}.{self._kernel_says(address)}"
                ) from error
        if override != driver:
            self._set_override(address, override)

    def _unbind(self, address: str) -> None:
        """vDPA devices of ours go with the driver; the kernel would wait without end for one that somebody opened."""
        with held(self.host, vdpa_by_address(self.host).get(address, ())):
            self.host.write_attribute(f"{DEVICES}/{address}/driver/unbind", address)

    def _bind_again(self, address: str, driver: str | None, override: str | None) -> None:
        """After a failure, as far as the kernel lets us: the first error is the one to be told."""
        try:
            self._bind(address, self._driver(address), driver, override)
        except (FastpathError, OSError):
            self._set_override(address, override)
            raise

    def _set_override(self, address: str, override: str | None) -> None:
        self.host.write_attribute(f"{DEVICES}/{address}/driver_override", f"{override or ''}\n")

    def _probe(self, address: str, before: str | None) -> None:
        """Let the kernel choose: a driver that is built in is in no module database."""
        self._set_override(address, None)
        if before is not None:
            self._unbind(address)
        pf = self.host.link_name(f"{DEVICES}/{address}/physfn") or ""
        off = self.host.read_value(f"{DEVICES}/{pf}/sriov_drivers_autoprobe") == "0"
        if off:
            self._write_autoprobe(pf, True)
        try:
            self.host.write_attribute(DRIVERS_PROBE, address)
        finally:
            if off:
                self._write_autoprobe(pf, False)
        driver = self._driver(address)
        modalias = self._modalias(address)
        if driver is None or not is_kernel_driver(driver):
            raise FastpathError(
                f"No kernel driver is installed for VF {address} ({modalias}). Install its module, or put the VF in a "
                "group with another driver, or with driver: null to leave it unbound."
            )
        self._own_drivers[modalias] = driver

    def _modalias(self, address: str) -> str:
        return self.host.read_value(f"{DEVICES}/{address}/modalias") or ""

    def _own_driver(self, address: str) -> str:
        """The driver that the module database names for the device; KERNEL where it names none."""
        modalias = self._modalias(address)
        if modalias not in self._own_drivers:
            self._own_drivers[modalias] = self._find_own_driver(modalias)
        return self._own_drivers[modalias]

    def _find_own_driver(self, modalias: str) -> str:
        resolved = self.host.run(["modprobe", "--resolve-alias", modalias], MODPROBE_SECONDS)
        for module in resolved.out.split() if resolved.rc == 0 else ():
            drivers = f"/sys/module/{module.replace('-', '_')}/drivers"
            if not self.host.exists(drivers):
                self.host.run(["modprobe", module], MODPROBE_SECONDS)
            for name in self.host.listdir(drivers):
                driver = name.partition(":")[2]
                if name.startswith("pci:") and is_kernel_driver(driver):
                    return driver
        return KERNEL

    def _vf_address(self, target: str) -> str:
        pf, _word, index = target.split(" ")
        address = self.host.link_name(f"{DEVICES}/{pf}/virtfn{index}")
        if address is None:
            raise FastpathError(f"VF {index} of {pf} is gone.")
        return address

    def _driver(self, address: str) -> str | None:
        return self.host.link_name(f"{DEVICES}/{address}/driver")

    def _override(self, address: str) -> str | None:
        value = self.host.read_value(f"{DEVICES}/{address}/driver_override")
        return None if value in (None, "", NO_OVERRIDE) else value

    def _link(self, address: str) -> _ip_link.Link:
        names = netdevs_by_address(self.host).get(address, ())
        link = main_link([link for link in _ip_link.links(self.host) if link.name in names])
        if link is None:
            raise FastpathError(f"PF {address} has no network interface.")
        return link

    def _kernel_says(self, address: str) -> str:
        """The kernel's last word on a function: errors of drivers carry no more than a number."""
        lines = [line for line in self.host.run(["dmesg"], 10).out.splitlines() if address in line]
        return f" The kernel says: {lines[-1].strip()}" if lines else ""
