# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``vdpadpdk.VdpaDpdk/GetSocketpath`` for programs that ask for a device's socket by its PCI address.

The one module that needs grpcio. An address that is not known gets an empty answer and the status OK, as ever.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc

from fastpath_agent.gate import Gate
from fastpath_agent.wire import FULL_METHOD, MAX_MESSAGE, METHOD, PACKAGE_SERVICE, decode, encode

THREADS = 4
CALL_SECONDS = 10.0
STOP_SECONDS = 2.0
INNER = "grpc.sock"

log = logging.getLogger(__name__)


class RpcServer:
    """``lookup``: the socket of an address, empty where there is none. Asked for each call."""

    def __init__(self, path: str, folder: str, lookup: Callable[[str], str], users: Iterable[int]) -> None:
        self._lookup = lookup
        self.calls = {"found": 0, "unknown": 0}
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # Nobody else gets to this socket: who is allowed to call is decided at the gate.
        os.chmod(folder, 0o700)
        inner = f"{folder}/{INNER}"
        options = (("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0))
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "grpc"), options=options)
        handler = grpc.unary_unary_rpc_method_handler(self._get_socketpath, _request, encode)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(PACKAGE_SERVICE, {METHOD: handler}),)
        )
        self._server.add_insecure_port(f"unix:{inner}")
        self._server.start()
        self.gate = Gate(path, inner, users)
        self.gate.start()

    def stop(self) -> None:
        self.gate.stop()
        self._server.stop(STOP_SECONDS).wait()

    def _get_socketpath(self, address: str, context: grpc.ServicerContext) -> str:
        if not address:
            # The agent's own probe.
            return ""
        path = self._lookup(address)
        self.calls["found" if path else "unknown"] += 1
        log.info("%s: %s", address, path or "unknown")
        return path


def ask(socket: str, address: str, timeout: float = CALL_SECONDS) -> str:
    """The client's side, for tests, probes and people."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        call = channel.unary_unary(FULL_METHOD, encode, decode)
        return str(call(address, timeout=timeout))


def probe(socket: str, timeout: float) -> str:
    """Through the same socket as everybody: what answers here, answers others. Empty where it does."""
    try:
        ask(socket, "", timeout)
    except grpc.RpcError as error:
        return f"{socket} does not answer: {error}"
    return ""


def _request(message: bytes) -> str | None:
    """None where the bytes are no request: the library answers with INTERNAL, and what is raised it would only log."""
    try:
        return decode(message)
    except ValueError:
        return None
