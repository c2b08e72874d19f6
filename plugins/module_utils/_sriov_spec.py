# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The SR-IOV part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import (
    NOTHING,
    SELECTOR_FIELDS,
    PfSelector,
    VfAttributes,
)

KERNEL = "kernel"
MAX_VFS = 4096


@dataclass(frozen=True)
class VfGroup:
    """VFs that share driver and attributes. ``driver`` None: left unbound; "kernel": the device's own.

    ``macs``: one for each of ``indexes``, in their order, or empty.
    """

    indexes: tuple[int, ...]
    driver: str | None
    pool: str | None
    attributes: VfAttributes
    macs: tuple[str, ...] = ()


@dataclass(frozen=True)
class VfSpec:
    """What is wanted of one VF."""

    index: int
    driver: str | None = KERNEL
    pool: str | None = None
    attributes: VfAttributes = NOTHING


@dataclass(frozen=True)
class PfSpec:
    """One PF with its VFs. VFs in no group keep their kernel driver.

    ``variable``: where it stands in the user's input. ``in_use_ok``: the PF may be changed although
    the node itself talks through it.
    """

    selector: PfSelector
    num_vfs: int
    groups: tuple[VfGroup, ...]
    mtu: int | None = None
    in_use_ok: bool = False
    variable: str = ""

    def vfs(self) -> tuple[VfSpec, ...]:
        """Every VF in index order."""
        grouped: dict[int, VfSpec] = {}
        for group in self.groups:
            for position, index in enumerate(group.indexes):
                attributes = group.attributes
                if group.macs:
                    attributes = replace(attributes, mac=group.macs[position])
                grouped[index] = VfSpec(index, group.driver, group.pool, attributes)
        return tuple(grouped.get(index, VfSpec(index)) for index in range(self.num_vfs))


PF_FIELDS: dict[str, Callable[[Any], Any]] = {
    "num_vfs": lambda value: read.integer(value, 0, MAX_VFS),
    "mtu": lambda value: read.integer(value, 68, 65535),
    "in_use_ok": read.boolean,
}
GROUP_FIELDS: dict[str, Callable[[Any], Any]] = {
    "indexes": read.indexes,
    "driver": read.driver,
    "pool": read.pool,
}
ATTRIBUTE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "mac": read.mac,
    "vlan": lambda value: read.integer(value, 0, 4094),
    "qos": lambda value: read.integer(value, 0, 7),
    "trust": read.boolean,
    "spoofchk": read.boolean,
    "min_rate": lambda value: read.integer(value, 0, 2**32 - 1),
    "max_rate": lambda value: read.integer(value, 0, 2**32 - 1),
    "link_state": read.link_state,
}


def parse_sriov(spec: Any, variable: str = "fastpath_sriov") -> tuple[tuple[PfSpec, ...], list[Problem]]:
    """Validate ``fastpath_sriov``; all problems at once (unknown keys, types, ranges, overlaps)."""
    problems: list[Problem] = []
    if spec is None:
        return (), problems
    if not isinstance(spec, (list, tuple)):
        return (), [Problem(variable, spec, "must be a list with one entry for each PF")]
    pfs = [_pf(entry, f"{variable}[{number}]", problems) for number, entry in enumerate(spec)]
    found = [pf for pf in pfs if pf is not None]
    _check_same_pf(found, problems)
    _check_same_mac(found, problems)
    return tuple(found), problems


def _pf(entry: Any, variable: str, problems: list[Problem]) -> PfSpec | None:
    before = len(problems)
    if not isinstance(entry, dict):
        problems.append(Problem(variable, entry, "must be a mapping with the keys pf, num_vfs and vfs"))
        return None
    problems += unknown_keys(entry, ("pf", *PF_FIELDS, "vfs"), variable)
    selector = read_selector(entry.get("pf"), f"{variable}.pf", problems)
    if "num_vfs" not in entry:
        problems.append(Problem(f"{variable}.num_vfs", None, "is missing: say how many VFs the PF shall have"))
    values = read_values(entry, PF_FIELDS, variable, problems)
    groups = _groups(entry.get("vfs"), values.get("num_vfs"), f"{variable}.vfs", problems)
    if len(problems) > before:
        return None
    return PfSpec(selector, groups=groups, variable=variable, **values)


def read_selector(value: Any, variable: str, problems: list[Problem]) -> PfSelector:
    if not isinstance(value, dict) or all(item is None for item in value.values()):
        shape = (
            'must say which PF, such as {netdev: ens1f0}, {address: "0000:81:00.0"} or {vendor: "8086", device: "10c9"}'
        )
        problems.append(Problem(variable, value, shape))
        return PfSelector()
    problems += unknown_keys(value, SELECTOR_FIELDS, variable)
    return PfSelector(**read_values(value, SELECTOR_FIELDS, variable, problems))


def _groups(value: Any, num_vfs: int | None, variable: str, problems: list[Problem]) -> tuple[VfGroup, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        problems.append(Problem(variable, value, "must be a list of groups of VFs"))
        return ()
    groups = []
    owner: dict[int, str] = {}
    for number, entry in enumerate(value):
        where = f"{variable}[{number}]"
        group = _group(entry, where, problems)
        if group is not None:
            groups.append(group)
        if isinstance(entry, dict) and "indexes" in entry:
            _check_indexes(entry["indexes"], where, num_vfs, owner, problems)
    return tuple(groups)


def _group(entry: Any, variable: str, problems: list[Problem]) -> VfGroup | None:
    before = len(problems)
    if not isinstance(entry, dict):
        problems.append(Problem(variable, entry, "must be a mapping with the key indexes"))
        return None
    problems += unknown_keys(entry, (*GROUP_FIELDS, "macs", *ATTRIBUTE_FIELDS), variable)
    if entry.get("indexes") is None:
        problems.append(Problem(f"{variable}.indexes", None, "is missing: say which VFs, such as 0-3"))
    values = {"driver": KERNEL, "pool": None, **read_values(entry, GROUP_FIELDS, variable, problems)}
    attributes = VfAttributes(**read_values(entry, ATTRIBUTE_FIELDS, variable, problems))
    macs = read_macs(entry, values.get("indexes"), variable, problems)
    _check_attributes(attributes, variable, problems)
    if len(problems) > before:
        return None
    return VfGroup(attributes=attributes, macs=macs, **values)


def read_macs(
    entry: dict[str, Any], indexes: tuple[int, ...] | None, variable: str, problems: list[Problem]
) -> tuple[str, ...]:
    value = entry.get("macs")
    if value is None:
        if entry.get("mac") is not None and indexes is not None and len(indexes) > 1:
            shape = f"would give {len(indexes)} VFs the same address: use macs, a list with one for each VF"
            problems.append(Problem(f"{variable}.mac", entry["mac"], shape))
        return ()
    if entry.get("mac") is not None:
        problems.append(Problem(f"{variable}.macs", value, "stands beside mac: use one of them"))
    if not isinstance(value, (list, tuple)):
        problems.append(Problem(f"{variable}.macs", value, "must be a list with one MAC address for each VF"))
        return ()
    if indexes is not None and len(value) != len(indexes):
        shape = f"has {len(value)} addresses for {len(indexes)} VFs: one for each, in index order"
        problems.append(Problem(f"{variable}.macs", value, shape))
    found = [read.value(read.mac, item, f"{variable}.macs[{number}]", problems) for number, item in enumerate(value)]
    return tuple(item for item in found if item is not None)


def read_values(
    entry: dict[str, Any], readers: dict[str, Callable[[Any], Any]], variable: str, problems: list[Problem]
) -> dict[str, Any]:
    """The keys that are present and readable. Null means "not asked for", but for ``driver`` and ``num_vfs``."""
    found = {}
    for key, reader in readers.items():
        if key in entry and (entry[key] is not None or key in ("driver", "num_vfs")):
            before = len(problems)
            value = read.value(reader, entry[key], f"{variable}.{key}", problems)
            if len(problems) == before:
                found[key] = value
    return found


def _check_attributes(attributes: VfAttributes, variable: str, problems: list[Problem]) -> None:
    if attributes.qos and not attributes.vlan:
        problems.append(Problem(f"{variable}.qos", attributes.qos, "needs a vlan from 1 to 4094 in the same group"))
    if attributes.min_rate and attributes.max_rate and attributes.min_rate > attributes.max_rate:
        problems.append(
            Problem(f"{variable}.min_rate", attributes.min_rate, f"is above max_rate {attributes.max_rate}")
        )


def _check_indexes(
    value: Any, variable: str, num_vfs: int | None, owner: dict[int, str], problems: list[Problem]
) -> None:
    """Against the PF's VFs and the other groups; also where the group has further problems."""
    try:
        indexes = read.indexes(value)
    except read.Wrong:
        return
    where = f"{variable}.indexes"
    if num_vfs is not None and indexes[-1] >= num_vfs:
        have = f"the PF has VFs 0 to {num_vfs - 1}" if num_vfs else "the PF has no VF"
        problems.append(Problem(where, value, f"VF {indexes[-1]} is out of range: num_vfs is {num_vfs}, so {have}"))
    for other in sorted({owner[index] for index in indexes if index in owner}):
        shared = ", ".join(str(index) for index in indexes if owner.get(index) == other)
        problems.append(Problem(where, value, f"VF {shared} is also in {other}: each VF belongs to one group"))
    for index in indexes:
        owner.setdefault(index, variable)


def _check_same_pf(pfs: list[PfSpec], problems: list[Problem]) -> None:
    """The same words twice; different words for one PF come to light when they meet a node."""
    first: dict[PfSelector, PfSpec] = {}
    for pf in pfs:
        former = first.setdefault(pf.selector, pf)
        if former is not pf:
            problems.append(
                Problem(f"{pf.variable}.pf", str(pf.selector), f"is the same PF as in {former.variable}.pf")
            )


def _check_same_mac(pfs: list[PfSpec], problems: list[Problem]) -> None:
    owner: dict[str, str] = {}
    for pf in pfs:
        for vf in pf.vfs():
            mac = vf.attributes.mac
            where = f"{pf.variable} VF {vf.index}"
            if mac is not None and owner.setdefault(mac, where) != where:
                problems.append(
                    Problem(f"{pf.variable}.vfs", mac, f"{where} and {owner[mac]} have the same MAC address")
                )
