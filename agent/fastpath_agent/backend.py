# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a back end of sockets is: vDPA, translation, or Open vSwitch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fastpath_agent.model import DeviceState, Mode, PodOwner, SocketLease


class Backend(ABC):
    """Makes sockets. Methods are called from several threads; calls for one device come one after the other."""

    name: str
    # Why the whole back end is of no use; empty while it is.
    problem: str = ""

    @abstractmethod
    def candidates(self, wanted: str, owner: PodOwner) -> list[str] | None:
        """Devices that a name of a device or a pool can mean, the best first. None: neither is known here."""

    @abstractmethod
    def lease(self, device: str, owner: PodOwner, mode: Mode) -> SocketLease:
        """What a lease of this device would be; nothing is made yet. Raises SocketError where it cannot work."""

    @abstractmethod
    def attach(self, lease: SocketLease) -> None:
        """Make the lease's socket usable, with its directory. The same call again changes nothing.

        Raises SocketError within a bounded time; the caller then calls ``detach``.
        """

    @abstractmethod
    def detach(self, lease: SocketLease) -> None:
        """Take the socket away and cut off who is connected. What is gone already is no error."""

    @abstractmethod
    def restore(self, leases: Sequence[SocketLease]) -> None:
        """At the agent's start: these are leased; anything else that this back end once made for pods goes."""

    @abstractmethod
    def states(self) -> list[DeviceState]:
        """Every device, also those that cannot be used."""
