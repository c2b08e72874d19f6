# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What SR-IOV looks like on a node, what it shall look like, and which PF a selector means. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import is_kernel_driver
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL, PfSpec, VfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import NOTHING, PfSelector, VfAttributes

# An override that names no driver keeps a function unbound, also when its module is loaded later.
NO_DRIVER = "none"


@dataclass(frozen=True)
class VfState:
    """One VF as it is."""

    index: int
    address: str
    driver: str | None = None
    override: str | None = None
    attributes: VfAttributes = NOTHING
    uses: tuple[str, ...] = ()
    vdpa_devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class PfState:
    """One PF as it is. ``max_vfs``: the module parameter of drivers that know no ``sriov_numvfs``."""

    device: PciDevice
    vfs: tuple[VfState, ...] = ()
    autoprobe: bool | None = None
    netdev: str | None = None
    macs: tuple[str, ...] = ()
    mtu: int | None = None
    up: bool | None = None
    max_vfs: int | None = None

    @property
    def address(self) -> str:
        return self.device.address

    @property
    def legacy(self) -> bool:
        return self.device.sriov_totalvfs is None and self.max_vfs is not None

    def __str__(self) -> str:
        netdev = f", {self.netdev}" if self.netdev else ""
        numa = "" if self.device.numa_node is None else f", NUMA node {self.device.numa_node}"
        return f"{self.address} ({self.device.vendor_id}:{self.device.device_id}{netdev}{numa})"


@dataclass(frozen=True)
class SriovState:
    """The node as it is. ``others``: functions without SR-IOV, by address, to say what a wrong selector hit.

    ``drivers``: True loaded, False can be loaded, None not installed; only those that are asked for.
    """

    pfs: tuple[PfState, ...] = ()
    others: tuple[PfState, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    noiommu: bool = False
    drivers: dict[str, bool | None] = field(default_factory=dict)


@dataclass(frozen=True)
class VfTarget:
    """One VF as it shall be. ``driver`` KERNEL: whichever the kernel has for the device."""

    index: int
    driver: str | None = KERNEL
    override: str | None = None
    attributes: VfAttributes = NOTHING


@dataclass(frozen=True)
class PfTarget:
    """One PF as it shall be; None leaves alone."""

    numvfs: int
    vfs: tuple[VfTarget, ...] = ()
    autoprobe: bool | None = None
    mtu: int | None = None
    up: bool | None = None


def target_of(pf: PfState, spec: PfSpec, former: dict[str, Any]) -> PfTarget:
    """What a spec means for a PF. Most drivers give their VFs no link while the PF is down."""
    return PfTarget(
        numvfs=spec.num_vfs,
        vfs=tuple(_vf_target(vf) for vf in spec.vfs()),
        autoprobe=former.get("autoprobe", pf.autoprobe),
        mtu=spec.mtu if spec.mtu is not None else former.get("mtu"),
        up=True if spec.num_vfs and pf.netdev else former.get("up"),
    )


def _vf_target(vf: VfSpec) -> VfTarget:
    if vf.driver is None:
        return VfTarget(vf.index, None, NO_DRIVER, vf.attributes)
    return VfTarget(vf.index, vf.driver, None if vf.driver == KERNEL else vf.driver, vf.attributes)


def former_target(former: dict[str, Any]) -> PfTarget:
    """The way a PF was before the first change."""
    return PfTarget(
        numvfs=former["numvfs"],
        vfs=tuple(
            VfTarget(index, vf["driver"], vf["override"], VfAttributes(**vf["attributes"]))
            for index, vf in enumerate(former["vfs"])
        ),
        autoprobe=former.get("autoprobe"),
        mtu=former.get("mtu"),
        up=former.get("up"),
    )


def remembered(pf: PfState) -> dict[str, Any]:
    """What has to be known about a PF to give it back."""
    return {
        "numvfs": len(pf.vfs),
        "autoprobe": pf.autoprobe,
        "vfs": [{"driver": vf.driver, "override": vf.override, "attributes": vf.attributes.given()} for vf in pf.vfs],
    }


def find_pf(state: SriovState, spec: PfSpec) -> PfState | Problem:
    """The one PF that a selector means."""
    where = f"{spec.variable}.pf"
    found = [pf for pf in state.pfs if matches(pf, spec.selector)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(map(str, found))
        return Problem(where, str(spec.selector), f"fits several PFs: {several}. Add address, netdev, mac or numa_node")
    others = [pf for pf in state.others if matches(pf, spec.selector)]
    if others and others[0].device.physfn:
        shape = f"is a VF of {others[0].device.physfn}: name the PF"
    elif others:
        shape = (
            f"is {others[0]}, which offers no SR-IOV: no sriov_totalvfs in sysfs. "
            f"Switch SR-IOV on in the firmware of the device and of the machine{_used(others[0])}"
        )
    else:
        shape = f"fits no PF. PFs here: {', '.join(map(str, state.pfs)) or 'none'}"
    return Problem(where, str(spec.selector), shape)


def _used(pf: PfState) -> str:
    return f". It is used by {', '.join(pf.device.uses)}" if pf.device.uses else ""


def matches(pf: PfState, selector: PfSelector) -> bool:
    """Every field that is set fits."""
    device = pf.device
    return (
        selector.address in (None, device.address)
        and (selector.netdev is None or selector.netdev in device.netdevs)
        and (selector.mac is None or selector.mac in pf.macs)
        and selector.vendor in (None, device.vendor_id)
        and selector.device in (None, device.device_id)
        and selector.numa_node in (None, device.numa_node)
    )


def named(pf: PfState, index: int) -> str:
    """How a VF is called in operations, also before it exists."""
    return f"{pf.address} vf {index}"


def pf_view(pf: PfState) -> dict[str, Any]:
    """A PF for the diff."""
    vfs = {
        str(vf.index): {"driver": vf.driver, "driver_override": vf.override, **vf.attributes.given()} for vf in pf.vfs
    }
    return {"num_vfs": len(pf.vfs), "mtu": pf.mtu, "up": pf.up, "drivers_autoprobe": pf.autoprobe, "vfs": vfs}


def target_view(pf: PfState, target: PfTarget) -> dict[str, Any]:
    """The same PF once it is as wanted; what is left alone stays as it is."""
    seen = {vf.index: vf for vf in pf.vfs} if len(pf.vfs) == target.numvfs else {}
    vfs = {}
    for vf in target.vfs:
        have = seen.get(vf.index)
        driver = have.driver if have and satisfied(have, vf) else vf.driver
        attributes = {**(have.attributes.given() if have else {}), **vf.attributes.given()}
        vfs[str(vf.index)] = {"driver": driver, "driver_override": vf.override, **attributes}
    return {
        "num_vfs": target.numvfs,
        "mtu": pf.mtu if target.mtu is None else target.mtu,
        "up": pf.up if target.up is None else target.up,
        "drivers_autoprobe": pf.autoprobe if target.autoprobe is None else target.autoprobe,
        "vfs": vfs,
    }


def satisfied(have: VfState, want: VfTarget) -> bool:
    """The VF has the driver that is wanted, and keeps it when probed again."""
    if have.override != want.override:
        return False
    return is_kernel_driver(have.driver) if want.driver == KERNEL else have.driver == want.driver
