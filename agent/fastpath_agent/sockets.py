# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has which socket: the one table that CNI, gRPC, the status file and the metrics are served from.

``acquire`` gives a pod's interface a socket that no other pod has, ``release`` takes it back. Leases are on disk before
a socket is made, so that an agent that was killed finds and finishes, or takes back, what it had begun.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress

from fastpath_agent.backend import Backend
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.model import (
    DeviceState,
    DeviceTaken,
    Mode,
    NotPossible,
    NotReady,
    PodOwner,
    SocketError,
    SocketLease,
    UnknownDevice,
)

__all__ = ["PodOwner", "SocketLease", "Sockets"]


# Calls for one device come one after the other. Two devices rarely share a lock, and then only wait a little.
STRIPES = 64


class Sockets:
    """Thread-safe. Calls for different devices run side by side."""

    def __init__(self, backends: Sequence[Backend], file: LeaseFile, folders: PodFolders) -> None:
        self._backends = {backend.name: backend for backend in backends}
        self._file = file
        self._folders = folders
        self._leases: dict[tuple[str, str], SocketLease] = {}
        # Owners whose socket is being made or taken back.
        self._unsettled: set[tuple[str, str]] = set()
        self._table = threading.Lock()
        self._stripes = tuple(threading.Lock() for _number in range(STRIPES))

    def restore(self) -> None:
        """Take over the leases of a former agent of this boot. Comes before the first request."""
        kept = [lease for lease in self._file.read() if lease.backend in self._backends]
        with self._table:
            self._leases = {lease.owner.key: lease for lease in kept}
        for name, backend in self._backends.items():
            backend.restore([lease for lease in kept if lease.backend == name])
        self._folders.sweep(kept, starting=True)

    def acquire(self, pool_or_device: str, owner: PodOwner, mode: Mode = "client") -> SocketLease:
        """A usable socket for this owner: the same one however often it is asked for.

        ``pool_or_device``: the device (PCI address) that the pod was given, or a pool's name where the agent shall
        choose one. Raises a SocketError whose ``cni_code`` is the CNI's, after everything that this call did
        was taken back; OSError is turned into one.
        """
        lease, new = self._reserve(pool_or_device, owner, mode)
        backend = self._backends[lease.backend]
        with self._of(lease.device):
            if self._leases.get(owner.key) != lease:
                raise NotReady(f"{owner} was released while it was given {lease.device}.")
            try:
                backend.attach(lease)
                self._unsettled.discard(owner.key)
            except BaseException as failure:
                if new:
                    self._roll_back(backend, lease)
                if isinstance(failure, OSError):
                    raise SocketError(f"No socket for {owner}: {failure.strerror} ({failure.filename}).") from failure
                raise
        return lease

    def release(self, owner: PodOwner) -> None:
        """Take the owner's socket back. An owner without one is no error."""
        with self._table:
            lease = self._leases.get(owner.key)
        if lease is None:
            return
        with self._of(lease.device):
            if self._leases.get(owner.key) == lease:
                self._unsettled.add(owner.key)
                self._take_back(self._backends[lease.backend], lease)

    def leases(self) -> list[SocketLease]:
        with self._table:
            return sorted(self._leases.values(), key=lambda lease: lease.owner.key)

    def given(self) -> list[SocketLease]:
        """Leases whose socket was made and is not being taken back."""
        return [lease for lease in self.leases() if lease.owner.key not in self._unsettled]

    def tidy(self) -> None:
        """What pods that are gone have left in their folders."""
        with self._table:
            self._folders.sweep(list(self._leases.values()))

    def states(self) -> list[DeviceState]:
        """Every device of every back end."""
        return [state for backend in self._backends.values() for state in backend.states()]

    def _reserve(self, wanted: str, owner: PodOwner, mode: Mode) -> tuple[SocketLease, bool]:
        """The owner's lease, in the table and on disk before anything is made for it, and whether it is a new one."""
        with self._table:
            found = self._candidates(wanted, owner)
            there = self._leases.get(owner.key)
            if there is not None:
                if (there.backend, there.mode) != (found[0], mode) or there.device not in found[1]:
                    raise NotPossible(f"{owner} has {there.device} already, as {there.mode}: release it first.")
                return there, False
            device = self._free(wanted, found[1], owner)
            lease = self._backends[found[0]].lease(device, owner, mode)
            self._file.write([*self._leases.values(), lease])
            self._unsettled.add(owner.key)
            self._leases[owner.key] = lease
            return lease, True

    def _candidates(self, wanted: str, owner: PodOwner) -> tuple[str, list[str]]:
        for name, backend in self._backends.items():
            devices = backend.candidates(wanted, owner)
            if devices is not None:
                return name, devices
        raise UnknownDevice(f"{wanted!r} is neither a device nor a pool of this node's agent.")

    def _free(self, wanted: str, devices: list[str], owner: PodOwner) -> str:
        taken = {lease.device: lease for lease in self._leases.values()}
        for device in devices:
            if device not in taken:
                return device
        users = "; ".join(f"{device}: {taken[device].owner}" for device in devices)
        raise DeviceTaken(f"Nothing of {wanted} is free for {owner} ({users or 'it has no devices'}).")

    def _take_back(self, backend: Backend, lease: SocketLease) -> None:
        """Forgotten last: what is still in the table is taken back again at the next try."""
        backend.detach(lease)
        with self._table:
            self._file.write([other for other in self._leases.values() if other != lease])
            self._leases.pop(lease.owner.key, None)
            self._unsettled.discard(lease.owner.key)
            if all(other.directory != lease.directory for other in self._leases.values()):
                self._folders.drop(lease.directory)

    def _roll_back(self, backend: Backend, lease: SocketLease) -> None:
        """The failure that led here is what the caller has to hear of; what cannot be taken back now, a DEL will."""
        with suppress(SocketError, OSError):
            self._take_back(backend, lease)

    def _of(self, device: str) -> threading.Lock:
        return self._stripes[hash(device) % STRIPES]
