# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. From operations to one transaction of the OVSDB protocol (RFC 7047). No I/O.

JSON instead of words for ovs-vsctl: no value needs quoting, and the server takes all of it or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import (
    BRIDGE,
    CONTROLLER,
    INTERFACE,
    MAPS,
    PORT,
    ROOT,
    SETS,
    Cell,
    Database,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_plan import (
    ADD_BRIDGE,
    ADD_PORT,
    DELETE_BRIDGE,
    DELETE_PORT,
    SET,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

Step = dict[str, Any]


class _Builder:
    """Collects the steps; new rows refer to each other by names that hold within the transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.steps: list[Step] = []
        self._new = 0

    def insert(self, table: str, row: Mapping[str, Any]) -> list[str]:
        self._new += 1
        name = f"row{self._new}"
        self.steps.append({"op": "insert", "table": table, "row": dict(row), "uuid-name": name})
        return ["named-uuid", name]

    def mutate(self, table: str, name: str, mutations: list[list[Any]]) -> None:
        self.steps.append({"op": "mutate", "table": table, "where": _where(table, name), "mutations": mutations})

    def add_port(self, name: str, content: Mapping[str, Any]) -> list[str]:
        interfaces = [
            self.insert(INTERFACE, {"name": interface, **self.columns(columns)})
            for interface, columns in content["interfaces"].items()
        ]
        return self.insert(PORT, {"name": name, "interfaces": _set(interfaces), **self.columns(content["port"])})

    def add_bridge(self, name: str, content: Mapping[str, Any]) -> None:
        ports = [self.add_port(port, inner) for port, inner in content["ports"].items()]
        row = {"name": name, "ports": _set(ports), **self.columns(content["bridge"])}
        self.mutate(ROOT, "", [["bridges", "insert", _set([self.insert(BRIDGE, row)])]])

    def columns(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        return {column: self.column(column, value) for column, value in columns.items()}

    def column(self, column: str, value: Any) -> Any:
        if column in MAPS:
            return ["map", [[key, text] for key, text in (value or {}).items()]]
        if column == "controller":
            return _set([self.insert(CONTROLLER, {"target": target}) for target in value or ()])
        if column in SETS:
            return _set(list(value or ()))
        # The one column that is no optional value but a text, where nothing is the empty text.
        if column in ("datapath_type", "type"):
            return value or ""
        return _set([]) if value is None else value

    def set_cells(self, cells: Iterable[tuple[Cell, Any]]) -> None:
        """One step for each row, so that a row's cells change together."""
        rows: dict[tuple[str, str], list[tuple[Cell, Any]]] = {}
        for cell, value in cells:
            rows.setdefault((cell.table, cell.row), []).append((cell, value))
        for (table, name), group in rows.items():
            mutations = [mutation for cell, value in group if cell.key for mutation in _set_key(cell, value)]
            if mutations:
                self.mutate(table, name, mutations)
            columns = {cell.column: self.column(cell.column, value) for cell, value in group if not cell.key}
            if columns:
                self.steps.append({"op": "update", "table": table, "where": _where(table, name), "row": columns})


def transaction(operations: Iterable[Operation], database: Database, comment: str = "nfv.fastpath") -> list[Step]:
    """All operations on the database in one transaction; the last answer has the number that the change got."""
    builder = _Builder(database)
    cells = []
    for step in operations:
        if step.action == DELETE_BRIDGE:
            builder.mutate(ROOT, "", [["bridges", "delete", _reference(database.bridges[step.target].uuid)]])
        elif step.action == DELETE_PORT:
            bridge, port = step.target.split("/", 1)
            builder.mutate(BRIDGE, bridge, [["ports", "delete", _reference(database.ports[port].uuid)]])
        elif step.action == ADD_BRIDGE:
            builder.add_bridge(step.target, step.after)
        elif step.action == ADD_PORT:
            bridge, port = step.target.split("/", 1)
            added = builder.add_port(port, step.after)
            builder.mutate(BRIDGE, bridge, [["ports", "insert", _set([added])]])
        elif step.action == SET:
            cells.append((Cell.parse(step.target), step.after))
    builder.set_cells(cells)
    builder.mutate(ROOT, "", [["next_cfg", "+=", 1]])
    builder.steps.append({"op": "comment", "comment": comment})
    builder.steps.append({"op": "select", "table": ROOT, "where": [], "columns": ["next_cfg"]})
    return builder.steps


def _where(table: str, name: str) -> list[list[Any]]:
    return [] if table == ROOT else [["name", "==", name]]


def _set(items: list[Any]) -> list[Any]:
    return ["set", items]


def _reference(uuid: str) -> list[Any]:
    return _set([["uuid", uuid]])


def _set_key(cell: Cell, value: Any) -> list[list[Any]]:
    """``insert`` leaves a key alone that is there already, so it is deleted first."""
    mutations: list[list[Any]] = [[cell.column, "delete", _set([cell.key])]]
    if value is not None:
        mutations.append([cell.column, "insert", ["map", [[cell.key, value]]]])
    return mutations
