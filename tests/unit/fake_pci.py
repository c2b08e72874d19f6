# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PCI functions and drivers of the fake node, and what ``ip`` shows of a VF."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Driver:
    """A PCI driver: its module, and the ids that it takes without being told."""

    name: str
    module: str
    ids: tuple[tuple[str, str], ...] = ()
    netdevs: bool = False


KNOWN_DRIVERS = (
    Driver("igb", "igb", (("8086", "10c9"),), True),
    Driver("igbvf", "igbvf", (("8086", "10ca"),), True),
    Driver("virtio-pci", "virtio_pci", (("1af4", "1041"),), True),
    Driver("vp-vdpa", "vp_vdpa"),
    Driver("vfio-pci", "vfio_pci"),
    Driver("uio_pci_generic", "uio_pci_generic"),
    Driver("igb_uio", "igb_uio"),
    Driver("oldnic", "oldnic", (("abcd", "0001"),), True),
    Driver("oldnicvf", "oldnicvf", (("abcd", "0002"),), True),
)


@dataclass
class Function:
    """One PCI function of the model."""

    address: str
    vendor: str
    device: str
    class_code: str = "20000"
    numa_node: int = -1
    iommu: bool = True
    physfn: str | None = None
    index: int = 0
    netdev: str | None = None
    mac: str = "00:00:00:00:00:00"
    total: int | None = None
    vf_device: str = ""
    vfs: list[str] = field(default_factory=list)
    autoprobe: bool = True
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict)


def default_attributes() -> dict[str, Any]:
    return {
        "mac": "02:aa:00:00:00:00",
        "vlan": 0,
        "qos": 0,
        "spoofchk": True,
        "trust": False,
        "state": "auto",
        "min_tx_rate": 0,
        "max_tx_rate": 0,
    }


def vfinfo(index: int, vf: dict[str, Any]) -> dict[str, Any]:
    """As ``ip -j`` prints it: no VLAN list where there is no VLAN."""
    shown = {"vf": index, "address": vf["mac"], "rate": {"max_tx": vf["max_tx_rate"], "min_tx": vf["min_tx_rate"]}}
    if vf["vlan"]:
        shown["vlan_list"] = [{"vlan": vf["vlan"], "qos": vf["qos"]}]
    return {**shown, "spoofchk": vf["spoofchk"], "link_state": vf["state"], "trust": vf["trust"]}
