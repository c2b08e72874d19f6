# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports for vhost-user on Open vSwitch's userspace bridges, in the operations of the role ``ovs_dpdk``.

Every port says in its ``external_ids`` which attachment it belongs to, so it is found again without any file; a
bridge that was made here says so too, and only such a bridge is removed when its last port went.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import BRIDGE, PORT, Database, Row
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_plan import (
    ADD_BRIDGE,
    ADD_PORT,
    DELETE_BRIDGE,
    DELETE_PORT,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import CLIENT, SERVER
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Outdated, Ovsdb, Unreachable
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

from fastpath_agent.cni.errors import INVALID_CONFIG, SWITCH_FAILED, TRY_AGAIN_LATER, CniError
from fastpath_agent.ovs_ports import USER_SPACE_DATAPATH

CONTAINER, INTERFACE, NETWORK = "fastpath-cni-container", "fastpath-cni-interface", "fastpath-cni-network"
MADE = "fastpath-cni-made"
COMMENT = "nfv.fastpath CNI"
ATTEMPTS = 20
TURN_SECONDS = 20.0
PAUSE_SECONDS = 0.02


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

    @property
    def content(self) -> dict[str, Any]:
        """As the planner of ``ovs_dpdk`` describes a new port."""
        interface: dict[str, Any] = {"type": CLIENT if self.socket else SERVER, "external_ids": self.external_ids}
        if self.socket:
            interface["options"] = {"vhost-server-path": self.socket}
        columns: dict[str, Any] = {"external_ids": self.external_ids}
        if self.vlan:
            columns["tag"] = self.vlan
        return {"port": columns, "interfaces": {self.name: interface}}


@dataclass(frozen=True)
class PortState:
    """What ovs-vswitchd made of a port. ``ofport``: None while it has not looked at it."""

    name: str
    kind: str
    ofport: int | None
    error: str
    mac: str


class Switch:
    """``seconds``: how long ovs-vswitchd has to take a port over."""

    def __init__(self, database: Ovsdb, seconds: float = 10) -> None:
        self._database = database
        self._seconds = seconds
        self._change = threading.Lock()

    def ready(self) -> None:
        """CniError where the database is away."""
        self.read()

    def read(self) -> Database:
        with _told():
            return self._database.live()

    def add_port(self, port: Port) -> PortState:
        """The port and, where it is missing, its bridge: all or nothing. Waits until ovs-vswitchd works with it."""
        number = self._retry(lambda: self._add(port))
        return self._await(port, number)

    def delete_port(self, container_id: str, ifname: str) -> None:
        """The attachment's port, whatever it is called, and the bridge that was made for it if that is empty now."""
        self._retry(lambda: self._delete(container_id, ifname))

    def state(self, container_id: str, ifname: str) -> PortState | None:
        database = self.read()
        names = _ports(database, {CONTAINER: container_id, INTERFACE: ifname})
        return _state(database, names[0]) if names else None

    def attachments(self, network: str) -> list[tuple[str, str]]:
        """Container and interface of every port of a network."""
        database = self.read()
        found = [database.ports[name].get("external_ids") for name in _ports(database, {NETWORK: network})]
        return [(ids[CONTAINER], ids[INTERFACE]) for ids in found if CONTAINER in ids and INTERFACE in ids]

    def _add(self, port: Port) -> int:
        database = self._database.live()
        if _is_there(database, port):
            return int(database.root.get("next_cfg") or 0)
        bridge = database.bridges.get(port.bridge)
        if bridge is None:
            step = Operation(ADD_BRIDGE, port.bridge, None, _new_bridge(port))
            expected = _expect(BRIDGE, port.bridge)
        else:
            _check_datapath(port.bridge, bridge)
            step = Operation(ADD_PORT, f"{port.bridge}/{port.name}", None, port.content)
            expected = _expect(BRIDGE, port.bridge, {"datapath_type": USER_SPACE_DATAPATH})
        return self._commit(database, step, expected, _expect(PORT, port.name))

    def _delete(self, container_id: str, ifname: str) -> int:
        database = self._database.live()
        number = 0
        for name in _ports(database, {CONTAINER: container_id, INTERFACE: ifname}):
            bridge = database.bridge_of(name)
            if bridge is not None:
                ports = [["uuid", database.ports[each].uuid] for each in database.bridges[bridge].columns["ports"]]
                same = _expect(BRIDGE, bridge, {"ports": ["set", ports]})
                number = self._commit(database, _removal(database, bridge, name), same)
        return number

    def _commit(self, database: Database, step: Operation, *expected: dict[str, Any]) -> int:
        """Nothing is changed where something is not as it was when this was decided."""
        return self._database.commit([*expected, *transaction([step], database, COMMENT)])

    def _await(self, port: Port, number: int) -> PortState:
        what = f"ovs-vswitchd to take port {port.name} over"
        try:
            self._database.host.wait_for(lambda: self._database.taken_over(number), self._seconds, what)
            state = _state(self._database.live(), port.name)
        except FastpathError as late:
            raise CniError(TRY_AGAIN_LATER, late.message[:500]) from late
        if state is not None and state.error:
            raise CniError(SWITCH_FAILED, f"Open vSwitch cannot make port {port.name}: {state.error}"[:500])
        if state is None or state.ofport is None or state.ofport < 1:
            raise CniError(TRY_AGAIN_LATER, f"ovs-vswitchd has no number for port {port.name}")
        return state

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._change.acquire(timeout=TURN_SECONDS):
            raise CniError(TRY_AGAIN_LATER, f"Open vSwitch has been busy with other ports for {TURN_SECONDS:g} s")
        try:
            yield
        finally:
            self._change.release()

    def _retry(self, change: Callable[[], int]) -> int:
        for _attempt in range(ATTEMPTS):
            try:
                # One after the other: requests of this agent never get into each other's way.
                with self._turn(), _told():
                    return change()
            except Outdated:
                # Another client was quicker; what to do is decided anew.
                time.sleep(PAUSE_SECONDS)
        raise CniError(TRY_AGAIN_LATER, "Open vSwitch's database kept changing while a port was added or removed")


@contextmanager
def _told() -> Iterator[None]:
    """Failures of the database with the codes of the specification."""
    try:
        yield
    except Outdated:
        raise
    except Unreachable as away:
        raise CniError(TRY_AGAIN_LATER, away.message[:500]) from away
    except FastpathError as refused:
        raise CniError(SWITCH_FAILED, refused.message[:500]) from refused


def _ports(database: Database, ids: Mapping[str, str]) -> list[str]:
    return [name for name, row in database.ports.items() if ids.items() <= (row.get("external_ids") or {}).items()]


def _is_there(database: Database, port: Port) -> bool:
    """Whether this very attachment has the port already; another one's is an error."""
    row = database.ports.get(port.name)
    if row is None:
        return False
    if port.external_ids.items() <= (row.get("external_ids") or {}).items():
        return True
    raise CniError(SWITCH_FAILED, f"Open vSwitch has a port {port.name} already, and it is not this attachment's")


def _check_datapath(name: str, bridge: Row) -> None:
    kind = bridge.get("datapath_type")
    if kind != USER_SPACE_DATAPATH:
        raise CniError(
            INVALID_CONFIG,
            f"bridge {name} has datapath_type {kind or 'system'!r}; vhost-user ports need {USER_SPACE_DATAPATH!r}",
        )


def _new_bridge(port: Port) -> dict[str, Any]:
    """With its own port. Without a controller a bridge switches as a switch does: it needs no flow."""
    own = {"port": {}, "interfaces": {port.bridge: {"type": "internal"}}}
    columns = {"datapath_type": USER_SPACE_DATAPATH, "external_ids": {MADE: "true"}}
    return {"bridge": columns, "ports": {port.bridge: own, port.name: port.content}}


def _removal(database: Database, bridge: str, port: str) -> Operation:
    row = database.bridges[bridge]
    left = set(row.columns["ports"]) - {bridge, port}
    if row.get("external_ids", MADE) == "true" and not left:
        return Operation(DELETE_BRIDGE, bridge, None, None)
    return Operation(DELETE_PORT, f"{bridge}/{port}", None, None)


def _expect(table: str, name: str, columns: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A step that stops a transaction, unless the row has these columns, or is absent where none are given."""
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": [["name", "==", name]],
        "columns": list(columns or ("name",)),
        "until": "==",
        "rows": [dict(columns)] if columns else [],
    }


def _state(database: Database, name: str) -> PortState | None:
    row = database.interfaces.get(name)
    if row is None:
        return None
    return PortState(
        name, row.get("type") or "", row.get("ofport"), row.get("error") or "", row.get("mac_in_use") or ""
    )
