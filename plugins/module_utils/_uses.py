# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Who holds a PCI function, told from gathered facts. No I/O.

Entries of ``PciDevice.uses``, in this order:

``default-route``, ``ssh``, ``address:IP``: the node itself talks through it, also through what is stacked on it;
``bridge:NAME``, ``bond:NAME``, ``team:NAME``, ``vlan:NAME``, ``macvlan:NAME``, ``ipvlan:NAME``, ``vrf:NAME``,
``ovs:NAME``, or another kind of the kernel: what is stacked on one of its interfaces, at any height;
``vfio:PID (COMMAND)``, ``uio:PID (COMMAND)``, ``vhost-vdpa:PID (COMMAND)``: a process has its device file open;
``vdpa:NAME``: a vDPA device was made on it; ``netns:NAME``: its interface is in another network namespace;
``vf:ADDRESS``: one of its VFs is in use.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import Link
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice

OVS_KIND = "openvswitch"
_PROTECTED = ("default-route", "ssh", "address:")


@dataclass(frozen=True)
class Handle:
    """A process that has a device file open."""

    path: str
    process: str


@dataclass(frozen=True)
class Facts:
    """What the node says beside sysfs. Maps by device file lead to PCI addresses.

    ``own_vdpa``: vDPA devices that are nobody's use by themselves, since they are made again.
    """

    links: tuple[Link, ...] = ()
    default_routes: tuple[str, ...] = ()
    ssh_addresses: tuple[str, ...] = ()
    handles: tuple[Handle, ...] = ()
    vfio_devices: dict[str, str] = field(default_factory=dict)
    uio_devices: dict[str, str] = field(default_factory=dict)
    vhost_vdpa: dict[str, str] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    own_vdpa: frozenset[str] = frozenset()


def protects(device: PciDevice) -> tuple[str, ...]:
    """Uses that must never be cut: the node itself talks through this function."""
    return tuple(use for use in device.uses if use.startswith(_PROTECTED))


def busy(device: PciDevice) -> tuple[str, ...]:
    """Uses by anybody, but for those of a PF's VFs."""
    return tuple(use for use in device.uses if not use.startswith("vf:"))


def with_uses(devices: tuple[PciDevice, ...], facts: Facts) -> tuple[PciDevice, ...]:
    """The same functions, each knowing who uses it."""
    uppers = _uppers(facts.links)
    own = {link.name: _own_uses(link, facts) for link in facts.links}
    opened = _opened(devices, facts)
    found = {device.address: _uses(device, uppers, own, opened, facts) for device in devices}
    whole = [(device, found[device.address] + _vf_uses(device, found)) for device in devices]
    return tuple(replace(device, uses=uses) if uses else device for device, uses in whole)


def _uses(
    device: PciDevice,
    uppers: dict[str, tuple[Link, ...]],
    own: dict[str, list[str]],
    opened: dict[str, list[str]],
    facts: Facts,
) -> tuple[str, ...]:
    talks: list[str] = []
    stacked: list[str] = []
    for netdev in device.netdevs:
        talks += own.get(netdev, [])
        for upper in _closure(netdev, uppers):
            stacked.append(_label(upper))
            talks += own[upper.name]
    ordered = sorted(talks, key=_rank) + sorted(stacked) + sorted(opened.get(device.address, []))
    ordered += [f"vdpa:{name}" for name in device.vdpa_devices if name not in facts.own_vdpa]
    if device.address in facts.elsewhere:
        ordered.append(f"netns:{facts.elsewhere[device.address]}")
    return tuple(dict.fromkeys(ordered))


def _vf_uses(device: PciDevice, found: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(f"vf:{address}" for address in device.virtfns if found.get(address))


def _own_uses(link: Link, facts: Facts) -> list[str]:
    uses = ["default-route"] if link.name in facts.default_routes else []
    uses += ["ssh"] if set(link.addresses) & set(facts.ssh_addresses) else []
    return uses + [f"address:{address}" for address in link.addresses]


def _uppers(links: tuple[Link, ...]) -> dict[str, tuple[Link, ...]]:
    """What stands directly on each interface. All bridges of Open vSwitch stand on all its ports:

    which port belongs to which bridge is known to its database only, and a doubt must not cut a node off.
    """
    by_name = {link.name: link for link in links}
    ovs = tuple(link for link in links if link.kind == OVS_KIND)
    found: dict[str, tuple[Link, ...]] = {}
    for link in links:
        above: tuple[Link, ...] = ()
        if link.master in by_name:
            master = by_name[link.master]
            above = ovs if master.kind == OVS_KIND else (master,)
        found[link.name] = found.get(link.name, ()) + above
        if link.lower in by_name:
            found[link.lower] = (*found.get(link.lower, ()), link)
    return found


def _closure(netdev: str, uppers: dict[str, tuple[Link, ...]]) -> list[Link]:
    """All that stands on an interface at any height."""
    seen: dict[str, Link] = {}
    ahead = list(uppers.get(netdev, ()))
    while ahead:
        link = ahead.pop()
        if link.name not in seen and link.name != netdev:
            seen[link.name] = link
            ahead += uppers.get(link.name, ())
    return list(seen.values())


def _label(link: Link) -> str:
    kind = "ovs" if link.kind == OVS_KIND else link.kind or "upper"
    return f"{kind}:{link.name}"


def _opened(devices: tuple[PciDevice, ...], facts: Facts) -> dict[str, list[str]]:
    """Users of device files by PCI address; a VFIO group is held for all functions in it."""
    groups: dict[str, list[str]] = {}
    vdpa = {name: device.address for device in devices for name in device.vdpa_devices}
    for device in devices:
        if device.iommu_group is not None and device.driver not in (None, "pcieport"):
            groups.setdefault(str(device.iommu_group), []).append(device.address)
    found: dict[str, list[str]] = {}
    for handle in facts.handles:
        name = handle.path.rpartition("/")[2]
        if handle.path.startswith("/dev/vfio/devices/"):
            kind, holds = "vfio", [facts.vfio_devices.get(name)]
        elif handle.path.startswith("/dev/vfio/"):
            kind, holds = "vfio", list(groups.get(name.replace("noiommu-", ""), []))
        elif handle.path.startswith("/dev/uio"):
            kind, holds = "uio", [facts.uio_devices.get(name)]
        else:
            kind, holds = "vhost-vdpa", [vdpa.get(facts.vhost_vdpa.get(name, ""))]
        for address in holds:
            if address:
                found.setdefault(address, []).append(f"{kind}:{handle.process}")
    return found


def _rank(use: str) -> tuple[int, str]:
    place = next((number for number, prefix in enumerate(_PROTECTED) if use.startswith(prefix)), len(_PROTECTED))
    return place, use
