# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent's parts say to each other. Plain data, no I/O.

``mode`` is always the pod's side of a vhost-user socket, as in network-status: a ``client`` connects to a socket that
the node made, a ``server`` makes it itself, and the node's process connects (and connects again) to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

Mode = Literal["client", "server"]
MODES: tuple[Mode, ...] = ("client", "server")


class SocketError(FastpathError):
    """No socket could be given. ``cni_code``: the error code of the CNI specification that fits."""

    cni_code = 5


class UnknownDevice(SocketError):
    """Neither a device nor a pool of this node."""

    cni_code = 7


class NotPossible(SocketError):
    """What was asked for will never work, however often it is tried."""

    cni_code = 7


class DeviceTaken(SocketError):
    """Another pod has it."""

    cni_code = 11


class NotReady(SocketError):
    """The process behind the socket is not up; a later try may succeed."""

    cni_code = 11


@dataclass(frozen=True)
class PodOwner:
    """One interface of one sandbox. ``container_id`` and ``ifname`` say which; the rest is for people and folders.

    At DEL only these two may be known: the rest can be left empty for ``release``.
    """

    container_id: str
    ifname: str
    namespace: str = ""
    pod: str = ""
    uid: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.container_id, self.ifname

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.pod}" if self.pod else self.container_id

    def __str__(self) -> str:
        return f"{self.ifname} of {self.name}"


@dataclass(frozen=True)
class SocketLease:
    """A socket that is one interface's alone. ``directory`` is the pod's, as the node sees it."""

    device: str
    backend: str
    directory: str
    socket_name: str
    owner: PodOwner
    mode: Mode

    @property
    def path(self) -> str:
        return f"{self.directory}/{self.socket_name}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(value: Mapping[str, Any]) -> SocketLease:
        """Raises KeyError or TypeError where the value is none."""
        return SocketLease(**{**value, "owner": PodOwner(**value["owner"])})


@dataclass(frozen=True)
class DeviceState:
    """What a back end says of one device, for the status file, metrics and the socket map.

    ``state``: absent, unusable, starting, ready, leased, recycling or failed; ``reason``: one sentence where it is none
    of ready and leased; of a start, why the former one failed. ``socket``: a path that can be connected to, or empty.
    ``connected``: whether somebody is connected; None: unknown.
    """

    device: str
    backend: str
    pool: str = ""
    state: str = "starting"
    reason: str = ""
    socket: str = ""
    connected: bool | None = None
    restarts: int = 0
    pid: int | None = None
    numa_node: int | None = None

    @property
    def healthy(self) -> bool:
        return self.state in ("ready", "leased", "recycling")

    @property
    def hopeful(self) -> bool:
        """It works, or starts and has not failed before."""
        return self.healthy or (self.state == "starting" and not self.reason)
