# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel knows of Unix sockets: who listens at which path, and how many are connected there."""

from __future__ import annotations

import os
import re
import socket
import stat
import struct
from dataclasses import dataclass

# Of ``struct sockaddr_un``, with the final zero.
MAX_PATH = 107
# include/uapi/linux/net.h: __SO_ACCEPTCON, and SS_CONNECTED.
_LISTENING, _CONNECTED = 0x10000, 3
# ``struct ucred``: process, user, group.
_CREDENTIALS = struct.Struct("3i")
_SOCKET_LINE = re.compile(r"[0-9a-fA-F]+:(?: +[0-9a-fA-F]+){6} ")


@dataclass(frozen=True)
class Listener:
    """Where a socket was bound, which a rename does not change, and its connections."""

    path: str
    connections: int


def parse_unix_table(text: str) -> dict[str, Listener]:
    """``/proc/net/unix``: a line for each socket, the path last where it has one."""
    listening = set()
    connected: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) < 8 or not _SOCKET_LINE.match(line):
            continue
        path = fields[7]
        if int(fields[3], 16) & _LISTENING:
            listening.add(path)
        elif int(fields[5], 16) == _CONNECTED:
            connected[path] = connected.get(path, 0) + 1
    return {path: Listener(path, connected.get(path, 0)) for path in listening}


def listeners() -> dict[str, Listener]:
    """Listening sockets of this network namespace by path."""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            return parse_unix_table(file.read())
    except OSError:
        return {}


def is_socket(path: str) -> bool:
    """Whether there is a socket, and no link to one."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def listen(path: str, backlog: int, folder_mode: int = 0o755) -> socket.socket:
    """A listening socket that only root can connect to. A former one is replaced, and is at no moment missing.

    ``folder_mode``: of its folder, where that is made.
    """
    os.makedirs(os.path.dirname(path), mode=folder_mode, exist_ok=True)
    partial = f"{path}.new"
    if is_socket(partial):
        os.unlink(partial)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(partial)
        os.chmod(partial, stat.S_IRUSR | stat.S_IWUSR)
        listener.listen(backlog)
        os.replace(partial, path)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_user(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket, as the kernel knows it since the connection was made."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(packed)[1])
