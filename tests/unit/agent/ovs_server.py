# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch's database behind a socket, with an ovs-vswitchd that takes changes over."""

from __future__ import annotations

import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import BRIDGE, INTERFACE, PORT, FakeOvsdb


class OvsServer(threading.Thread):
    """``running``: whether ovs-vswitchd takes changes over. ``errors``: what it says of interfaces, by name."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.path = str(folder / "db.sock")
        self.database = FakeOvsdb()
        self.running = self.makes_sockets = True
        self.errors: dict[str, str] = {}
        self.connected: set[str] = set()
        self.sockets: dict[str, socket.socket] = {}
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self.start()

    def add_bridge(self, name: str, owner: str | None = "owned", **columns: Any) -> None:
        """A bridge with its own port, as the role or somebody else makes it."""
        ids = {"fastpath": owner} if owner else {}
        row = {"name": name, "datapath_type": "netdev", "external_ids": ids, **columns}
        self.transact(
            {"op": "insert", "table": INTERFACE, "row": {"name": name, "type": "internal"}, "uuid-name": "i"},
            {"op": "insert", "table": PORT, "row": {"name": name, "interfaces": ["named-uuid", "i"]}, "uuid-name": "p"},
            {"op": "insert", "table": BRIDGE, "row": _encoded({**row, "ports": ["named-uuid", "p"]}), "uuid-name": "b"},
            _insert_bridge(),
        )

    def delete_bridge(self, name: str) -> None:
        (uuid,) = [uuid for uuid, row in self.database.rows[BRIDGE].items() if row["name"] == name]
        mutation = ["bridges", "delete", ["set", [["uuid", uuid]]]]
        self.transact({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]})

    def transact(self, *steps: dict[str, Any]) -> None:
        answer = self.database.answer("Open_vSwitch", *steps)
        assert not any(isinstance(item, dict) and "error" in item for item in answer), answer

    def ports(self) -> list[str]:
        return sorted(row["name"] for row in self.database.rows[PORT].values())

    def interface(self, name: str) -> dict[str, Any]:
        return self.database.named(INTERFACE, name)

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for made in self.sockets.values():
            made.close()

    def run(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):
            text = ""
            while True:
                text += connection.recv(65536).decode()
                with suppress(json.JSONDecodeError):
                    request = json.loads(text)
                    break
            with self._lock:
                result = self._result(request["method"], request["params"])
            connection.sendall(json.dumps({"id": request["id"], "result": result, "error": None}).encode())

    def _result(self, method: str, params: list[Any]) -> Any:
        if method == "lock":
            assert params == ["ovs_vswitchd"]
            return {"locked": not self.running}
        found = self.database.answer(*params)
        if self.running:
            self._take_over()
        return found

    def _take_over(self) -> None:
        root = self.database.root
        for row in self.database.rows[INTERFACE].values():
            row["error"] = self.errors.get(row["name"])
            row["link_state"] = "up" if row["name"] in self.connected else "down"
            if row["type"] == "dpdkvhostuser" and row["name"] not in self.sockets and self.makes_sockets:
                self.make_socket(row["name"])
        for name in set(self.sockets) - {row["name"] for row in self.database.rows[INTERFACE].values()}:
            self.sockets.pop(name).close()
        root["cur_cfg"] = root["next_cfg"]

    def make_socket(self, name: str) -> None:
        folder = self.folder / self.database.root["other_config"].get("vhost-sock-dir", "")
        if name in self.sockets:
            self.sockets.pop(name).close()
        with suppress(FileNotFoundError):
            os.unlink(folder / name)
        self.sockets[name] = socket.socket(socket.AF_UNIX)
        self.sockets[name].bind(str(folder / name))
        self.sockets[name].listen()


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: ["map", list(value.items())] if isinstance(value, dict) else value for key, value in row.items()}


def _insert_bridge() -> dict[str, Any]:
    mutation = ["bridges", "insert", ["set", [["named-uuid", "b"]]]]
    return {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]}
