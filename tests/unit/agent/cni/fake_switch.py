# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Open vSwitch database that carries out transactions as RFC 7047 says, and an ovs-vswitchd that follows it."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.ovsdb import Outdated, from_map, from_set

TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")


class FakeDatabase:
    """``others``: called before each change, as another client would come in between."""

    def __init__(self, rundir: Path) -> None:
        self.rundir = rundir
        self.tables: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in TABLES}
        self.tables["Open_vSwitch"]["root"] = {"bridges": [], "next_cfg": 0, "other_config": ["map", []]}
        self.away = False
        self.error = ""
        self.vswitchd = True
        self.transactions: list[list[Mapping[str, Any]]] = []
        self.others: list[Any] = []
        self._listening: set[str] = set()
        self._count = 0
        self._lock = threading.Lock()

    def add_bridge(self, name: str, datapath: str = "netdev") -> None:
        """A bridge of the administrator."""
        self.tables["Interface"][f"i-{name}"] = {"name": name, "type": "internal", "ofport": 65534}
        self.tables["Port"][f"p-{name}"] = {"name": name, "interfaces": ["uuid", f"i-{name}"]}
        self.tables["Bridge"][f"b-{name}"] = {
            "name": name,
            "datapath_type": datapath,
            "ports": ["set", [["uuid", f"p-{name}"]]],
        }
        self.tables["Open_vSwitch"]["root"]["bridges"].append(["uuid", f"b-{name}"])

    def transact(self, steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        with self._lock:
            if self.away:
                raise CniError(11, "Open vSwitch's database is away")
            changes = any(step["op"] in ("insert", "mutate") for step in steps)
            if changes and self.others:
                self.others.pop(0)(self)
            self.transactions.append([dict(step) for step in steps])
            before = copy.deepcopy(self.tables)
            try:
                names: dict[str, str] = {}
                answers = [self._execute(step, names) for step in steps]
                self._resolve(names)
                self._collect()
                self._unique()
            except BaseException:
                self.tables = before
                raise
            if changes:
                self._vswitchd()
            return answers

    def ports(self) -> dict[str, dict[str, Any]]:
        """Ports but for the bridges' own."""
        own = set(self.bridges())
        return {row["name"]: row for row in self.tables["Port"].values() if row["name"] not in own}

    def bridges(self) -> set[str]:
        return {row["name"] for row in self.tables["Bridge"].values()}

    def interface(self, name: str) -> dict[str, Any]:
        return next(row for row in self.tables["Interface"].values() if row["name"] == name)

    def _execute(self, step: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
        table = self.tables[step["table"]]
        if step["op"] == "insert":
            self._count += 1
            uuid = f"u{self._count}"
            table[uuid] = copy.deepcopy(dict(step["row"]))
            if "uuid-name" in step:
                names[step["uuid-name"]] = uuid
            return {"uuid": ["uuid", uuid]}
        rows = {uuid: row for uuid, row in table.items() if all(_holds(uuid, row, each) for each in step["where"])}
        if step["op"] == "select":
            return {"rows": [_columns(uuid, row, step["columns"]) for uuid, row in rows.items()]}
        if step["op"] == "wait":
            found = [_columns(uuid, row, step["columns"]) for uuid, row in rows.items()]
            if (_sorted(found) == _sorted(step["rows"])) != (step["until"] == "=="):
                raise Outdated
            return {}
        assert step["op"] == "mutate", step
        for row in rows.values():
            for column, how, value in step["mutations"]:
                row[column] = _mutated(row.get(column, ["set", []]), how, value)
        return {"count": len(rows)}

    def _resolve(self, names: Mapping[str, str]) -> None:
        def real(value: Any) -> Any:
            if isinstance(value, list) and value[:1] == ["named-uuid"]:
                return ["uuid", names[value[1]]]
            return [real(each) for each in value] if isinstance(value, list) else value

        for table in self.tables.values():
            for row in table.values():
                for column in row:
                    row[column] = real(row[column])

    def _collect(self) -> None:
        """Rows that nothing refers to go."""
        for holder, column, held in (
            ("Open_vSwitch", "bridges", "Bridge"),
            ("Bridge", "ports", "Port"),
            ("Port", "interfaces", "Interface"),
        ):
            used = {
                tuple(each)
                for row in self.tables[holder].values()
                for each in _references(row.get(column, ["set", []]))
            }
            self.tables[held] = {uuid: row for uuid, row in self.tables[held].items() if ("uuid", uuid) in used}

    def _unique(self) -> None:
        for table in ("Bridge", "Port", "Interface"):
            names = [row["name"] for row in self.tables[table].values()]
            if len(names) != len(set(names)):
                raise CniError(104, f"constraint violation: two rows of {table} with one name")

    def _vswitchd(self) -> None:
        """Numbers for new interfaces, and sockets where Open vSwitch is the one that listens."""
        if not self.vswitchd:
            return
        gone = self._listening - {row["name"] for row in self.tables["Interface"].values()}
        self._listening -= gone
        for name in gone:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._socket(name))
        for number, row in enumerate(self.tables["Interface"].values(), start=1):
            if self.error and row["type"].startswith("dpdk"):
                row.update(ofport=-1, error=self.error)
                continue
            row.setdefault("ofport", number)
            row.setdefault("mac_in_use", "00:00:00:00:00:00")
            if row["type"] == "dpdkvhostuser":
                self.listen(row["name"])

    def listen(self, name: str) -> None:
        from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import make_socket

        target = self._socket(name)
        if name not in self._listening:
            self._listening.add(name)
            os.makedirs(target.parent, exist_ok=True)
            if not os.path.lexists(target):
                make_socket(str(target))

    def _socket(self, name: str) -> Path:
        folder = from_map(self.tables["Open_vSwitch"]["root"]["other_config"]).get("vhost-sock-dir", "")
        return self.rundir / folder / name


def _holds(uuid: str, row: Mapping[str, Any], condition: Sequence[Any]) -> bool:
    column, how, value = condition
    present = ["uuid", uuid] if column == "_uuid" else row.get(column, ["set", []])
    if how == "==":
        return present == value
    assert how == "includes", condition
    if isinstance(value, list) and value[:1] == ["map"]:
        return from_map(value).items() <= from_map(present).items()
    return value in _references(present)


def _references(value: Any) -> list[Any]:
    if isinstance(value, list) and value[:1] == ["uuid"]:
        return [value]
    if isinstance(value, list) and value and isinstance(value[0], list):
        return value
    return from_set(value)


def _columns(uuid: str, row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {
        column: ["uuid", uuid] if column == "_uuid" else copy.deepcopy(row.get(column, ["set", []]))
        for column in columns
    }


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def _mutated(present: Any, how: str, value: Any) -> Any:
    if how == "+=":
        return present + value
    members = _references(present)
    change = from_set(value)
    left = [each for each in members if each not in change]
    result = left + change if how == "insert" else left
    return result if isinstance(present, list) and present and isinstance(present[0], list) else ["set", result]
