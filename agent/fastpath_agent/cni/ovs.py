# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports for vhost-user on Open vSwitch's userspace bridges.

Every port says in its ``external_ids`` which attachment it belongs to, so it is found again without any file; a
bridge that was made here says so too, and only such a bridge is removed when its last port went.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from fastpath_agent.cni.errors import INVALID_CONFIG, SWITCH_FAILED, TRY_AGAIN_LATER, CniError
from fastpath_agent.cni.ovsdb import Outdated, Ovsdb, as_map, from_map, from_set

CONTAINER, INTERFACE, NETWORK = "fastpath-cni-container", "fastpath-cni-interface", "fastpath-cni-network"
MADE = "fastpath-cni-made"
# Open vSwitch connects to a socket that the container makes; or makes the socket itself.
CONNECTS, LISTENS = "dpdkvhostuserclient", "dpdkvhostuser"
USERSPACE = "netdev"
ATTEMPTS = 20
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Port:
    """``socket``: where Open vSwitch connects to; empty where it listens."""

    bridge: str
    name: str
    container_id: str
    ifname: str
    network: str
    socket: str = ""
    vlan: int = 0

    @property
    def external_ids(self) -> dict[str, str]:
        return {CONTAINER: self.container_id, INTERFACE: self.ifname, NETWORK: self.network}


@dataclass(frozen=True)
class PortState:
    """What ovs-vswitchd made of a port. ``ofport``: None while it has not looked at it."""

    name: str
    kind: str
    ofport: int | None
    error: str
    mac: str
    options: Mapping[str, str]


class Switch:
    """``seconds``: how long ovs-vswitchd has to take a port over."""

    def __init__(
        self, path: str, seconds: float = 10, clock: Callable[[], float] = time.monotonic, database: Ovsdb | None = None
    ) -> None:
        self._database = database or Ovsdb(path)
        self._seconds = seconds
        self._clock = clock

    def ready(self) -> None:
        """CniError where the database is away."""
        self._select("Open_vSwitch", [], ["_uuid"])

    def socket_folder(self) -> str:
        """The folder, below Open vSwitch's own, that it makes sockets in; empty: that one itself."""
        row = self._select("Open_vSwitch", [], ["other_config"])[0]
        return from_map(row.get("other_config")).get("vhost-sock-dir", "")

    def add_port(self, port: Port) -> PortState:
        """The port and, where it is missing, its bridge: all or nothing. Waits until ovs-vswitchd works with it."""
        self._retry(lambda: self._add(port))
        return self._await(port)

    def delete_port(self, container_id: str, ifname: str) -> None:
        """The attachment's port, whatever it is called, and the bridge that was made for it if that is empty now."""
        self._retry(lambda: self._delete(container_id, ifname))

    def state(self, container_id: str, ifname: str) -> PortState | None:
        rows = self._ports({CONTAINER: container_id, INTERFACE: ifname})
        return self._interface(str(rows[0]["name"])) if rows else None

    def attachments(self, network: str) -> list[tuple[str, str]]:
        """Container and interface of every port of a network."""
        found = []
        for row in self._ports({NETWORK: network}):
            ids = from_map(row.get("external_ids"))
            if CONTAINER in ids and INTERFACE in ids:
                found.append((ids[CONTAINER], ids[INTERFACE]))
        return found

    def _add(self, port: Port) -> None:
        if self._same_port(port):
            return
        bridge = self._bridge(port.bridge)
        if bridge is not None and bridge.get("datapath_type") != USERSPACE:
            raise CniError(
                INVALID_CONFIG,
                f"bridge {port.bridge} has datapath_type {bridge.get('datapath_type') or 'system'!r}; "
                f"vhost-user ports need {USERSPACE!r}",
            )
        steps = [_expect("Port", [["name", "==", port.name]], [])]
        steps += _make_bridge(port.bridge) if bridge is None else [_expect_bridge(bridge)]
        self._database.transact([*steps, *_make_port(port), *_number()])

    def _same_port(self, port: Port) -> bool:
        """Whether this very attachment has the port already; another one's is an error."""
        rows = self._select("Port", [["name", "==", port.name]], ["external_ids"])
        if not rows:
            return False
        if port.external_ids.items() <= from_map(rows[0].get("external_ids")).items():
            return True
        raise CniError(SWITCH_FAILED, f"Open vSwitch has a port {port.name} already, and it is not this attachment's")

    def _delete(self, container_id: str, ifname: str) -> None:
        for row in self._ports({CONTAINER: container_id, INTERFACE: ifname}):
            holders = self._select(
                "Bridge", [["ports", "includes", row["_uuid"]]], ["_uuid", "name", "ports", "external_ids"]
            )
            steps: list[dict[str, Any]] = []
            for bridge in holders:
                steps += [_expect_bridge(bridge), *_without(bridge, row["_uuid"], self._own_port(bridge))]
            if steps:
                self._database.transact([*steps, *_number()])

    def _own_port(self, bridge: Mapping[str, Any]) -> Any:
        """The port that every bridge has of itself."""
        rows = self._select("Port", [["name", "==", bridge["name"]]], ["_uuid"])
        return rows[0]["_uuid"] if rows else None

    def _await(self, port: Port) -> PortState:
        deadline = self._clock() + self._seconds
        while True:
            state = self._interface(port.name)
            if state is not None and state.error:
                raise CniError(SWITCH_FAILED, f"Open vSwitch cannot make port {port.name}: {state.error}"[:500])
            if state is not None and state.ofport is not None and state.ofport > 0:
                return state
            if self._clock() > deadline:
                raise CniError(
                    TRY_AGAIN_LATER, f"ovs-vswitchd did not take port {port.name} over in {self._seconds:g} s"
                )
            time.sleep(POLL_SECONDS)

    def _interface(self, name: str) -> PortState | None:
        columns = ["type", "ofport", "error", "mac_in_use", "options"]
        rows = self._select("Interface", [["name", "==", name]], columns)
        if not rows:
            return None
        row = rows[0]
        ofport = from_set(row.get("ofport", ["set", []]))
        return PortState(
            name,
            str(row.get("type", "")),
            ofport[0] if ofport else None,
            " ".join(str(error) for error in from_set(row.get("error", ["set", []]))),
            " ".join(str(mac) for mac in from_set(row.get("mac_in_use", ["set", []]))),
            from_map(row.get("options")),
        )

    def _bridge(self, name: str) -> dict[str, Any] | None:
        columns = ["_uuid", "name", "ports", "datapath_type", "external_ids"]
        return next(iter(self._select("Bridge", [["name", "==", name]], columns)), None)

    def _ports(self, ids: Mapping[str, str]) -> list[dict[str, Any]]:
        return self._select("Port", [["external_ids", "includes", as_map(ids)]], ["_uuid", "name", "external_ids"])

    def _select(self, table: str, where: Sequence[Any], columns: Sequence[str]) -> list[dict[str, Any]]:
        step = {"op": "select", "table": table, "where": list(where), "columns": list(columns)}
        return list(self._database.transact([step])[0].get("rows", []))

    @staticmethod
    def _retry(change: Callable[[], None]) -> None:
        for _attempt in range(ATTEMPTS):
            try:
                return change()
            except Outdated:
                # Another attachment was quicker; what to do is decided anew.
                time.sleep(POLL_SECONDS)
        raise CniError(TRY_AGAIN_LATER, "Open vSwitch's database kept changing while a port was added or removed")


def _expect(table: str, where: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = sorted(rows[0]) if rows else ["name"]
    return {
        "op": "wait", "timeout": 0, "table": table, "where": list(where), "columns": columns, "until": "==",
        "rows": [dict(row) for row in rows],
    }  # fmt: skip


def _expect_bridge(bridge: Mapping[str, Any]) -> dict[str, Any]:
    return _expect("Bridge", [["_uuid", "==", bridge["_uuid"]]], [{"ports": bridge["ports"]}])


def _make_bridge(name: str) -> list[dict[str, Any]]:
    """Without a controller a bridge switches as a switch does: it needs no flow."""
    row = {"name": name, "datapath_type": USERSPACE, "external_ids": as_map({MADE: "true"})}
    mutation = ["bridges", "insert", ["set", [["named-uuid", "new_bridge"]]]]
    return [
        _expect("Bridge", [["name", "==", name]], []),
        {"op": "insert", "table": "Interface", "uuid-name": "own_interface", "row": {"name": name, "type": "internal"}},
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "own_port",
            "row": {"name": name, "interfaces": ["named-uuid", "own_interface"]},
        },
        {
            "op": "insert",
            "table": "Bridge",
            "uuid-name": "new_bridge",
            "row": {**row, "ports": ["set", [["named-uuid", "own_port"]]]},
        },
        {
            "op": "mutate",
            "table": "Open_vSwitch",
            "where": [],
            "mutations": [mutation],
        },
    ]


def _make_port(port: Port) -> list[dict[str, Any]]:
    ids = as_map(port.external_ids)
    interface: dict[str, Any] = {"name": port.name, "type": CONNECTS if port.socket else LISTENS, "external_ids": ids}
    if port.socket:
        interface["options"] = as_map({"vhost-server-path": port.socket})
    row: dict[str, Any] = {"name": port.name, "interfaces": ["named-uuid", "new_interface"], "external_ids": ids}
    if port.vlan:
        row["tag"] = port.vlan
    mutation = ["ports", "insert", ["set", [["named-uuid", "new_port"]]]]
    return [
        {"op": "insert", "table": "Interface", "uuid-name": "new_interface", "row": interface},
        {"op": "insert", "table": "Port", "uuid-name": "new_port", "row": row},
        {"op": "mutate", "table": "Bridge", "where": [["name", "==", port.bridge]], "mutations": [mutation]},
    ]


def _without(bridge: Mapping[str, Any], port: Any, own_port: Any) -> list[dict[str, Any]]:
    """Rows of ports that no bridge refers to go by themselves."""
    left = [other for other in from_set(bridge["ports"]) if other not in (port, own_port)]
    if from_map(bridge.get("external_ids")).get(MADE) == "true" and not left:
        mutation = ["bridges", "delete", ["set", [bridge["_uuid"]]]]
        return [{"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]}]
    mutation = ["ports", "delete", ["set", [port]]]
    return [{"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", bridge["_uuid"]]], "mutations": [mutation]}]


def _number() -> list[dict[str, Any]]:
    """What makes ovs-vswitchd say how far it is; others wait for that number."""
    return [{"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}]
