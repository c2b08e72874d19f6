# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The Open vSwitch planner: from what is and what shall be to operations. No I/O.

Rows that the collection made carry a mark and are removed as a whole. In all other rows only single cells
are set, and the record has what stood there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import (
    BRIDGE,
    INTERFACE,
    MARKER,
    OWNED,
    PORT,
    ROOT,
    ROOT_ROW,
    Cell,
    as_plain,
    bridge_content,
    flatten,
    port_content,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import DEVARGS, InterfaceSpec, PortSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_restart import restart_reason
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import BridgeSpec, OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import (
    DROP_IN,
    OvsState,
    find_vf,
    flows_path,
    takes_bundles,
    wanted_files,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

ADD_BRIDGE, DELETE_BRIDGE, ADD_PORT, DELETE_PORT = "add_bridge", "delete_bridge", "add_port", "delete_port"
SET, RECONFIGURE = "set", "reconfigure"
IN_DATABASE = (ADD_BRIDGE, DELETE_BRIDGE, ADD_PORT, DELETE_PORT, SET, RECONFIGURE)
START_SERVER, START, RESTART = "start_ovsdb_server", "start_vswitchd", "restart_vswitchd"
WRITE_FILE, REMOVE_FILE, REPLACE_FLOWS, FORGET = "write_file", "remove_file", "replace_flows", "forget_cells"
SERVICE, SERVER_SERVICE = "ovs-vswitchd.service", "ovsdb-server.service"
CELLS = "cells"


@dataclass
class _Changes:
    """What happens to rows; ``gone``: names of ports and bridges that are deleted, also to be made anew."""

    operations: list[Operation] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)


def resolve(current: OvsState, spec: OvsSpec) -> tuple[OvsSpec, list[Problem]]:
    """The spec with the addresses of VFs in place of their selectors."""
    problems: list[Problem] = []

    def interface(item: InterfaceSpec) -> InterfaceSpec:
        if item.device is None or isinstance(item.device, str):
            return item
        address, why = find_vf(current.facts, item.device)
        if address is None:
            problems.append(Problem(f"{item.variable}.vf", str(item.device), why))
        options = {**item.columns.get("options", {}), DEVARGS: address or str(item.device)}
        return replace(item, columns={**item.columns, "options": options}, device=address or str(item.device))

    bridges = tuple(
        replace(
            bridge,
            ports=tuple(
                replace(port, interfaces=tuple(interface(item) for item in port.interfaces)) for port in bridge.ports
            ),
        )
        for bridge in spec.bridges
    )
    return replace(spec, bridges=bridges), problems


def plan(current: OvsState, spec: OvsSpec, warnings: tuple[str, ...] = ()) -> Plan:
    """``spec`` is resolved. Raises Refused where it collides with what others made."""
    return _plan(current, spec, wanted_files(spec), warnings)


def plan_teardown(current: OvsState) -> Plan:
    """Nothing is wanted: rows of ours go, cells in the record are as they were. The whole record is dropped later."""
    work = _plan(current, OvsSpec(), {}, ())
    return replace(work, operations=tuple(step for step in work.operations if step.action != FORGET))


def _plan(current: OvsState, spec: OvsSpec, files: Mapping[str, str], warnings: tuple[str, ...]) -> Plan:
    changes = _Changes()
    _rows(current, spec, changes)
    if changes.problems:
        raise Refused(changes.problems)
    cells = dict(_cells(current, spec, changes))
    sets = [
        _set(current, cell, value)
        for cell, value in _targets(current, cells, changes)
        if _differs(current, cell, value)
    ]
    database = [*changes.operations, *sets, *_retries(current, spec, changes)]
    steps = [*_file_operations(current, files), *_start_server(current, database), *database]
    steps += _restart(current, spec, steps, changes)
    steps += _flow_operations(current, spec, changes, any(step.action in (START, RESTART) for step in steps))
    forgotten = sorted(text for text in current.record.get(CELLS, {}) if Cell.parse(text) not in cells)
    if forgotten:
        steps.append(Operation(FORGET, "record", forgotten, None))
    shown = [step for step in steps if step.action != FORGET]
    return Plan(
        operations=tuple(steps),
        before={f"{step.action} {step.target}": step.before for step in shown},
        after={f"{step.action} {step.target}": step.after for step in shown},
        warnings=warnings,
    )


def record(current: OvsState, work: Plan) -> dict[str, Any]:
    """The record before ``work``: each cell as it was when it was first set; in new rows there was nothing."""
    cells = dict(current.record.get(CELLS, {}))
    for step in work.operations:
        if step.action == SET:
            cells.setdefault(step.target, step.before)
        elif step.action == ADD_PORT:
            for cell, _value in _port_cells(step.target.split("/", 1)[1], step.after):
                cells.setdefault(str(cell), None)
        elif step.action == ADD_BRIDGE:
            for cell, _value in _bridge_cells(step.target, step.after):
                cells.setdefault(str(cell), None)
    return {**current.record, CELLS: cells}


def inverse(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """What takes changes of the database back, in order."""
    opposite = {ADD_BRIDGE: DELETE_BRIDGE, DELETE_BRIDGE: ADD_BRIDGE, ADD_PORT: DELETE_PORT, DELETE_PORT: ADD_PORT}
    return tuple(
        Operation(opposite.get(step.action, step.action), step.target, step.after, step.before)
        for step in reversed(tuple(operations))
        if step.action in IN_DATABASE
    )


def _rows(current: OvsState, spec: OvsSpec, changes: _Changes) -> None:
    """Bridges and ports to be deleted and made. Deletions come first: a port may move to another bridge."""
    database = current.database
    wanted_bridges = {bridge.name: bridge for bridge in spec.bridges}
    wanted_ports = {port.name: (bridge.name, port) for bridge, port in spec.ports}
    for name, row in sorted(database.bridges.items()):
        if row.owned and name not in wanted_bridges:
            _delete_bridge(current, name, changes)
    for name, row in sorted(database.ports.items()):
        bridge = database.bridge_of(name)
        if name in database.bridges or bridge in changes.gone or bridge is None or not row.owned:
            continue
        if name not in wanted_ports or _must_be_made_anew(current, *wanted_ports[name]):
            changes.operations.append(Operation(DELETE_PORT, f"{bridge}/{name}", port_content(database, name), None))
            changes.gone.update((name, *row.columns["interfaces"]))
    for bridge_spec in spec.bridges:
        _add(current, bridge_spec, changes)


def _delete_bridge(current: OvsState, name: str, changes: _Changes) -> None:
    database = current.database
    ports = database.bridges[name].columns["ports"]
    foreign = [port for port in ports if port != name and not database.ports[port].owned]
    reason = f"others put {', '.join(foreign)} on this bridge" if foreign else ""
    step = Operation(DELETE_BRIDGE, name, bridge_content(database, name), None, bool(foreign), reason)
    changes.operations.append(step)
    changes.gone.update(
        (name, *ports, *(item for port in ports for item in database.ports[port].columns["interfaces"]))
    )


def _must_be_made_anew(current: OvsState, bridge: str, port: PortSpec) -> bool:
    database = current.database
    row = database.ports[port.name]
    if database.bridge_of(port.name) != bridge or set(row.columns["interfaces"]) != {i.name for i in port.interfaces}:
        return True
    return any(_type(current, interface.name) != interface.type for interface in port.interfaces)


def _type(current: OvsState, interface: str) -> str:
    row = current.database.interfaces.get(interface)
    return str((row.get("type") if row else None) or "system")


def _add(current: OvsState, bridge: BridgeSpec, changes: _Changes) -> None:
    database = current.database
    new = bridge.name not in database.bridges
    if new and bridge.name in database.ports and bridge.name not in changes.gone:
        other = database.bridge_of(bridge.name)
        changes.problems.append(Problem(f"{bridge.variable}.name", bridge.name, f"is a port of bridge {other}"))
        return
    if bridge.flows is not None and not new and not database.bridges[bridge.name].owned:
        shape = "can be given for bridges that this collection makes, and this one was made by others"
        changes.problems.append(Problem(f"{bridge.variable}.flows", list(bridge.flows), shape))
    ports = {}
    for port in bridge.ports:
        if port.name in database.ports and port.name not in changes.gone:
            _check_adopted(current, bridge.name, port, changes.problems)
            continue
        _check_free(current, port, changes)
        ports[port.name] = _port_content(port)
        changes.made.update((port.name, *(interface.name for interface in port.interfaces)))
    if new:
        changes.operations.append(Operation(ADD_BRIDGE, bridge.name, None, _bridge_content(bridge, ports)))
        changes.made.add(bridge.name)
    else:
        changes.operations += [
            Operation(ADD_PORT, f"{bridge.name}/{name}", None, content) for name, content in ports.items()
        ]


def _check_adopted(current: OvsState, bridge: str, port: PortSpec, problems: list[Problem]) -> None:
    """A port that others made is taken as it is, or not at all."""
    if not _must_be_made_anew(current, bridge, port):
        return
    row = current.database.ports[port.name]
    kinds = ", ".join(f"{name} ({_type(current, name)})" for name in row.columns["interfaces"])
    there = f"is there already, with {kinds} on bridge {current.database.bridge_of(port.name)}, and was made by others"
    problems.append(Problem(f"{port.variable}.name", port.name, f"{there}: choose another name, or delete it first"))


def _check_free(current: OvsState, port: PortSpec, changes: _Changes) -> None:
    for interface in port.interfaces:
        owner = current.database.port_of(interface.name)
        if owner is not None and owner not in changes.gone:
            where = f"{interface.variable}.name"
            changes.problems.append(Problem(where, interface.name, f"is an interface of port {owner} already"))


def _marked(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a new row: without what is emptied, with our mark."""
    kept: dict[str, Any] = {}
    for column, value in columns.items():
        plain = as_plain(value)
        if isinstance(plain, dict):
            plain = {key: text for key, text in plain.items() if text is not None}
        if plain not in (None, [], {}):
            kept[column] = plain
    kept["external_ids"] = {**kept.get("external_ids", {}), MARKER: OWNED}
    return kept


def _port_content(port: PortSpec) -> dict[str, Any]:
    return {
        "port": _marked(port.columns),
        "interfaces": {interface.name: _marked(interface.columns) for interface in port.interfaces},
    }


def _bridge_content(bridge: BridgeSpec, ports: Mapping[str, Any]) -> dict[str, Any]:
    local = {"port": _marked({}), "interfaces": {bridge.name: _marked({"type": "internal", **bridge.local})}}
    return {"bridge": _marked(bridge.columns), "ports": {bridge.name: local, **ports}}


def _port_cells(name: str, content: Mapping[str, Any]) -> Iterator[tuple[Cell, Any]]:
    yield from flatten(PORT, name, content["port"])
    for interface, columns in content["interfaces"].items():
        yield from flatten(INTERFACE, interface, columns)


def _bridge_cells(name: str, content: Mapping[str, Any]) -> Iterator[tuple[Cell, Any]]:
    yield from flatten(BRIDGE, name, content["bridge"])
    for port, inner in content["ports"].items():
        yield from _port_cells(port, inner)


def _cells(current: OvsState, spec: OvsSpec, changes: _Changes) -> Iterator[tuple[Cell, Any]]:
    """Every cell that is asked for, and those that new rows bring along."""
    for key, text in spec.other_config.items():
        yield Cell(ROOT, ROOT_ROW, "other_config", key), text
    for bridge in spec.bridges:
        content = {port.name: _port_content(port) for port in bridge.ports}
        yield from _bridge_cells(bridge.name, _bridge_content(bridge, content))
        yield from flatten(BRIDGE, bridge.name, bridge.columns)
        yield from flatten(INTERFACE, bridge.name, bridge.local)
        for port in bridge.ports:
            yield from flatten(PORT, port.name, port.columns)
            for interface in port.interfaces:
                yield from flatten(INTERFACE, interface.name, interface.columns)


def _targets(current: OvsState, cells: Mapping[Cell, Any], changes: _Changes) -> list[tuple[Cell, Any]]:
    """Cells of rows that stay, with the value they shall have: what is asked for, else what was there before."""
    former = {Cell.parse(text): value for text, value in current.record.get(CELLS, {}).items()}
    passing = changes.gone | changes.made
    return [
        (cell, value)
        for cell, value in sorted({**former, **cells}.items(), key=lambda item: item[0])
        if cell.table == ROOT or (cell.row not in passing and current.database.row(cell.table, cell.row) is not None)
    ]


def _differs(current: OvsState, cell: Cell, value: Any) -> bool:
    return bool(_normal(current.database.value(cell)) != _normal(value))


def _normal(value: Any) -> Any:
    """An empty set is as good as nothing, and JSON has lists where there were tuples."""
    plain = list(value) if isinstance(value, tuple) else value
    return None if plain in ([], {}) else plain


def _set(current: OvsState, cell: Cell, value: Any) -> Operation:
    reason = ""
    ports = current.database.bridges[cell.row].columns["ports"] if cell.table == BRIDGE else ()
    if cell.column == "datapath_type" and len(ports) > 1:
        reason = (
            f"all ports of the bridge leave their datapath ({', '.join(port for port in ports if port != cell.row)})"
        )
    before = as_plain(current.database.value(cell))
    return Operation(SET, str(cell), before, as_plain(value), bool(reason), reason)


def _retries(current: OvsState, spec: OvsSpec, changes: _Changes) -> list[Operation]:
    """Interfaces that are as wanted, but that ovs-vswitchd could not make: any change makes it try again."""
    wanted = [interface.name for interface in spec.interfaces if interface.name not in changes.made]
    rows = {name: current.database.interfaces[name] for name in wanted if name in current.database.interfaces}
    if not current.service.running:
        return []
    return [
        Operation(RECONFIGURE, f"{INTERFACE}/{name}", row.get("error"), None)
        for name, row in rows.items()
        if row.get("error")
    ]


def _file_operations(current: OvsState, files: Mapping[str, str]) -> list[Operation]:
    steps = [
        Operation(WRITE_FILE, path, current.files.get(path), text)
        for path, text in sorted(files.items())
        if current.files.get(path) != text
    ]
    return steps + [
        Operation(REMOVE_FILE, path, current.files[path], None) for path in sorted(set(current.files) - set(files))
    ]


def _start_server(current: OvsState, database: list[Operation]) -> list[Operation]:
    if current.service.server or not database:
        return []
    return [Operation(START_SERVER, SERVER_SERVICE, False, True)]


def _restart(current: OvsState, spec: OvsSpec, steps: list[Operation], changes: _Changes) -> list[Operation]:
    service = current.service
    if not service.running:
        wanted = bool(spec.bridges or spec.other_config or (service.installed and current.record))
        return [Operation(START, SERVICE, False, True)] if wanted else []
    changed = [Cell.parse(step.target) for step in steps if step.action == SET]
    why = restart_reason(current, spec, [cell.key for cell in changed if cell.table == ROOT])
    if not why:
        return []
    ports = [port for port in current.database.further_ports() if port not in changes.gone]
    reason = f"{why}, and meanwhile {', '.join(ports)} forward nothing" if ports else why
    return [Operation(RESTART, SERVICE, service.running_program, service.selected_program, bool(ports), reason)]


def _flow_operations(current: OvsState, spec: OvsSpec, changes: _Changes, started: bool) -> list[Operation]:
    """A start brings the flows by itself, out of the drop-in. Bridges of others keep theirs."""
    found = []
    for bridge in spec.bridges:
        stale = bridge.name in changes.made or bridge.name in current.other_flows
        if bridge.flows is not None and stale and not started:
            found.append(_replace_flows(bridge, bridge.flows))
        elif bridge.flows is None and flows_path(bridge.name) in current.files and not started:
            default = () if bridge.columns.get("fail_mode") == "secure" else ("priority=0,actions=NORMAL",)
            found.append(_replace_flows(bridge, default))
    return found


def _replace_flows(bridge: BridgeSpec, flows: tuple[str, ...]) -> Operation:
    return Operation(REPLACE_FLOWS, bridge.name, None, {"flows": list(flows), "bundle": takes_bundles(bridge)})


def changes_units(work: Plan) -> bool:
    """Whether systemd has to read its units again."""
    return any(step.target == DROP_IN for step in work.operations if step.action in (WRITE_FILE, REMOVE_FILE))
