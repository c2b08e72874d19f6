# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small OVSDB server: the operations and rules of RFC 7047 that the collection relies on."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host

ROOT, BRIDGE, PORT, INTERFACE, CONTROLLER = "Open_vSwitch", "Bridge", "Port", "Interface", "Controller"
MAPS = ("other_config", "external_ids", "options", "status")
SETS = ("bridges", "ports", "interfaces", "controller", "protocols", "trunks")
DEFAULTS: dict[str, dict[str, Any]] = {
    ROOT: {"other_config": {}, "bridges": [], "next_cfg": 0, "cur_cfg": 0, "dpdk_initialized": False},
    BRIDGE: {
        "name": "",
        "datapath_type": "",
        "fail_mode": None,
        "protocols": [],
        "controller": [],
        "other_config": {},
        "external_ids": {},
        "ports": [],
    },
    PORT: {
        "name": "",
        "interfaces": [],
        "tag": None,
        "trunks": [],
        "vlan_mode": None,
        "bond_mode": None,
        "lacp": None,
        "other_config": {},
        "external_ids": {},
    },
    INTERFACE: {
        "name": "",
        "type": "",
        "mtu_request": None,
        "ofport_request": None,
        "options": {},
        "other_config": {},
        "external_ids": {},
        "error": None,
        "ofport": None,
        "status": {},
        "link_state": None,
        "mac_in_use": None,
        "mtu": None,
    },
    CONTROLLER: {"target": "", "is_connected": False},
}
DEFAULTS[ROOT].update({"dpdk_version": None, "ovs_version": None})
REFERENCES = {
    ROOT: {"bridges": BRIDGE},
    BRIDGE: {"ports": PORT, "controller": CONTROLLER},
    PORT: {"interfaces": INTERFACE},
}
INDEXED = (BRIDGE, PORT, INTERFACE)


class Refusal(Exception):
    """A transaction that the server does not take."""


class Late(Exception):
    """A step that waited for something in vain."""


class FakeStream:
    """A connection to a server: ``transact`` gives the result of that method."""

    def __init__(self, transact: Callable[..., list[Any]]) -> None:
        self._transact = transact
        self._answers = b""

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendall(self, content: bytes) -> None:
        request = json.loads(content)
        assert request["method"] == "transact"
        answer = {"id": request["id"], "result": self._transact(*request["params"]), "error": None}
        self._answers += json.dumps(answer).encode()

    def recv(self, size: int) -> bytes:
        content, self._answers = self._answers[:size], self._answers[size:]
        return content

    def close(self) -> None:
        """Nothing is held."""


class FakeOvsdb:
    """``rows``: columns as plain Python by table and uuid; references are uuids."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.rows: dict[str, dict[str, dict[str, Any]]] = {table: {} for table in DEFAULTS}
        self.rows[ROOT][self._uuid()] = copy.deepcopy(DEFAULTS[ROOT])
        self.commits = 0

    @property
    def root(self) -> dict[str, Any]:
        return next(iter(self.rows[ROOT].values()))

    def named(self, table: str, name: str) -> dict[str, Any]:
        return next(row for row in self.rows[table].values() if row["name"] == name)

    def state(self) -> dict[str, Any]:
        """Everything by name, but for the number of the last change."""
        names = {uuid: row.get("name", row.get("target")) for rows in self.rows.values() for uuid, row in rows.items()}
        found: dict[str, Any] = {}
        for table in (ROOT, *INDEXED):
            for row in self.rows[table].values():
                plain = {column: value for column, value in row.items() if column not in ("next_cfg", "cur_cfg")}
                for column in REFERENCES.get(table, {}):
                    plain[column] = sorted(names[uuid] for uuid in row[column])
                found.setdefault(table, {})[row.get("name", ".")] = plain
        return copy.deepcopy(found)

    def answer(self, schema: str, *steps: dict[str, Any]) -> list[Any]:
        """The result of the method ``transact``."""
        assert schema == ROOT
        before = copy.deepcopy(self.rows)
        answers: list[Any] = []
        new: dict[str, str] = {step["uuid-name"]: self._uuid() for step in steps if "uuid-name" in step}
        try:
            for step in steps:
                answers.append(getattr(self, f"_{step['op']}")(step, new))
            self._collect()
            self._check()
        except Late:
            self.rows = before
            answers.append({"error": "timed out", "details": "it does not hold"})
        except Refusal as refusal:
            self.rows = before
            answers.append({"error": "constraint violation", "details": str(refusal)})
        if self.rows != before:
            self.commits += 1
        return answers

    def _uuid(self) -> str:
        return f"00000000-0000-0000-0000-{next(self._numbers):012}"

    def _rows(self, step: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for uuid, row in self.rows[step["table"]].items():
            if all(operator == "==" and row[column] == value for column, operator, value in step["where"]):
                found.append((uuid, row))
        return found

    def _matching(self, step: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        found = self._rows(step)
        if step["where"] and not found:
            raise Refusal(f"no row matches {step['where']}")
        return found

    def _select(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        rows = []
        for uuid, row in self._matching(step):
            shown = {"_uuid": ["uuid", uuid]} if "_uuid" in step["columns"] else {}
            references = REFERENCES.get(step["table"], {})
            for column in step["columns"]:
                if column != "_uuid":
                    shown[column] = _encode(column, row[column], column in references)
            rows.append(shown)
        return {"rows": rows}

    def _insert(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        row = copy.deepcopy(DEFAULTS[step["table"]])
        self._assign(row, step["row"], new)
        self.rows[step["table"]][new[step["uuid-name"]]] = row
        return {"uuid": ["uuid", new[step["uuid-name"]]]}

    def _update(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        for _uuid, row in self._matching(step):
            self._assign(row, step["row"], new)
        return {"count": 1}

    def _assign(self, row: dict[str, Any], columns: dict[str, Any], new: dict[str, str]) -> None:
        for column, value in columns.items():
            if column not in row:
                raise Refusal(f"no column {column}")
            row[column] = _decode(column, value, new)

    def _mutate(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        for _uuid, row in self._matching(step):
            for column, mutator, value in step["mutations"]:
                self._mutate_column(row, column, mutator, value, new)
        return {"count": 1}

    @staticmethod
    def _mutate_column(row: dict[str, Any], column: str, mutator: str, value: Any, new: dict[str, str]) -> None:
        if mutator == "+=":
            row[column] += value
        elif column in MAPS and mutator == "delete":
            for key in value[1]:
                row[column].pop(key, None)
        elif column in MAPS:
            row[column] = {**dict(value[1]), **row[column]}
        else:
            items = _decode(column, value, new)
            kept = [item for item in row[column] if item not in items]
            row[column] = kept if mutator == "delete" else kept + items

    def _comment(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        return {}

    def _wait(self, step: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
        """Nothing changes meanwhile, so it either holds at once or never."""
        found = [{column: row[column] for column in step["columns"]} for _uuid, row in self._rows(step)]
        expected = [{column: _decode(column, value, new) for column, value in row.items()} for row in step["rows"]]
        if step["until"] != "==" or _sorted(found) != _sorted(expected):
            raise Late
        return {}

    def _collect(self) -> None:
        """Rows that nobody refers to go; a reference to nothing is refused."""
        for table in (ROOT, BRIDGE, PORT):
            for column, target in REFERENCES[table].items():
                referred = {uuid for row in self.rows[table].values() for uuid in row[column]}
                if referred - set(self.rows[target]):
                    raise Refusal(f"{table}.{column} refers to nothing")
                self.rows[target] = {uuid: row for uuid, row in self.rows[target].items() if uuid in referred}

    def _check(self) -> None:
        for table in INDEXED:
            names = [row["name"] for row in self.rows[table].values()]
            if len(names) != len(set(names)):
                raise Refusal(f"{table}: two rows have the same name")
        for row in self.rows[PORT].values():
            if not row["interfaces"]:
                raise Refusal("a port needs an interface")


class OvsdbHost(Host):
    """A node whose socket leads to ``database``."""

    def __init__(self, root: str, run: Callable[..., Completed], database: FakeOvsdb) -> None:
        super().__init__(root, run)
        self._database = database

    def connect(self, path: str, timeout: float) -> FakeStream:
        return FakeStream(self._database.answer)


def _encode(column: str, value: Any, reference: bool) -> Any:
    if column in MAPS:
        return ["map", sorted([key, text] for key, text in value.items())]
    if column in SETS:
        atoms = [["uuid", item] if reference else item for item in value]
        return atoms[0] if len(atoms) == 1 else ["set", atoms]
    return ["set", []] if value is None else value


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows and the sets in them have no order."""
    plain = [{key: sorted(value) if isinstance(value, list) else value for key, value in row.items()} for row in rows]
    return sorted(plain, key=repr)


def _decode(column: str, value: Any, new: dict[str, str]) -> Any:
    def atom(item: Any) -> Any:
        if isinstance(item, list) and item[0] in ("uuid", "named-uuid"):
            return new[item[1]] if item[0] == "named-uuid" else item[1]
        return item

    if column in MAPS:
        return dict(value[1])
    if column in SETS:
        items = value[1] if isinstance(value, list) and value[0] == "set" else [value]
        return [atom(item) for item in items]
    return None if value == ["set", []] else value
