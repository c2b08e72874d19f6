# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An Open vSwitch with an ovs-vswitchd that follows its database at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import (
    BRIDGE,
    DEFAULTS,
    INTERFACE,
    PORT,
    FakeOvsdb,
    FakeStream,
    Refusal,
)

CHANGING = ("insert", "mutate", "update")


class FakeDatabase(FakeOvsdb):
    """``others``: called before each change, as another client would come in between."""

    def __init__(self, rundir: Path) -> None:
        super().__init__()
        self.rundir = rundir
        self.away = False
        self.error = ""
        self.vswitchd = True
        self.changes: list[list[dict[str, Any]]] = []
        self.others: list[Callable[[FakeDatabase], None]] = []
        self._listening: set[str] = set()
        self._one = threading.RLock()

    @property
    def door(self) -> Ovsdb:
        return Ovsdb(_Node(self), timeout=1)

    def add_bridge(self, name: str, datapath: str = "netdev") -> None:
        """A bridge of the administrator."""
        interface, port, bridge = self._uuid(), self._uuid(), self._uuid()
        self.rows[INTERFACE][interface] = {**DEFAULTS[INTERFACE], "name": name, "type": "internal", "ofport": 65534}
        self.rows[PORT][port] = {**DEFAULTS[PORT], "name": name, "interfaces": [interface]}
        row = {"name": name, "datapath_type": datapath, "ports": [port]}
        self.rows[BRIDGE][bridge] = {**DEFAULTS[BRIDGE], **row}
        self.root["bridges"].append(bridge)

    def remove_bridges(self) -> None:
        self.root["bridges"] = []
        self._collect()

    def answer(self, schema: str, *steps: dict[str, Any]) -> list[Any]:
        with self._one:
            changes = any(step["op"] in CHANGING for step in steps)
            try:
                if changes and self.others:
                    self.others.pop(0)(self)
            except Refusal as refusal:
                return [{"error": "constraint violation", "details": str(refusal)}]
            answers = super().answer(schema, *steps)
            if changes and not any("error" in answer for answer in answers):
                self.changes.append(list(steps))
                self._follow()
            return answers

    def ports(self) -> dict[str, dict[str, Any]]:
        """Ports but for the bridges' own."""
        own = set(self.bridges())
        return {row["name"]: row for row in self.rows[PORT].values() if row["name"] not in own}

    def bridges(self) -> set[str]:
        return {row["name"] for row in self.rows[BRIDGE].values()}

    def interface(self, name: str) -> dict[str, Any]:
        return self.named(INTERFACE, name)

    def _follow(self) -> None:
        """Numbers for new interfaces, and sockets where Open vSwitch is the one that listens."""
        if not self.vswitchd:
            return
        gone = self._listening - {row["name"] for row in self.rows[INTERFACE].values()}
        self._listening -= gone
        for name in gone:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._socket(name))
        for number, row in enumerate(self.rows[INTERFACE].values(), start=1):
            if self.error and row["type"].startswith("dpdk"):
                row.update(ofport=-1, error=self.error)
                continue
            row["ofport"] = row["ofport"] or number
            row["mac_in_use"] = "00:00:00:00:00:00"
            if row["type"] == "dpdkvhostuser":
                self._listen(row["name"])
        self.root["cur_cfg"] = self.root["next_cfg"]

    def _listen(self, name: str) -> None:
        target = self._socket(name)
        if name not in self._listening:
            self._listening.add(name)
            os.makedirs(target.parent, exist_ok=True)
            if not os.path.lexists(target):
                make_socket(str(target))

    def _socket(self, name: str) -> Path:
        return self.rundir / self.root["other_config"].get("vhost-sock-dir", "") / name


class _Node(Host):
    """Its only socket leads to the database."""

    def __init__(self, database: FakeDatabase) -> None:
        super().__init__()
        self._database = database

    def connect(self, path: str, timeout: float) -> Any:
        if self._database.away:
            raise ConnectionRefusedError(111, "Connection refused")
        return FakeStream(self._database.answer)
