# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The back ends with a process for each device: vDPA, and translation between a NIC and a socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from fastpath_agent.backend import Backend
from fastpath_agent.config import Config
from fastpath_agent.device_map import Slot
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import DeviceState, Mode, NotReady, PodOwner, SocketError, SocketLease
from fastpath_agent.places import Places
from fastpath_agent.programs import SocketProgram, Task
from fastpath_agent.runner import Runner

IDLE = "vhost"
# Who waits longest for a device that is ready.
ORDER = ("ready", "starting", "recycling", "failed", "unusable", "absent")
STOP_SECONDS = 15.0


class ProcessBackend(Backend):
    """``follow`` says which devices there are; each gets a ``Runner`` while it can be used."""

    def __init__(
        self,
        name: str,
        program: SocketProgram,
        config: Config,
        folders: PodFolders,
        places: Places,
        notify: Callable[[], None],
    ) -> None:
        self.name = name
        self._program = program
        self._config = config
        self._folders = folders
        self._places = places
        self._notify = notify
        self._lock = threading.Lock()
        self._slots: dict[str, Slot] = {}
        self._runners: dict[str, Runner] = {}
        self._leases: dict[str, SocketLease] = {}
        self._ending: list[Runner] = []

    def follow(self, slots: Sequence[Slot]) -> None:
        """These are the devices now. Those that stay are not disturbed."""
        with self._lock:
            wanted = {slot.address: slot for slot in slots}
            for address, runner in list(self._runners.items()):
                slot = wanted.get(address)
                if slot is None or slot.problem or slot.pool != runner.task.pool:
                    runner.stop()
                    self._ending.append(self._runners.pop(address))
                    self._places.give_back(address)
            self._ending = [runner for runner in self._ending if runner.is_alive()]
            self._slots = wanted
            ending = {runner.task.address for runner in self._ending}
            for address, slot in wanted.items():
                # One process for a device at a time: a device that comes back waits for the end of its former one.
                if not slot.problem and address not in self._runners and address not in ending:
                    self._begin(slot)

    def _begin(self, slot: Slot) -> None:
        try:
            place = self._places.take(slot.address, self._program.settings, self._program.cpus_needed, slot.numa_node)
        except SocketError as error:
            self._slots[slot.address] = replace(slot, problem=error.message)
            return
        socket = f"{self._config.directory}/{IDLE}/{self._socket_name(place.number)}"
        task = Task(slot.address, socket, slot.pool.mode, slot.pool, place.cpus, slot.numa_node)
        folder = f"{self._config.state_directory}/{self.name}/{slot.address}"
        runner = Runner(self._program, task, folder, self._folders, self._notify)
        if slot.address in self._leases:
            runner.hold(self._leases[slot.address])
        self._runners[slot.address] = runner
        runner.start()

    def _socket_name(self, number: int) -> str:
        # Programs know this name from the first deployment of its kind; what is behind it does not matter to them.
        return f"vdpa-{number}"

    def candidates(self, wanted: str, owner: PodOwner) -> list[str] | None:
        pool = self._config.pool(wanted)
        with self._lock:
            if wanted in self._slots:
                return [wanted]
            if pool is None or pool.backend != self.name:
                return None
            members = [slot.address for slot in self._slots.values() if slot.pool.name == wanted]
        states = {state.device: state.state for state in self._states(connections=False)}
        known = [address for address in members if states.get(address) in ORDER]
        return sorted(known, key=lambda address: ORDER.index(states[address]))

    def lease(self, device: str, owner: PodOwner, mode: Mode) -> SocketLease:
        with self._lock:
            slot, runner = self._slots.get(device), self._runners.get(device)
        if slot is None or runner is None:
            raise NotReady(slot.problem if slot and slot.problem else f"{device} is not served now.")
        name = runner.task.socket.rpartition("/")[2]
        return self._folders.lease(self.name, device, name, owner, mode)

    def attach(self, lease: SocketLease) -> None:
        with self._lock:
            runner = self._runners.get(lease.device)
            self._leases[lease.device] = lease
        if runner is None:
            raise NotReady(f"{lease.device} is not served now.")
        runner.attach(lease)

    def detach(self, lease: SocketLease) -> None:
        with self._lock:
            if self._leases.get(lease.device) == lease:
                del self._leases[lease.device]
            runner = self._runners.get(lease.device)
        if runner is not None:
            runner.detach(lease)
        self._folders.remove_socket(lease)

    def restore(self, leases: Sequence[SocketLease]) -> None:
        with self._lock:
            self._leases = {lease.device: lease for lease in leases}

    def states(self) -> list[DeviceState]:
        return self._states(connections=True)

    def _states(self, connections: bool) -> list[DeviceState]:
        with self._lock:
            slots, runners = list(self._slots.values()), dict(self._runners)
            leases = dict(self._leases)
        found = []
        for slot in slots:
            runner = runners.get(slot.address)
            if runner is not None:
                found.append(replace(runner.state(connections), backend=self.name))
                continue
            state = "absent" if slot.absent else "unusable" if slot.problem else "starting"
            unserved = DeviceState(slot.address, self.name, slot.pool.name, state, slot.problem)
            found.append(replace(unserved, numa_node=slot.numa_node))
        listed = {slot.address for slot in slots}
        for address in sorted(set(leases) - listed):
            reason = f"{address} is leased, and in no list any more."
            found.append(DeviceState(address, self.name, "", "absent", reason))
        return found

    def socket_of(self, address: str) -> str:
        """Where a device can be reached at this moment; empty where it cannot."""
        with self._lock:
            runner = self._runners.get(address)
        return runner.socket if runner is not None else ""

    @property
    def problem(self) -> str:  # type: ignore[override]
        """All devices without use mean that something is wrong with all of them, such as memory."""
        states = self._states(connections=False)
        if not states or any(state.hopeful for state in states):
            return ""
        return next((state.reason for state in states if state.reason), "No device can be used.")

    def stop(self, let_go: bool = False) -> None:
        with self._lock:
            runners = [*self._runners.values(), *self._ending]
        for runner in runners:
            runner.stop(let_go)
        for runner in runners:
            runner.join(STOP_SECONDS)
