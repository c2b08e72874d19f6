# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The socket that the CNI shims of the host ask: root's alone, one request for a connection.

A line with a JSON object comes, a line with a JSON object goes. Requests of different containers run side by side.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastpath_agent.cni.dispatch import Dispatcher
from fastpath_agent.cni.errors import DECODING_FAILURE, TRY_AGAIN_LATER, CniError
from fastpath_agent.cni.request import decode
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.versions import NEWEST
from fastpath_agent.protocol import MAX_REQUEST, REQUEST_SECONDS, SOCKET
from fastpath_agent.unix_sockets import listen, peer_user

# As many as a node starts pods at once; the rest waits in the queue.
WORKERS = 64
BACKLOG = 256
_logger = logging.getLogger("fastpath.cni")


class CniServer:
    """``answer``: from the decoded message to the answer; it never raises. ``users``: who may ask."""

    def __init__(
        self,
        answer: Callable[[object], dict[str, Any]],
        path: str = SOCKET,
        users: frozenset[int] = frozenset((0,)),
        workers: int = WORKERS,
    ) -> None:
        self.path = path
        self._answer = answer
        self._users = users
        self._workers = workers
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._stopping = False

    def start(self) -> None:
        """Listen. The socket appears under its name only when it has its mode and can be connected to."""
        listener = listen(self.path, BACKLOG, folder_mode=0o700)
        self._listener = listener
        self._pool = ThreadPoolExecutor(self._workers, "cni")
        self._thread = threading.Thread(
            target=self._accept, args=(listener, self._pool), name="cni-accept", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more, and wait for what has begun. The next agent's socket is left alone."""
        if self._listener is None or self._pool is None or self._thread is None:
            return
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._pool.shutdown(wait=True)
        self._listener = None
        with contextlib.suppress(OSError):
            os.unlink(self.path)

    def _accept(self, listener: socket.socket, pool: ThreadPoolExecutor) -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError as error:
                if self._stopping:
                    return
                # Out of descriptors, for example: others end, then it goes on.
                _logger.error("cannot accept a CNI request: %s", error)
                time.sleep(0.1)
                continue
            pool.submit(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                if peer_user(connection) not in self._users:
                    return
                answer = self._reply(connection)
                connection.settimeout(REQUEST_SECONDS)
                connection.sendall(encode(answer))
            except OSError as error:
                # The shim gave up; what was asked for was done all the same, and its DEL will come.
                _logger.warning("a CNI shim hung up: %s", error)
            except Exception:
                _logger.exception("a CNI request could not be answered")

    def _reply(self, connection: socket.socket) -> dict[str, Any]:
        try:
            message = decode(_line(connection))
        except CniError as error:
            return {"ok": False, "error": {"cniVersion": NEWEST, **error.as_object()}}
        return self._answer(message)


def build(
    box: Toolbox, path: str = SOCKET, users: frozenset[int] = frozenset((0,)), workers: int = WORKERS
) -> tuple[CniServer, Dispatcher]:
    """The server, ready to be started, after what a former agent left half done was taken back.

    The dispatcher's ``repair`` is to be called now and then.
    """
    dispatcher = Dispatcher(box)
    dispatcher.recover()
    return CniServer(dispatcher.answer, path, users, workers), dispatcher


def encode(answer: dict[str, Any]) -> bytes:
    """The shim knows the beginning of a good answer by heart: no blanks, and ``ok`` first."""
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _line(connection: socket.socket) -> bytes:
    deadline = time.monotonic() + REQUEST_SECONDS
    received = bytearray()
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise CniError(TRY_AGAIN_LATER, f"the request did not come within {REQUEST_SECONDS:g} s")
        connection.settimeout(left)
        try:
            part = connection.recv(1 << 16)
        except socket.timeout:
            continue
        if not part:
            raise CniError(DECODING_FAILURE, "the request ended without a newline")
        received += part
        if len(received) > MAX_REQUEST:
            raise CniError(DECODING_FAILURE, f"the request is longer than {MAX_REQUEST} bytes")
    return bytes(received)
