# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is connected to a process's socket, from whatever network namespace.

The kernel's table of Unix sockets shows a connection in the namespace of whoever connected, so the agent's own table
has none of a pod's. The process that listens has them all: copies of its descriptors are looked at.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

from fastpath_agent.unix_sockets import Listener, listeners

# The same number on every architecture.
PIDFD_GETFD = 438

_libc = ctypes.CDLL(None, use_errno=True)


def served(pid: int, path: str) -> Listener | None:
    """What a process serves at the path where it bound a socket; None where it does not listen there.

    A connection that waits to be taken counts for one. Where descriptors of others cannot be looked at, the table of
    this namespace has to do.
    """
    try:
        return _listener(pid, path)
    except ProcessLookupError:
        return None
    except OSError:
        return listeners().get(path)


def _listener(pid: int, path: str) -> Listener | None:
    listens, connections = False, 0
    for copy in _sockets(pid):
        with copy:
            if not _is_bound_to(copy, path):
                continue
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listens = True
                connections += len(select.select([copy], [], [], 0)[0])
            else:
                connections += 1
    return Listener(path, connections) if listens else None


def _is_bound_to(copy: socket.socket, path: str) -> bool:
    """An accepted connection is bound to where its listener is."""
    with suppress(OSError):
        return copy.family == socket.AF_UNIX and copy.getsockname() == path
    return False


def _sockets(pid: int) -> Iterator[socket.socket]:
    process = os.pidfd_open(pid)
    try:
        for name in _names(pid):
            with suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    descriptor = _copy(process, int(name))
                    if descriptor is not None:
                        yield socket.socket(fileno=descriptor)
    finally:
        os.close(process)


def _names(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError as gone:
        raise ProcessLookupError(pid) from gone


def _copy(process: int, number: int) -> int | None:
    """None where the process has closed it meanwhile."""
    descriptor = int(_libc.syscall(PIDFD_GETFD, process, number, 0))
    if descriptor >= 0:
        return descriptor
    failure = ctypes.get_errno()
    if failure == errno.EBADF:
        return None
    raise OSError(failure, os.strerror(failure))
