# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Unix socket that lets only certain users through to a server behind it.

gRPC's library does not say who is at the other end of a Unix socket. So it listens where only the agent can connect,
and what the world sees is this: whoever connects is looked at, and only then are bytes passed on, both ways.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from fastpath_agent.unix_sockets import listen, peer_user

MAX_CONNECTIONS = 256
# What one side has not taken yet; more is not read from the other until it has.
MAX_WAITING = 256 * 1024
_READ_SIZE = 65536
BACKLOG = 64
PAUSE_SECONDS = 0.05


class _End:
    """One side of a connection, with what is still to be written to it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.other: _End
        self.waiting = bytearray()
        # The other side has said that no more will come.
        self.last = False


class Gate(threading.Thread):
    """``refused``: how many were turned away."""

    def __init__(self, path: str, inner: str, users: Iterable[int]) -> None:
        super().__init__(name="gate", daemon=True)
        self.path = path
        self.refused = 0
        self._inner = inner
        self._users = frozenset(users)
        self._selector = selectors.DefaultSelector()
        self._listener = listen(path, BACKLOG)
        self._listener.setblocking(False)
        self._ends: set[_End] = set()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stop_read, selectors.EVENT_READ)

    def stop(self) -> None:
        os.write(self._stop_write, b"x")
        self.join()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def run(self) -> None:
        while True:
            for key, _events in self._selector.select():
                if key.fileobj == self._stop_read:
                    self._close()
                    return
                if key.data is None:
                    self._accept()
                elif key.data in self._ends:
                    self._serve(key.data)

    def _accept(self) -> None:
        try:
            outer, _address = self._listener.accept()
        except OSError:
            # Out of descriptors, for example: others end, then it goes on.
            time.sleep(PAUSE_SECONDS)
            return
        if peer_user(outer) not in self._users:
            self.refused += 1
            outer.close()
            return
        inner = None if len(self._ends) >= 2 * MAX_CONNECTIONS else self._connected()
        if inner is None:
            outer.close()
            return
        ends = _End(outer), _End(inner)
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends:
            end.connection.setblocking(False)
            self._ends.add(end)
            self._selector.register(end.connection, selectors.EVENT_READ, end)

    def _connected(self) -> socket.socket | None:
        """A connection to the server behind; None where there is none to be had."""
        with suppress(OSError), ExitStack() as undone:
            inner = undone.enter_context(socket.socket(socket.AF_UNIX))
            inner.connect(self._inner)
            undone.pop_all()
            return inner
        return None

    def _serve(self, end: _End) -> None:
        """Whatever is possible in both directions: write first, so that there is room to read."""
        try:
            for target in (end, end.other):
                self._write(target)
            if len(end.other.waiting) < MAX_WAITING and not end.other.last:
                content = self._read(end)
                if content is not None:
                    end.other.waiting += content
                    end.other.last = not content
                    self._write(end.other)
        except OSError:
            self._drop(end)
            return
        if end.last and end.other.last and not end.waiting and not end.other.waiting:
            self._drop(end)
            return
        for side in (end, end.other):
            reading = len(side.other.waiting) < MAX_WAITING and not side.other.last
            self._listen_for(side, reading, bool(side.waiting))

    @staticmethod
    def _read(end: _End) -> bytes | None:
        try:
            return end.connection.recv(_READ_SIZE)
        except BlockingIOError:
            return None

    @staticmethod
    def _write(end: _End) -> None:
        if end.waiting:
            with suppress(BlockingIOError):
                sent = end.connection.send(end.waiting)
                del end.waiting[:sent]
        if end.last and not end.waiting:
            end.connection.shutdown(socket.SHUT_WR)

    def _listen_for(self, end: _End, reading: bool, writing: bool) -> None:
        events = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if writing else 0)
        known = self._selector.get_map().get(end.connection)
        if not events:
            if known:
                self._selector.unregister(end.connection)
        elif known is None:
            self._selector.register(end.connection, events, end)
        elif known.events != events:
            self._selector.modify(end.connection, events, end)

    def _drop(self, end: _End) -> None:
        for side in (end, end.other):
            self._ends.discard(side)
            with suppress(KeyError, ValueError):
                self._selector.unregister(side.connection)
            side.connection.close()

    def _close(self) -> None:
        for end in list(self._ends):
            self._drop(end)
        self._listener.close()
        self._selector.close()
        os.close(self._stop_read)
        os.close(self._stop_write)
