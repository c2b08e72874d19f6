# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the plugins need of the socket pools, so that they can be tested without any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from fastpath_agent.cni.errors import INTERNAL, CniError
from fastpath_agent.model import PodOwner


class Lease(Protocol):
    """``directory`` is a folder of the host that only this pod may see."""

    @property
    def device(self) -> str: ...
    @property
    def directory(self) -> str: ...
    @property
    def socket_name(self) -> str: ...
    @property
    def owner(self) -> PodOwner: ...


class Sockets(Protocol):
    """``acquire`` and ``release`` can be called again for the same owner. ``mode``: the pod's side of the socket.

    A failure carries the fitting code of the specification as its attribute ``cni_code``.
    """

    def acquire(self, pool_or_device: str, owner: PodOwner, mode: Any) -> Lease: ...
    def release(self, owner: PodOwner) -> None: ...
    def leases(self) -> Iterable[Lease]: ...


def as_cni_error(error: Exception) -> CniError:
    """A failure of the pools, with its own code if it brings one."""
    if isinstance(error, CniError):
        return error
    code = getattr(error, "cni_code", INTERNAL)
    return CniError(code, str(error) or type(error).__name__)
