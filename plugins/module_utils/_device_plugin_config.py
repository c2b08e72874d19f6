# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The SR-IOV device plugin's configuration, computed from pools. No I/O.

VFs are named by the address of their PF and their indexes, which is exact and does not hang on names of interfaces. So
nodes that are built alike have the same configuration, and are one group.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import format_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_schema import (
    NET_DEVICE,
    SELECTOR_KEYS,
    additional_info,
    check_config,
    check_selector,
    resource_prefix,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices, same_device_twice
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL

VARIABLE = "fastpath_pools"
PREFIX_VARIABLE = "fastpath_resource_prefix"
DEFAULT_PREFIX = "nfv.fastpath"
# What the desired state of VFs says already; a user's word beside it could only contradict it.
COMPUTED = ("rootDevices", "pciAddresses", "pfNames", "drivers", "vendors", "devices", "vdpaType")
HASH_LENGTH = 10
EMPTY: dict[str, Any] = {"resourceList": []}


@dataclass(frozen=True)
class PoolOptions:
    """What a user says of one pool beside its VFs.

    ``selectors``: for a pool of VFs further conditions (one mapping); with ``by_hand`` all that there is.
    """

    prefix: str | None = None
    exclude_topology: bool = False
    info: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    device_type: str = NET_DEVICE
    selectors: tuple[Mapping[str, Any], ...] = ()
    by_hand: bool = False


@dataclass(frozen=True)
class Group:
    """Nodes that share a configuration. ``name`` is made from the text, so it says what a plugin pod was given."""

    name: str
    config: str
    nodes: tuple[str, ...]


def _device_type(value: Any) -> str:
    if value not in SELECTOR_KEYS:
        raise read.Wrong(f"must be one of {', '.join(sorted(SELECTOR_KEYS))}")
    return str(value)


OPTION_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "resource_prefix": ("prefix", resource_prefix),
    "exclude_topology": ("exclude_topology", read.boolean),
    "additional_info": ("info", additional_info),
    "device_type": ("device_type", _device_type),
}
OPTION_KEYS = (*OPTION_FIELDS, "selectors")


def parse_pools(spec: Any, variable: str = VARIABLE) -> tuple[dict[str, PoolOptions], list[Problem]]:
    """Validate ``fastpath_pools``, a mapping from pools to what is special about them."""
    problems: list[Problem] = []
    if spec is None:
        return {}, problems
    if not isinstance(spec, Mapping):
        return {}, [Problem(variable, spec, "must be a mapping from names of pools, such as {igb_dpdk: {...}}")]
    found = {str(name): _options(name, entry, f"{variable}.{name}", problems) for name, entry in spec.items()}
    return found, problems


def _options(name: Any, entry: Any, variable: str, problems: list[Problem]) -> PoolOptions:
    try:
        read.pool(name)
    except read.Wrong as wrong:
        problems.append(Problem(variable, name, str(wrong)))
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, f"must be a mapping with keys among {', '.join(OPTION_KEYS)}"))
        return PoolOptions()
    problems += unknown_keys(entry, OPTION_KEYS, variable)
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key in OPTION_FIELDS:
            attribute, reader = OPTION_FIELDS[key]
            try:
                values[attribute] = reader(value)
            except read.Wrong as wrong:
                problems.append(Problem(f"{variable}.{key}", value, str(wrong)))
    by_hand = isinstance(entry.get("selectors"), list)
    kind = values.get("device_type", NET_DEVICE)
    selectors = _selectors(entry.get("selectors"), kind, f"{variable}.selectors", problems)
    return PoolOptions(selectors=selectors, by_hand=by_hand, **values)


def _selectors(value: Any, kind: str, variable: str, problems: list[Problem]) -> tuple[Mapping[str, Any], ...]:
    """A mapping adds to what is computed from VFs, a list says all by itself."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        for key in COMPUTED:
            if key in value:
                shape = (
                    "is computed from fastpath_sriov and fastpath_vdpa. For devices that are not made from these, "
                    "write selectors as a list"
                )
                problems.append(Problem(f"{variable}.{key}", value[key], shape))
        problems += check_selector({key: item for key, item in value.items() if key not in COMPUTED}, kind, variable)
        return (dict(value),)
    if not isinstance(value, list) or not value:
        problems.append(Problem(variable, value, "must be a mapping, or a list of at least one"))
        return ()
    for number, item in enumerate(value):
        where = f"{variable}[{number}]"
        problems += check_selector(item, kind, where)
        if isinstance(item, Mapping) and not item:
            problems.append(Problem(where, item, "takes every network device of the node: say which are meant"))
    return tuple(dict(item) for item in value if isinstance(item, Mapping))


def node_config(
    devices: Iterable[PoolDevices], options: Mapping[str, PoolOptions] | None = None, prefix: str = DEFAULT_PREFIX
) -> dict[str, Any]:
    """One node's configuration; ``EMPTY`` where it has no pool. Refused where the plugin would not take it."""
    parts = sorted(devices, key=lambda part: (part.pool, part.pf, part.indexes))
    known = dict(options or {})
    problems = same_device_twice(parts)
    names = sorted({part.pool for part in parts} | {name for name, option in known.items() if option.by_hand})
    entries = []
    for name in names:
        option = known.get(name, PoolOptions())
        own = [part for part in parts if part.pool == name]
        entries.append(_resource(name, own, option, prefix))
    config = {"resourceList": entries}
    problems += check_config(config, "device plugin configuration")
    if problems:
        raise Refused(problems)
    return config


def _resource(name: str, parts: Sequence[PoolDevices], option: PoolOptions, prefix: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"resourceName": name, "resourcePrefix": option.prefix or prefix}
    if option.device_type != NET_DEVICE:
        entry["deviceType"] = option.device_type
    if option.exclude_topology:
        entry["excludeTopology"] = True
    if option.info:
        entry["additionalInfo"] = {device: dict(texts) for device, texts in sorted(option.info.items())}
    if option.by_hand:
        return {**entry, "selectors": _one_or_all([dict(item) for item in option.selectors])}
    more = dict(option.selectors[0]) if option.selectors else {}
    return {**entry, "selectors": _one_or_all([{**selector, **more} for selector in selectors_of(parts)])}


def _one_or_all(selectors: list[dict[str, Any]]) -> Any:
    """A list only where there are several: older plugins, such as the one that stands in in the lab, take none."""
    return selectors[0] if len(selectors) == 1 else selectors


def selectors_of(parts: Sequence[PoolDevices]) -> list[dict[str, Any]]:
    """One selector for each kind of VF in the pool. PFs of a selector stand in it once, with all their indexes."""
    kinds: dict[tuple[str, str], dict[str, set[int]]] = {}
    for part in parts:
        driver = "" if part.driver in (None, KERNEL) else str(part.driver)
        kinds.setdefault((driver, part.vdpa or ""), {}).setdefault(part.pf, set()).update(part.indexes)
    selectors = []
    for (driver, vdpa), by_pf in sorted(kinds.items()):
        selector: dict[str, Any] = {"rootDevices": [f"{pf}#{ranges(by_pf[pf])}" for pf in sorted(by_pf)]}
        if driver:
            selector["drivers"] = [driver]
        if vdpa:
            selector["vdpaType"] = vdpa
        selectors.append(selector)
    return selectors


def ranges(indexes: Iterable[int]) -> str:
    """``0-3,8``, as the plugin reads it: ascending and without spaces, just as the kernel prints CPUs."""
    return format_cpu_list(indexes)


def as_text(config: Mapping[str, Any]) -> str:
    """The file for the plugin: the same configuration is always the same text."""
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def group_name(text: str) -> str:
    return checksum(text)[:HASH_LENGTH]


def group_nodes(texts: Mapping[str, str]) -> tuple[Group, ...]:
    """Nodes by configuration. Those without any pool are in no group: the plugin would end, again and again."""
    empty = as_text(EMPTY)
    members: dict[str, list[str]] = {}
    for node, text in texts.items():
        if text != empty:
            members.setdefault(text, []).append(node)
    groups = [Group(group_name(text), text, tuple(sorted(nodes))) for text, nodes in members.items()]
    return tuple(sorted(groups, key=lambda group: group.name))


def resource_names(
    pools: Iterable[str], options: Mapping[str, PoolOptions] | None = None, prefix: str = DEFAULT_PREFIX
) -> dict[str, str]:
    """The Kubernetes resource by pool."""
    known = dict(options or {})
    return {name: f"{known.get(name, PoolOptions()).prefix or prefix}/{name}" for name in sorted(pools)}


def parse_prefix(value: Any, variable: str = PREFIX_VARIABLE) -> tuple[str, list[Problem]]:
    """The prefix of all resources that say no other."""
    try:
        return resource_prefix(value), []
    except read.Wrong as wrong:
        return DEFAULT_PREFIX, [Problem(variable, value, str(wrong))]
