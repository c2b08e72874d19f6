# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. vDPA devices as they are on a node and as they shall be. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import PfState, SriovState
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import (
    HARDWARE,
    VDUSE,
    VdpaAttributes,
    VdpaEntry,
)

NETWORK = "network"
PCI = "pci/"
# Management devices that are no PCI function, and the module that brings each.
SOFTWARE = {VDUSE: "vduse", "vdpasim_net": "vdpa_sim_net"}


@dataclass(frozen=True)
class MgmtDev:
    """What can make vDPA devices. ``features``: the mask that it supports, None where it is not told.

    ``address``: of the PCI function that it stands on, where it is on another bus itself.
    """

    name: str
    features: int | None = None
    max_vqs: int | None = None
    address: str | None = None


@dataclass(frozen=True)
class VdpaDevice:
    """One device on the vDPA bus.

    ``mgmtdev`` None: its driver made it by itself, and it cannot be deleted; ``address`` then says on which PCI
    function it stands. ``override`` is that of the bus driver;
    ``overridable``: the kernel knows one (5.17). ``node``: the name of its device file, for vhost_vdpa.
    ``attributes``: as far as the device tells; never its features. ``uses``: as in ``PciDevice.uses``.
    """

    name: str
    mgmtdev: str | None = None
    address: str | None = None
    kind: str = NETWORK
    driver: str | None = None
    override: str | None = None
    overridable: bool = True
    node: str | None = None
    netdevs: tuple[str, ...] = ()
    attributes: VdpaAttributes = HARDWARE
    uses: tuple[str, ...] = ()

    def lies_on(self, target: Target) -> bool:
        """A PCI function is known by its address where its driver offers no management device."""
        if self.mgmtdev is not None:
            return self.mgmtdev == target.mgmtdev
        return self.address is not None and self.address == target.address

    @property
    def place(self) -> str:
        return self.mgmtdev or self.address or "no management device"


@dataclass(frozen=True)
class VdpaState:
    """A node. ``functions``: its PCI functions, to be selected. ``tool``: whether it has the command ``vdpa``.

    ``vduse``: names of the devices that programs offer. ``modules``: True loaded, False can be loaded, None not
    installed; only those that are asked for. ``modules_load``: the file that has them loaded at boot.
    """

    functions: SriovState = field(default_factory=SriovState)
    tool: bool = True
    mgmtdevs: Mapping[str, MgmtDev] = field(default_factory=dict)
    devices: tuple[VdpaDevice, ...] = ()
    vduse: frozenset[str] = frozenset()
    modules: Mapping[str, bool | None] = field(default_factory=dict)
    modules_load: str | None = None
    record: dict[str, Any] = field(default_factory=dict)

    def device(self, name: str) -> VdpaDevice | None:
        return next((device for device in self.devices if device.name == name), None)

    def function(self, address: str) -> PciDevice | None:
        states = (*self.functions.pfs, *self.functions.others)
        return next((state.device for state in states if state.address == address), None)

    def mgmtdev_of(self, address: str) -> str:
        """The management device of a PCI function. Some vendors have it on the auxiliary bus, one for each function."""
        own = f"{PCI}{address}"
        below = [item.name for item in self.mgmtdevs.values() if item.address == address]
        return below[0] if own not in self.mgmtdevs and len(below) == 1 else own

    @property
    def made(self) -> dict[str, Any]:
        """Devices of ours: what each was made with, by name."""
        return dict(self.record.get("devices", {}))

    @property
    def adopted(self) -> dict[str, Any]:
        """Devices that were there: former bus driver and override by name."""
        return dict(self.record.get("adopted", {}))


@dataclass(frozen=True)
class VdpaDesired:
    """The parsed spec. ``promised``: VFs that will be made before, where the caller knows; None where not."""

    entries: tuple[VdpaEntry, ...] = ()
    promised: tuple[PfSpec, ...] | None = None


@dataclass(frozen=True)
class Target:
    """One device as it shall be.

    ``where``: its function in words, also before it exists; then ``address`` and ``mgmtdev`` are None. ``driver``:
    that of its function. ``settled``: the function is as it will be, so what it lacks now it will lack.
    ``variable``: the entry.
    """

    name: str
    where: str
    bus: str
    attributes: VdpaAttributes = HARDWARE
    variable: str = ""
    mgmtdev: str | None = None
    address: str | None = None
    driver: str | None = None
    settled: bool = True

    @property
    def place(self) -> str:
        return self.mgmtdev or self.where


def default_name(pf: PfState, index: int | None) -> str:
    """The same before the VF exists and after each boot. Colons would not do: sysfs paths are searched for them."""
    name = f"vdpa-{pf.address.replace(':', '-')}"
    return name if index is None else f"{name}-vf{index}"


def differences(have: VdpaDevice, made_with: Mapping[str, Any] | None, want: VdpaAttributes) -> dict[str, Any]:
    """What of the wanted attributes the device does not have: name -> [seen, wanted].

    ``made_with``: what it was made with; None where it is not ours. Features are told by nothing else. While a program
    uses a device it may have set another MAC address itself, and where it tells none, what it was made with holds.
    """
    found = {}
    seen = have.attributes.given()
    for name, wanted in want.given().items():
        made = None if made_with is None else made_with.get(name)
        has = made if name not in seen or (have.uses and made == wanted) else seen[name]
        if has != wanted:
            found[name] = [has, wanted]
    return found


def bound(have: VdpaDevice, driver: str | None, override: str | None) -> bool:
    """The bus driver is as wanted, and stays so when the device is probed again."""
    return have.driver == driver and (not have.overridable or have.override == override)


def device_view(have: VdpaDevice) -> dict[str, Any]:
    """A device for the diff."""
    return {"mgmtdev": have.mgmtdev, "driver": have.driver, **shown(have.attributes)}


def target_view(target: Target, have: VdpaDevice | None) -> dict[str, Any]:
    """The same device once it is as wanted; what is left alone stays as it is."""
    kept = have.attributes.given() if have else {}
    attributes = VdpaAttributes(**{**kept, **target.attributes.given()})
    return {"mgmtdev": target.place, "driver": target.bus, **shown(attributes)}


def shown(attributes: VdpaAttributes) -> dict[str, Any]:
    """Attributes for people: features by name."""
    given = attributes.given()
    if "features" in given:
        given["features"] = _vdpa_features.names(given["features"])
    return given
