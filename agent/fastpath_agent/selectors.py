# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices belong to a pool, in the words of the SR-IOV device plugin, so that both mean the same devices.

Within one selector every key has to fit; of several selectors one. A device belongs to the first pool that takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import driver, indexes, netdev, pci_id

NETWORK_CLASS = "02"


@dataclass(frozen=True)
class VfsOf:
    """VFs of one PF, by its name or address; ``indexes`` None: all of them."""

    pf: str
    indexes: frozenset[int] | None = None


@dataclass(frozen=True)
class Selector:
    """What is None does not matter."""

    vendors: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None
    drivers: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    pf_names: tuple[VfsOf, ...] | None = None
    root_devices: tuple[VfsOf, ...] | None = None

    def fits(self, device: PciDevice, pf: PciDevice | None) -> bool:
        """``pf``: the function that this one is a VF of."""
        return (
            _among(device.vendor_id, self.vendors)
            and _among(device.device_id, self.devices)
            and _among(device.driver, self.drivers)
            and _among(device.address, self.addresses)
            and _of_pf(device, pf.netdevs if pf else device.netdevs, self.pf_names)
            and _of_pf(device, (pf.address if pf else device.address,), self.root_devices)
        )


def parse_selectors(given: Any, variable: str, problems: list[Problem]) -> tuple[Selector, ...]:
    """One selector or a list of them. An empty one would take every network device and is refused."""
    found = []
    for where, entry in (
        [(variable, given)] if isinstance(given, Mapping) else read.entries(given, variable, "selectors", problems)
    ):
        if not isinstance(entry, Mapping) or not entry:
            problems.append(Problem(where, entry, f"must be a mapping with at least one of {', '.join(_KEYS)}"))
            continue
        problems += unknown_keys(entry, _KEYS, where)
        readers = {key: reader for key, (_name, reader) in _KEYS.items()}
        values = read.values(entry, readers, where, problems)
        found.append(Selector(**{_KEYS[key][0]: value for key, value in values.items()}))
    return tuple(found)


def select(devices: Sequence[PciDevice], pools: Iterable[tuple[str, Sequence[Selector]]]) -> dict[str, str]:
    """Pool by address, in the order of addresses. A PF that has VFs is none of them."""
    by_address = {device.address: device for device in devices}
    wanted = list(pools)
    found: dict[str, str] = {}
    for device in devices:
        if not (device.class_id or "").startswith(NETWORK_CLASS) or device.virtfns:
            continue
        pf = by_address.get(device.physfn or "")
        for pool, selectors in wanted:
            if any(selector.fits(device, pf) for selector in selectors):
                found[device.address] = pool
                break
    return found


def _among(value: str | None, allowed: tuple[str, ...] | None) -> bool:
    return allowed is None or value in allowed


def _of_pf(device: PciDevice, names: Iterable[str], wanted: tuple[VfsOf, ...] | None) -> bool:
    if wanted is None:
        return True
    lower = {name.lower() for name in names}
    return any(
        entry.pf.lower() in lower and (entry.indexes is None or device.vf_index in entry.indexes) for entry in wanted
    )


def _texts(reader: Callable[[Any], Any]) -> read.Reader:
    def readers(value: Any) -> tuple[Any, ...]:
        return tuple(reader(item) for item in (value if isinstance(value, (list, tuple)) else [value]))

    return readers


def _vfs_of(reader: Callable[[Any], str]) -> Callable[[Any], VfsOf]:
    def vfs(value: Any) -> VfsOf:
        name, sharp, numbers = value.partition("#") if isinstance(value, str) else (value, "", "")
        return VfsOf(reader(name), frozenset(indexes(numbers)) if sharp else None)

    return vfs


_KEYS: Mapping[str, tuple[str, read.Reader]] = {
    "vendors": ("vendors", _texts(pci_id)),
    "devices": ("devices", _texts(pci_id)),
    "drivers": ("drivers", _texts(driver)),
    "pciAddresses": ("addresses", _texts(read.address)),
    "pfNames": ("pf_names", _texts(_vfs_of(netdev))),
    "rootDevices": ("root_devices", _texts(_vfs_of(read.address))),
}
