# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Reads what SR-IOV looks like on a node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import Link
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import DEVICES, VDPA_DEVICES, read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import PfState, SriovState, VfState
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import NOTHING
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts, with_uses
from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import gather

NOIOMMU_PARAMETER = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
DRIVERS = "/sys/bus/pci/drivers"
DRIVERS_PROBE = "/sys/bus/pci/drivers_probe"
MODPROBE_SECONDS = 60.0


def read_sriov(
    host: Host, record: dict[str, Any], ssh_connection: str = "", known: Facts | None = None
) -> tuple[SriovState, Facts]:
    """PFs with their VFs, everything else that a selector could hit, and who uses what.

    ``known``: facts from before, to be taken as they are; then nobody is asked again who uses what.
    """
    devices = read_pci(host)
    facts = known or replace(gather(host, devices, ssh_connection), own_vdpa=_vdpa_of_ours(host, devices))
    links = {link.name: link for link in facts.links}
    by_address = {device.address: device for device in (devices if known else with_uses(devices, facts))}
    states = [_pf(host, device, by_address, links) for device in by_address.values()]
    state = SriovState(
        pfs=tuple(state for state in states if offers_vfs(state)),
        others=tuple(state for state in states if not offers_vfs(state)),
        record=record,
        noiommu=host.read_value(NOIOMMU_PARAMETER) == "Y",
    )
    return state, facts


def offers_vfs(state: PfState) -> bool:
    return state.device.sriov_totalvfs is not None or state.legacy


def main_link(own: list[Link]) -> Link | None:
    """In switchdev mode representors of VFs stand beside the PF's own interface; only that one lists VFs."""
    return next((link for link in own if link.vfs), own[0] if own else None)


def available_drivers(host: Host, drivers: Iterable[str]) -> dict[str, bool | None]:
    """True loaded, False can be loaded, None not installed."""
    found: dict[str, bool | None] = {}
    for driver in sorted(drivers):
        if host.exists(f"{DRIVERS}/{driver}"):
            found[driver] = True
        else:
            done = host.run(["modprobe", "--dry-run", "--quiet", driver], MODPROBE_SECONDS)
            found[driver] = False if done.rc == 0 else None
    return found


def _pf(host: Host, device: PciDevice, by_address: dict[str, PciDevice], links: dict[str, Link]) -> PfState:
    own = [links[name] for name in device.netdevs if name in links]
    link = main_link(own)
    legacy = device.sriov_totalvfs is None and device.physfn is None and device.driver is not None
    return PfState(
        device=device,
        vfs=tuple(_vf(by_address[address], link) for address in device.virtfns if address in by_address),
        autoprobe=_flag(host, device) if device.sriov_totalvfs is not None else None,
        netdev=link.name if link else None,
        macs=tuple({mac.lower() for link in own for mac in (link.mac, link.permanent_mac)}),
        mtu=link.mtu if link else None,
        up=link.up if link else None,
        max_vfs=_number(host, f"/sys/module/{device.driver}/parameters/max_vfs") if legacy else None,
    )


def _vf(device: PciDevice, link: Link | None) -> VfState:
    index = device.vf_index or 0
    return VfState(
        index=index,
        address=device.address,
        driver=device.driver,
        override=device.driver_override,
        attributes=link.vfs.get(index, NOTHING) if link else NOTHING,
        uses=device.uses,
        vdpa_devices=device.vdpa_devices,
    )


def _vdpa_of_ours(host: Host, devices: Iterable[PciDevice]) -> frozenset[str]:
    """vDPA devices that go with their VFs as long as nobody uses them; not those whose interface is somewhere else."""
    made = Store(host, "vdpa").record().get("devices", {})
    return frozenset(
        name
        for device in devices
        for name in device.vdpa_devices
        if name in made and (device.netdevs or host.link_name(f"{VDPA_DEVICES}/{name}/driver") != VIRTIO_VDPA)
    )


def _flag(host: Host, device: PciDevice) -> bool | None:
    value = host.read_value(f"{DEVICES}/{device.address}/sriov_drivers_autoprobe")
    return None if value is None else value == "1"


def _number(host: Host, path: str) -> int | None:
    value = host.read_value(path)
    return int(value) if value and value.isdigit() else None
