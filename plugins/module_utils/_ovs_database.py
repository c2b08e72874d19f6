# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Open vSwitch's database as one value: rows by name, references as names. No I/O.

Whatever is compared or changed is a ``Cell``: a column of a row, or one key of a column that is a map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ROOT, BRIDGE, PORT, INTERFACE, CONTROLLER = "Open_vSwitch", "Bridge", "Port", "Interface", "Controller"
ROOT_ROW = "."
MARKER = "fastpath"
OWNED = "owned"

MAPS = ("other_config", "external_ids", "options")
SETS = ("protocols", "trunks", "controller")
# What is brought about. Further columns are only looked at.
MANAGED: Mapping[str, tuple[str, ...]] = {
    ROOT: ("other_config",),
    BRIDGE: ("datapath_type", "fail_mode", "protocols", "controller", "other_config", "external_ids"),
    PORT: ("tag", "trunks", "vlan_mode", "bond_mode", "lacp", "other_config", "external_ids"),
    INTERFACE: ("type", "mtu_request", "ofport_request", "options", "other_config", "external_ids"),
}
WATCHED: Mapping[str, tuple[str, ...]] = {
    ROOT: ("bridges", "next_cfg", "cur_cfg", "dpdk_initialized", "dpdk_version", "ovs_version"),
    BRIDGE: ("name", "ports"),
    PORT: ("name", "interfaces"),
    INTERFACE: ("name", "error", "ofport", "status", "link_state", "mac_in_use", "mtu"),
    CONTROLLER: ("target", "is_connected"),
}
TABLES = (ROOT, BRIDGE, PORT, INTERFACE, CONTROLLER)


@dataclass(frozen=True, order=True)
class Cell:
    """``key`` is empty for a column that is no map. Names of rows have no slash in them."""

    table: str
    row: str
    column: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.table}/{self.row}/{self.column}" + (f":{self.key}" if self.key else "")

    @staticmethod
    def parse(text: str) -> Cell:
        table, row, place = text.split("/", 2)
        column, _colon, key = place.partition(":")
        return Cell(table, row, column, key)


@dataclass(frozen=True)
class Row:
    """Columns as Python values: maps as dict, sets as sorted tuple, what is absent as None."""

    uuid: str
    columns: Mapping[str, Any] = field(default_factory=dict)

    def get(self, column: str, key: str = "") -> Any:
        value = self.columns.get(column)
        return (value or {}).get(key) if key else value

    @property
    def owned(self) -> bool:
        return bool(self.get("external_ids", MARKER) == OWNED)


@dataclass(frozen=True)
class Database:
    """``tables``: rows by table and name. ``connected``: controllers by bridge and target."""

    tables: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    connected: Mapping[tuple[str, str], bool] = field(default_factory=dict)

    @property
    def root(self) -> Row:
        return self.tables.get(ROOT, {}).get(ROOT_ROW) or Row("")

    @property
    def bridges(self) -> Mapping[str, Row]:
        return self.tables.get(BRIDGE, {})

    @property
    def ports(self) -> Mapping[str, Row]:
        return self.tables.get(PORT, {})

    @property
    def interfaces(self) -> Mapping[str, Row]:
        return self.tables.get(INTERFACE, {})

    def row(self, table: str, name: str) -> Row | None:
        return self.tables.get(table, {}).get(name)

    def value(self, cell: Cell) -> Any:
        row = self.row(cell.table, cell.row)
        return None if row is None else row.get(cell.column, cell.key)

    def bridge_of(self, port: str) -> str | None:
        return next((name for name, row in self.bridges.items() if port in row.columns["ports"]), None)

    def port_of(self, interface: str) -> str | None:
        return next((name for name, row in self.ports.items() if interface in row.columns["interfaces"]), None)

    def further_ports(self) -> tuple[str, ...]:
        """All ports but those that each bridge has of itself."""
        return tuple(sorted(name for name in self.ports if name not in self.bridges))


def selection() -> list[dict[str, Any]]:
    """The operations that read everything in one transaction, and so in one state."""
    return [
        {
            "op": "select",
            "table": table,
            "where": [],
            "columns": ["_uuid", *MANAGED.get(table, ()), *WATCHED[table]],
        }
        for table in TABLES
    ]


def parse_selection(results: list[dict[str, Any]]) -> Database:
    """Answers to ``selection()``, in its order."""
    rows = {table: [_plain(row) for row in result["rows"]] for table, result in zip(TABLES, results)}
    names: dict[str, str] = {}
    for table in (BRIDGE, PORT, INTERFACE):
        names.update({row["_uuid"]: row["name"] for row in rows[table]})
    names.update({row["_uuid"]: row["target"] for row in rows[CONTROLLER]})
    connected = {row["_uuid"]: bool(row["is_connected"]) for row in rows[CONTROLLER]}
    references = {ROOT: ("bridges",), BRIDGE: ("ports", "controller"), PORT: ("interfaces",)}
    links = {
        (bridge["name"], names[uuid]): connected[uuid]
        for bridge in rows[BRIDGE]
        for uuid in bridge["controller"]
        if uuid in names
    }
    tables: dict[str, dict[str, Row]] = {}
    for table in (ROOT, BRIDGE, PORT, INTERFACE):
        for row in rows[table]:
            for column in references.get(table, ()):
                row[column] = tuple(sorted(names[uuid] for uuid in row[column] if uuid in names))
            name = ROOT_ROW if table == ROOT else row["name"]
            tables.setdefault(table, {})[name] = Row(row.pop("_uuid"), row)
    return Database(tables, links)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column: _value(column, value) for column, value in row.items()}


def _value(column: str, value: Any) -> Any:
    if isinstance(value, list) and value[0] == "map":
        return dict(value[1])
    many = column in SETS or column in ("bridges", "ports", "interfaces")
    items = value[1] if isinstance(value, list) and value[0] == "set" else [value]
    atoms = [atom[1] if isinstance(atom, list) else atom for atom in items]
    if many:
        return tuple(sorted(atoms))
    return atoms[0] if atoms and atoms[0] != "" else None


def flatten(table: str, row: str, columns: Mapping[str, Any]) -> Iterator[tuple[Cell, Any]]:
    """Cells of a row; the mark of ownership is none of them."""
    for column, value in columns.items():
        if column not in MAPS:
            yield Cell(table, row, column), value
            continue
        for key, text in value.items():
            if (column, key) != ("external_ids", MARKER):
                yield Cell(table, row, column, key), text


def managed_columns(table: str, row: Row) -> dict[str, Any]:
    """What is there in the columns that are brought about."""
    return {column: as_plain(row.get(column)) for column in MANAGED[table] if row.get(column) not in (None, (), {})}


def as_plain(value: Any) -> Any:
    """A value as JSON has it."""
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def port_content(database: Database, name: str) -> dict[str, Any]:
    """All of a port, so that it can be made again."""
    row = database.ports[name]
    members = {
        member: managed_columns(INTERFACE, database.interfaces[member])
        for member in row.columns["interfaces"]
        if member in database.interfaces
    }
    return {"port": managed_columns(PORT, row), "interfaces": members}


def bridge_content(database: Database, name: str) -> dict[str, Any]:
    row = database.bridges[name]
    ports = {port: port_content(database, port) for port in row.columns["ports"] if port in database.ports}
    return {"bridge": managed_columns(BRIDGE, row), "ports": ports}
