# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The Open vSwitch part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_keys import KEYS
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import InterfaceSpec, PortSpec, parse_port

VARIABLE = "fastpath_ovs"
TOP_KEYS = ("other_config", "raw_other_config", "bridges")
BRIDGE_KEYS: Mapping[str, read.Reader] = {
    "datapath_type": read.one_of("netdev", "system"),
    "fail_mode": read.one_of("standalone", "secure"),
    "protocols": read.protocols,
    "controllers": read.controllers,
    "mac": read.mac_text,
    "mtu": read.mtu,
    "flows": read.flows,
    "other_config": read.text_map,
    "external_ids": read.external_ids,
}
BRIDGE_COLUMNS = {"datapath_type": "datapath_type", "fail_mode": "fail_mode", "controllers": "controller"}


@dataclass(frozen=True)
class BridgeSpec:
    """One bridge. ``columns`` as the database has them; None empties. ``flows`` None: they are left alone."""

    name: str
    columns: Mapping[str, Any]
    local: Mapping[str, Any] = field(default_factory=dict)
    ports: tuple[PortSpec, ...] = ()
    flows: tuple[str, ...] | None = None
    variable: str = ""


@dataclass(frozen=True)
class OvsSpec:
    """``other_config``: the database's texts by key; None empties."""

    other_config: Mapping[str, str | None] = field(default_factory=dict)
    bridges: tuple[BridgeSpec, ...] = ()

    @property
    def ports(self) -> tuple[tuple[BridgeSpec, PortSpec], ...]:
        return tuple((bridge, port) for bridge in self.bridges for port in bridge.ports)

    @property
    def interfaces(self) -> tuple[InterfaceSpec, ...]:
        return tuple(interface for _bridge, port in self.ports for interface in port.interfaces)

    @property
    def uses_dpdk(self) -> bool:
        return self.other_config.get("dpdk-init") in ("true", "try")


def parse_ovs(spec: Any, variable: str = VARIABLE) -> tuple[OvsSpec, list[Problem]]:
    """Validate ``fastpath_ovs``; all problems at once. The result is only of use where there is none."""
    problems: list[Problem] = []
    if spec is None:
        return OvsSpec(), problems
    if not isinstance(spec, Mapping):
        return OvsSpec(), [Problem(variable, spec, f"must be a mapping with the keys {', '.join(TOP_KEYS)}")]
    problems += unknown_keys(spec, TOP_KEYS, variable)
    other_config = _other_config(spec.get("other_config"), f"{variable}.other_config", problems)
    raw = read.value(read.text_map, spec.get("raw_other_config"), f"{variable}.raw_other_config", problems) or {}
    for key in raw:
        if key in KEYS:
            problems.append(
                Problem(f"{variable}.raw_other_config.{key}", raw[key], "is known: write it in other_config")
            )
    bridges = _bridges(spec.get("bridges"), f"{variable}.bridges", problems)
    _check_together(bridges, problems)
    return OvsSpec({**other_config, **raw}, tuple(bridges)), problems


def _other_config(given: Any, variable: str, problems: list[Problem]) -> dict[str, str | None]:
    """A key without a value (null, empty text or list) is one that shall not be there."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.append(Problem(variable, given, "must be a mapping, such as {dpdk-init: true}"))
        return {}
    found: dict[str, str | None] = {}
    for name, value in given.items():
        key = KEYS.get(name)
        if key is None:
            hint = nearest(str(name).replace("_", "-"), KEYS)
            shape = f"is no known key.{hint} A key that is not in the table is given in raw_other_config"
            problems.append(Problem(f"{variable}.{name}", value, shape))
        elif read.is_empty(value):
            found[name] = None
        else:
            text = read.value(key.read, value, f"{variable}.{name}", problems)
            if text is not None:
                found[name] = text
    return found


def _bridges(given: Any, variable: str, problems: list[Problem]) -> list[BridgeSpec]:
    entries = read.entries(given, variable, "bridges", problems)
    found = (_bridge(entry, where, problems) for where, entry in entries)
    return [bridge for bridge in found if bridge is not None]


def _bridge(entry: Any, variable: str, problems: list[Problem]) -> BridgeSpec | None:
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, "must be a mapping with the keys name and ports"))
        return None
    problems += unknown_keys(entry, ("name", "ports", *BRIDGE_KEYS), variable)
    name = read.value(read.name, entry.get("name"), f"{variable}.name", problems)
    values = read.values(entry, BRIDGE_KEYS, variable, problems)
    columns: dict[str, Any] = {"datapath_type": "netdev"}
    columns.update({BRIDGE_COLUMNS[key]: values[key] for key in BRIDGE_COLUMNS if key in values})
    if "protocols" in values:
        columns["protocols"] = values["protocols"]
    other_config = dict(values.get("other_config") or {})
    if "mac" in values:
        other_config["hwaddr"] = values["mac"]
    for column, content in (("other_config", other_config), ("external_ids", values.get("external_ids") or {})):
        if content:
            columns[column] = content
    ports = [
        parse_port(port, where, problems)
        for where, port in read.entries(entry.get("ports"), f"{variable}.ports", "ports", problems)
    ]
    local = {"mtu_request": values["mtu"]} if "mtu" in values else {}
    found = tuple(port for port in ports if port is not None)
    return BridgeSpec(name or "", columns, local, found, values.get("flows"), variable)


def _check_together(bridges: list[BridgeSpec], problems: list[Problem]) -> None:
    """What each may say alone, but not all of them together."""
    names: dict[str, str] = {}
    devices: dict[str, str] = {}
    for bridge in bridges:
        _once(names, bridge.name, f"{bridge.variable}.name", "names of bridges, ports and members", problems)
    for bridge in bridges:
        for port in bridge.ports:
            _once(names, port.name, f"{port.variable}.name", "names of bridges, ports and members", problems)
            for interface in port.interfaces:
                if interface.name != port.name:
                    where = f"{interface.variable}.name"
                    _once(names, interface.name, where, "names of bridges, ports and members", problems)
                device = interface.device_text
                if device:
                    _once(devices, device, interface.variable, "a device", problems)
                _check_bridge_fits(bridge, interface, problems)


def _once(seen: dict[str, str], name: str, variable: str, what: str, problems: list[Problem]) -> None:
    if name and seen.setdefault(name, variable) != variable:
        problems.append(Problem(variable, name, f"stands also in {seen[name]}: {what} can be used once"))


def _check_bridge_fits(bridge: BridgeSpec, interface: InterfaceSpec, problems: list[Problem]) -> None:
    if interface.needs_dpdk and bridge.columns.get("datapath_type") != "netdev":
        shape = f"needs datapath_type: netdev, and {bridge.variable} has {bridge.columns.get('datapath_type')}"
        problems.append(Problem(f"{interface.variable}.type", interface.columns.get("type"), shape))
