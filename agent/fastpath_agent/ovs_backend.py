# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The back end with a port of Open vSwitch for each pod. The process behind the socket is the node's ovs-vswitchd.

The rule is a ``dpdkvhostuserclient`` port: the pod makes the socket, and Open vSwitch connects to it, again after each
restart of either. A pod that can only be a client gets a ``dpdkvhostuser`` port, whose socket Open vSwitch makes in its
own folder, from where it is moved.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Database
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb

from fastpath_agent.backend import Backend
from fastpath_agent.config import OVS, Config, Pool
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import DeviceState, Mode, NotPossible, NotReady, PodOwner, SocketError, SocketLease
from fastpath_agent.ovs_ports import PodPort, bridge_problem, made_by_the_agent, made_socket, plan_ports
from fastpath_agent.unix_sockets import is_socket

# With the pause between two looks no more than 10 s, after which a pod is told.
DATABASE_SECONDS = 6
TAKE_OVER_SECONDS = 15.0
TURN_SECONDS = 20.0
COMMENT = "nfv.fastpath agent"


class OvsBackend(Backend):
    """A device of this back end is ``POOL/PORT``: it comes and goes with its lease."""

    name = OVS

    def __init__(self, config: Config, folders: PodFolders, database: Ovsdb) -> None:
        self._config = config
        self._folders = folders
        self._database = database
        self._work = threading.Lock()
        self._ports: dict[str, PodPort] = {}
        self._states: list[DeviceState] = []
        self.problem = ""

    def candidates(self, wanted: str, owner: PodOwner) -> list[str] | None:
        pool = self._config.pool(wanted)
        if pool is None or pool.backend != OVS:
            return None
        return [f"{pool.name}/{owner.container_id[:12]}-{owner.ifname}"]

    def lease(self, device: str, owner: PodOwner, mode: Mode) -> SocketLease:
        return self._folders.lease(OVS, device, device.rpartition("/")[2], owner, mode)

    def attach(self, lease: SocketLease) -> None:
        port = PodPort(self._pool(lease), lease)
        with self._turn():
            self._ports[lease.device] = port
            self._folders.make(lease, port.pool.access)
            self._bring_about()
            database = self._database.live()
            error = _error(database, port)
            if error:
                raise NotReady(error)
            if lease.mode == "client":
                self._fetch(database, port)

    def detach(self, lease: SocketLease) -> None:
        with self._turn():
            known = self._ports.pop(lease.device, None)
            try:
                self._bring_about()
            except FastpathError:
                # It stays to be taken back: the caller keeps the lease and comes again.
                if known is not None:
                    self._ports[lease.device] = known
                raise
        self._folders.remove_socket(lease)

    def restore(self, leases: Sequence[SocketLease]) -> None:
        """Ports that a former boot left in the database's file belong to nobody, and go with the first ``tend``."""
        with self._turn():
            for lease in leases:
                pool = self._config.pool(lease.device.partition("/")[0])
                if pool is not None and pool.backend == OVS:
                    self._ports[lease.device] = PodPort(pool, lease)

    def tend(self) -> None:
        """Look at all ports, and bring back what somebody took away."""
        if not self._ports and not any(pool.backend == OVS for pool in self._config.pools):
            return
        try:
            # Without waiting for one's turn: whoever has it may wait for the very thing that is away.
            if not self._database.switched():
                raise NotReady("ovs-vswitchd does not run, or hangs: packets go nowhere. See systemctl status.")
            with self._turn():
                self._look()
            self.problem = ""
        except (FastpathError, OSError) as error:
            self.problem = error.message if isinstance(error, FastpathError) else str(error)
            self._states = [
                DeviceState(device, OVS, port.pool.name, "failed", self.problem)
                for device, port in list(self._ports.items())
            ]

    def _look(self) -> None:
        self._bring_about()
        database = self._database.live()
        for port in self._ports.values():
            if port.lease.mode == "client" and is_socket(self._made(database, port)):
                self._fetch(database, port)
        self._states = [_state(database, port) for port in self._ports.values()]

    def states(self) -> list[DeviceState]:
        known = list(self._states)
        shown = {state.device for state in known}
        fresh = [port for device, port in list(self._ports.items()) if device not in shown]
        return [state for state in known if state.device in self._ports] + [
            DeviceState(port.lease.device, OVS, port.pool.name, "leased", socket=port.lease.path) for port in fresh
        ]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One change at a time. Raises NotReady where others are at it for too long."""
        if not self._work.acquire(timeout=TURN_SECONDS):
            raise NotReady(f"Open vSwitch has been busy with ports of other pods for {TURN_SECONDS:g} s.")
        try:
            yield
        finally:
            self._work.release()

    def _pool(self, lease: SocketLease) -> Pool:
        pool = self._config.pool(lease.device.partition("/")[0])
        if pool is None:
            raise NotPossible(f"{lease.device} is of a pool that is not there any more.")
        return pool

    def _bring_about(self) -> None:
        """One transaction for all that differs; nothing where nothing does. Raises SocketError."""
        try:
            database = self._database.live()
            ports = list(self._ports.values())
            if not ports and not made_by_the_agent(database):
                return
            operations = plan_ports(database, ports)
            if not operations:
                return
            number = self._database.commit(transaction(operations, database, COMMENT))
            self._await(number)
        except SocketError:
            raise
        except FastpathError as error:
            raise NotReady(error.message) from error

    def _await(self, number: int) -> None:
        self._wait(lambda: self._database.taken_over(number), "ovs-vswitchd to take the change over")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            self._database.host.wait_for(condition, TAKE_OVER_SECONDS, what)
        except FastpathError as late:
            raise NotReady(late.message) from late

    def _fetch(self, database: Database, port: PodPort) -> None:
        made = self._made(database, port)
        self._wait(lambda: is_socket(made) or is_socket(port.lease.path), f"Open vSwitch to make {made}")
        if is_socket(made):
            self._folders.place(made, port.lease, port.pool.access)

    def _made(self, database: Database, port: PodPort) -> str:
        return made_socket(database, posixpath.dirname(self._config.ovs_database), port.name)


def _error(database: Database, port: PodPort) -> str:
    problem = bridge_problem(database, port.pool.bridge)
    if problem:
        return problem
    if port.name not in database.ports or database.bridge_of(port.name) != port.pool.bridge:
        return f"Port {port.name} did not come about on bridge {port.pool.bridge}."
    row = database.interfaces.get(port.name)
    said = row.get("error") if row else "its interface is missing"
    return f"ovs-vswitchd could not make port {port.name}: {said}." if said else ""


def _state(database: Database, port: PodPort) -> DeviceState:
    error = _error(database, port)
    row = database.interfaces.get(port.name)
    known = DeviceState(port.lease.device, OVS, port.pool.name, "failed" if error else "leased", error)
    if error or row is None:
        return known
    return DeviceState(
        device=known.device,
        backend=OVS,
        pool=known.pool,
        state=known.state,
        socket=port.lease.path,
        connected=row.get("link_state") == "up",
    )
