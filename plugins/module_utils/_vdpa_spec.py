# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The vDPA part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import (
    USER_SPACE,
    VHOST_VDPA,
    VIRTIO_PCI,
    VIRTIO_VDPA,
    VP_VDPA,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import (
    KERNEL,
    PfSpec,
    read_macs,
    read_selector,
    read_values,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector

BUSES = (VHOST_VDPA, VIRTIO_VDPA)
VDUSE = "vduse"
# virtio 1.2, 5.1.6.5.5: VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX
MAX_PAIRS = 0x8000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,62}")
_MGMTDEV = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)?")
_HEX = re.compile(r"0x[0-9a-f]{1,16}")


@dataclass(frozen=True)
class VdpaAttributes:
    """What a device is made with; None leaves it to the hardware. ``features``: the mask of those offered."""

    mac: str | None = None
    mtu: int | None = None
    max_vqp: int | None = None
    features: int | None = None

    def given(self) -> dict[str, Any]:
        """Only what is asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


HARDWARE = VdpaAttributes()


@dataclass(frozen=True)
class VdpaEntry:
    """Devices on VFs of one PF, one on the PF itself (no ``indexes``), or one of another management device.

    ``name`` is of one device; ``macs``: one for each of ``indexes``, or empty. ``variable``: the place in the input.
    """

    selector: PfSelector | None = None
    mgmtdev: str | None = None
    indexes: tuple[int, ...] | None = None
    bus: str = VHOST_VDPA
    attributes: VdpaAttributes = HARDWARE
    macs: tuple[str, ...] = ()
    name: str | None = None
    pool: str | None = None
    variable: str = ""

    def attributes_of(self, position: int) -> VdpaAttributes:
        return replace(self.attributes, mac=self.macs[position]) if self.macs else self.attributes


def _bus(value: Any) -> str:
    if isinstance(value, str) and value in BUSES:
        return value
    raise read.Wrong("must be vhost_vdpa (a device file for programs) or virtio_vdpa (a network interface)")


def _name(value: Any) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    raise read.Wrong("must be a name of 1 to 63 letters, digits, '.', '_', ':' or '-', the first a letter or digit")


def _mgmtdev(value: Any) -> str:
    if not isinstance(value, str) or not _MGMTDEV.fullmatch(value):
        raise read.Wrong("must be a management device as `vdpa mgmtdev show` names it, such as vduse")
    if value.startswith("pci/"):
        raise read.Wrong("is a PCI function: name it with pf, and indexes for its VFs")
    return value


def _features(value: Any) -> int:
    """Names as ``vdpa mgmtdev show`` prints them, or one mask; YAML reads 0x... as a number, which is as good."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _vdpa_features.LIMIT:
        return value
    if isinstance(value, str) and _HEX.fullmatch(value.lower()) and int(value, 16):
        return int(value, 16)
    if not isinstance(value, (list, tuple)) or not value:
        raise read.Wrong('must be a list of names such as [MAC, MQ, VERSION_1], or a mask such as "0x300000020"')
    for word in value:
        if not isinstance(word, str) or word not in _vdpa_features.BITS:
            hint = nearest(str(word), _vdpa_features.BITS)
            raise read.Wrong(f"has {word!r}, which `vdpa mgmtdev show` does not know.{hint} Or write the mask")
    return _vdpa_features.mask(value)


FIELDS: dict[str, Callable[[Any], Any]] = {
    "mgmtdev": _mgmtdev,
    "indexes": read.indexes,
    "bus": _bus,
    "name": _name,
    "pool": read.pool,
}
ATTRIBUTE_FIELDS: dict[str, Callable[[Any], Any]] = {
    "mac": read.mac,
    "mtu": lambda value: read.integer(value, 68, 65535),
    "max_vqp": lambda value: read.integer(value, 1, MAX_PAIRS),
    "features": _features,
}


def parse_vdpa(spec: Any, variable: str = "fastpath_vdpa") -> tuple[tuple[VdpaEntry, ...], list[Problem]]:
    """Validate ``fastpath_vdpa``; all problems at once."""
    problems: list[Problem] = []
    if spec is None:
        return (), problems
    if not isinstance(spec, (list, tuple)):
        return (), [Problem(variable, spec, "must be a list with one entry for each group of vDPA devices")]
    read_entries = [_entry(entry, f"{variable}[{number}]", problems) for number, entry in enumerate(spec)]
    entries = tuple(entry for entry in read_entries if entry is not None)
    _check_each_once(entries, problems)
    return entries, problems


def _entry(entry: Any, variable: str, problems: list[Problem]) -> VdpaEntry | None:
    before = len(problems)
    if not isinstance(entry, dict):
        problems.append(Problem(variable, entry, "must be a mapping with the key pf, or mgmtdev and name"))
        return None
    problems += unknown_keys(entry, ("pf", *FIELDS, "macs", *ATTRIBUTE_FIELDS), variable)
    values = read_values(entry, FIELDS, variable, problems)
    attributes = VdpaAttributes(**read_values(entry, ATTRIBUTE_FIELDS, variable, problems))
    selector = _selector(entry, variable, problems)
    macs = read_macs(entry, values.get("indexes"), variable, problems)
    _check_words(entry, values, variable, problems)
    _check_pool(entry, values, variable, problems)
    _check_features(attributes, bool(macs), variable, problems)
    if len(problems) > before:
        return None
    return VdpaEntry(selector=selector, attributes=attributes, macs=macs, variable=variable, **values)


def _selector(entry: dict[str, Any], variable: str, problems: list[Problem]) -> PfSelector | None:
    if entry.get("mgmtdev") is not None and entry.get("pf") is None:
        return None
    if entry.get("mgmtdev") is not None:
        problems.append(Problem(f"{variable}.mgmtdev", entry["mgmtdev"], "stands beside pf: use one of them"))
    return read_selector(entry.get("pf"), f"{variable}.pf", problems)


def _check_words(entry: dict[str, Any], values: dict[str, Any], variable: str, problems: list[Problem]) -> None:
    """Keys that need or exclude each other."""
    indexes = values.get("indexes")
    if entry.get("mgmtdev") is not None:
        if entry.get("name") is None:
            shape = "is missing: say how the device is called"
            if entry["mgmtdev"] == VDUSE:
                shape += "; with vduse it is the name under which its program makes it"
            problems.append(Problem(f"{variable}.name", None, shape))
        if entry.get("indexes") is not None:
            problems.append(Problem(f"{variable}.indexes", entry["indexes"], "is for VFs, and there is no pf"))
    if entry.get("macs") is not None and indexes is None and entry.get("indexes") is None:
        problems.append(Problem(f"{variable}.macs", entry["macs"], "is for several VFs: use mac for one device"))
    if values.get("name") is not None and indexes is not None and len(indexes) > 1:
        shape = f"would give {len(indexes)} devices the same name: leave it out, or make an entry for each VF"
        problems.append(Problem(f"{variable}.name", entry["name"], shape))


def _check_pool(entry: dict[str, Any], values: dict[str, Any], variable: str, problems: list[Problem]) -> None:
    if values.get("pool") is not None and (entry.get("mgmtdev") is not None or entry.get("indexes") is None):
        shape = "is for devices on VFs, since the SR-IOV device plugin finds no others: leave it out, or say indexes"
        problems.append(Problem(f"{variable}.pool", entry["pool"], shape))


def _check_features(attributes: VdpaAttributes, macs: bool, variable: str, problems: list[Problem]) -> None:
    """The kernel demands the same, but tells bits only."""
    if attributes.features is None:
        return
    given = {*attributes.given(), *(["mac"] if macs else [])}
    lacking = [name for key, name in _vdpa_features.FEATURE_OF.items() if key in given]
    lacking = [name for name in lacking if not attributes.features >> _vdpa_features.BITS[name] & 1]
    if lacking:
        shape = f"lacks {', '.join(lacking)}, without which mac, mtu or max_vqp of this entry means nothing"
        problems.append(Problem(f"{variable}.features", ", ".join(_vdpa_features.names(attributes.features)), shape))


def _check_each_once(entries: tuple[VdpaEntry, ...], problems: list[Problem]) -> None:
    """The same words twice; different words for one function come to light when they meet a node."""
    named: dict[str, str] = {}
    macs: dict[str, str] = {}
    functions: dict[tuple[PfSelector, int | None], str] = {}
    for entry in entries:
        if entry.name is not None and named.setdefault(entry.name, entry.variable) != entry.variable:
            problems.append(
                Problem(f"{entry.variable}.name", entry.name, f"is also that of {named[entry.name]}: a name is unique")
            )
        for position, index in enumerate(entry.indexes or (None,)):
            if entry.selector is not None:
                other = functions.setdefault((entry.selector, index), entry.variable)
                if other != entry.variable:
                    what = "the PF itself" if index is None else f"VF {index}"
                    shape = f"{what} is also in {other}: one function gives one vDPA device"
                    key = "pf" if index is None else "indexes"
                    problems.append(Problem(f"{entry.variable}.{key}", index, shape))
            mac = entry.attributes_of(position).mac
            where = f"{entry.variable} device {position}"
            if mac is not None and macs.setdefault(mac, where) != where:
                problems.append(Problem(f"{entry.variable}.mac", mac, f"{where} and {macs[mac]} have the same address"))


def promise_problems(entry: VdpaEntry, pf: PfSpec, vendor: str | None) -> list[Problem]:
    """What ``fastpath_sriov`` must not say of VFs that ``fastpath_vdpa`` claims: it alone gives them their driver.

    ``vendor``: of the PF, where it is known: a virtio function with the kernel's own driver is no vDPA device.
    """
    problems = []
    vfs = {vf.index: vf for vf in pf.vfs()}
    for index in entry.indexes or ():
        vf = vfs.get(index)
        if vf is None:
            shape = f"VF {index} is out of range: {pf.variable}.num_vfs is {pf.num_vfs}"
        elif vf.driver is None or vf.driver in USER_SPACE:
            shape = (
                f"VF {index} has driver {vf.driver or 'null'} in {pf.variable}, with which it is no vDPA device: give "
                f"it {VP_VDPA} there if it is virtio, else the driver of its vendor"
            )
        elif vf.driver == VIRTIO_PCI or (vf.driver == KERNEL and vendor == "1af4"):
            shape = (
                f"VF {index} has the kernel's {VIRTIO_PCI} in {pf.variable}, with which it is no vDPA device: give it "
                f"driver: {VP_VDPA} there"
            )
        elif vf.pool is not None:
            shape = (
                f"VF {index} is in pool {vf.pool} of {pf.variable} too, so two pods could get it: say pool: null "
                "there, and name the pool here"
            )
        else:
            continue
        problems.append(Problem(f"{entry.variable}.indexes", index, shape))
    return problems


def against_sriov(entries: Iterable[VdpaEntry], pfs: Iterable[PfSpec]) -> list[Problem]:
    """Both variables against each other as far as their words agree; a node sees through different words."""
    by_words = {pf.selector: pf for pf in pfs}
    return [
        problem
        for entry in entries
        if entry.selector in by_words
        for problem in promise_problems(entry, by_words[entry.selector], entry.selector.vendor)
    ]
