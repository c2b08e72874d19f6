# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The pools of devices that pods ask for: what the desired state of a node says of them. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE, VHOST_VDPA, VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL, PfSpec, parse_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VdpaEntry, parse_vdpa

VHOST, VIRTIO = "vhost", "virtio"
BUS_DRIVERS = {VHOST_VDPA: VHOST, VIRTIO_VDPA: VIRTIO}


@dataclass(frozen=True)
class Slice:
    """VFs of one PF that belong to one pool.

    ``driver``: as the spec names it, "kernel" for whichever the kernel has. ``vdpa``: vhost, virtio, or None for plain
    VFs. ``variable``: where it stands in the user's input.
    """

    pool: str
    selector: PfSelector
    indexes: tuple[int, ...]
    driver: str | None = KERNEL
    vdpa: str | None = None
    vlan: int | None = None
    variable: str = ""

    @property
    def user_space(self) -> bool:
        """Whether a program has the device, and no network interface exists."""
        return self.vdpa is None and self.driver in USER_SPACE


@dataclass(frozen=True)
class NodePools:
    """What one node has in pools. ``by_hand``: pools with selectors of the user's own, of which no number is known."""

    slices: tuple[Slice, ...] = ()
    by_hand: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({part.pool for part in self.slices} | set(self.by_hand)))

    def counts(self) -> dict[str, int]:
        """Devices by pool, where the number is known."""
        counts: dict[str, int] = {}
        for part in self.slices:
            counts[part.pool] = counts.get(part.pool, 0) + len(part.indexes)
        return dict(sorted(counts.items()))


def parse_node_pools(sriov: Any, vdpa: Any, by_hand: Iterable[str] = ()) -> tuple[NodePools, list[Problem]]:
    """Slices out of ``fastpath_sriov`` and ``fastpath_vdpa``, and every problem with them."""
    pfs, problems = parse_sriov(sriov, "fastpath_sriov")
    slices = [part for pf in pfs for part in _of_pf(pf)]
    entries, more = parse_vdpa(vdpa, "fastpath_vdpa")
    slices += [part for entry in entries for part in _of_entry(entry)]
    problems = problems + more + _claimed_twice(slices) + _mixed(slices)
    own = tuple(sorted(by_hand))
    for part in slices:
        if part.pool in own:
            shape = f"has selectors in fastpath_pools.{part.pool} too: a pool comes from one of them"
            problems.append(Problem(f"{part.variable}.pool", part.pool, shape))
    return NodePools(tuple(slices), own), problems


def _of_pf(pf: PfSpec) -> Iterable[Slice]:
    for number, group in enumerate(pf.groups):
        if group.pool is not None:
            where = f"{pf.variable}.vfs[{number}]"
            vlan = group.attributes.vlan
            yield Slice(group.pool, pf.selector, group.indexes, group.driver, None, vlan, where)


def _of_entry(entry: VdpaEntry) -> Iterable[Slice]:
    if entry.pool is not None and entry.selector is not None and entry.indexes is not None:
        kind = BUS_DRIVERS[entry.bus]
        yield Slice(entry.pool, entry.selector, entry.indexes, KERNEL, kind, None, entry.variable)


def _claimed_twice(slices: Iterable[Slice]) -> list[Problem]:
    """The same VF in two pools, where both name the PF by the same words; other words meet on the node."""
    owner: dict[tuple[PfSelector, int], Slice] = {}
    problems = []
    for part in slices:
        others: dict[str, list[int]] = {}
        for index in part.indexes:
            former = owner.setdefault((part.selector, index), part)
            if former is not part:
                others.setdefault(former.variable, []).append(index)
        for where, indexes in others.items():
            shared = ", ".join(map(str, indexes))
            shape = f"claims VF {shared} of {part.selector}, which {where} has already: a VF belongs to one pool"
            problems.append(Problem(f"{part.variable}.pool", part.pool, shape))
    return problems


def _mixed(slices: Iterable[Slice]) -> list[Problem]:
    """A pool is one kind of device: pods cannot say which of two they want."""
    first: dict[str, Slice] = {}
    problems = []
    for part in slices:
        former = first.setdefault(part.pool, part)
        if former.vdpa != part.vdpa:
            shape = f"has {_kind(part)} here and {_kind(former)} in {former.variable}: give one of them another pool"
            problems.append(Problem(f"{part.variable}.pool", part.pool, shape))
    return problems


def _kind(part: Slice) -> str:
    return f"vDPA devices for {part.vdpa}" if part.vdpa else "plain VFs"


@dataclass(frozen=True)
class PoolDevices:
    """One slice on a node where it was looked up: the PF's address and what its VFs are.

    ``state``: what a device plugin finds out at its start and never again, in a form that can be compared.
    """

    pool: str
    pf: str
    indexes: tuple[int, ...]
    driver: str | None = KERNEL
    vdpa: str | None = None
    variable: str = ""
    state: tuple[Mapping[str, Any], ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        return {
            "pool": self.pool,
            "pf": self.pf,
            "indexes": list(self.indexes),
            "driver": self.driver,
            "vdpa": self.vdpa,
            "variable": self.variable,
            "state": [dict(item) for item in self.state],
        }


def parse_devices(value: Any) -> tuple[PoolDevices, ...]:
    """Back from JSON, as a node's module returned it."""
    return tuple(
        PoolDevices(
            pool=str(item["pool"]),
            pf=str(item["pf"]),
            indexes=tuple(int(index) for index in item["indexes"]),
            driver=item.get("driver"),
            vdpa=item.get("vdpa"),
            variable=str(item.get("variable", "")),
            state=tuple(dict(one) for one in item.get("state", ())),
        )
        for item in value
    )


def same_device_twice(devices: Iterable[PoolDevices]) -> list[Problem]:
    """Two pools that claim one VF once the PFs are known by address."""
    owner: dict[tuple[str, int], PoolDevices] = {}
    problems = []
    for part in devices:
        taken = sorted({index for index in part.indexes if owner.setdefault((part.pf, index), part) is not part})
        if taken:
            former = owner[(part.pf, taken[0])]
            shared = ", ".join(map(str, taken))
            shape = f"claims VF {shared} of {part.pf}, which {former.variable} has already: a VF belongs to one pool"
            problems.append(Problem(f"{part.variable}.pool", part.pool, shape))
    return problems


def fingerprint(devices: Iterable[PoolDevices]) -> str:
    """Of all that a device plugin finds out at its start: another one means that it has to look again."""
    parts = sorted(devices, key=lambda part: (part.pool, part.pf, part.indexes))
    text = json.dumps([part.as_json() for part in parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
