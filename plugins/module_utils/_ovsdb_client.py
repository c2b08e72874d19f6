# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. One connection to a server that speaks OVSDB's JSON-RPC (RFC 7047, section 4)."""

from __future__ import annotations

import codecs
import json
import socket
import time
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

RECEIVE_BYTES = 1 << 20
# Of one message: no database of a switch comes near.
MAX_CHARACTERS = 64 << 20


class NoAnswer(FastpathError):
    """The server did not say what became of a request: it may have done it, or not."""


class Rejected(FastpathError):
    """The server could make nothing of a request; ``error`` is what it says of it."""

    def __init__(self, error: Any) -> None:
        super().__init__(f"The database server rejected the request: {error}")
        self.error = error


class OvsdbClient:
    """``stream``: a connected socket, or what behaves like one. Each call has ``timeout`` seconds as a whole.

    Whoever keeps a connection has to call something within the server's inactivity probe (5 s unless it is set): the
    server's ``echo`` is only answered during a call. Notifications of monitors are passed over.
    """

    def __init__(self, stream: socket.socket, timeout: float) -> None:
        self.stream = stream
        self.timeout = timeout
        self._deadline = 0.0
        self._number = 0
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text = ""

    def __enter__(self) -> OvsdbClient:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stream.close()

    def call(self, method: str, *params: Any) -> Any:
        """The result of a request."""
        self._number += 1
        self._deadline = time.monotonic() + self.timeout
        try:
            self._send({"method": method, "params": params, "id": self._number})
            message = self._receive()
            while "method" in message or message.get("id") != self._number:
                if message.get("method") == "echo":
                    self._send({"result": message.get("params"), "error": None, "id": message.get("id")})
                message = self._receive()
        except socket.timeout as late:
            raise NoAnswer(f"no answer within {self.timeout:g} s") from late
        except OSError as broken:
            raise NoAnswer(broken.strerror or str(broken)) from broken
        if message.get("error") is not None:
            raise Rejected(message["error"])
        return message.get("result")

    def _send(self, message: dict[str, Any]) -> None:
        self._limit()
        self.stream.sendall(json.dumps(message, separators=(",", ":")).encode())

    def _receive(self) -> dict[str, Any]:
        """The next message; they follow each other without anything between them."""
        while True:
            self._text = self._text.lstrip()
            if self._text and self._text[0] != "{":
                raise NoAnswer(f"no JSON came back: {self._text[:200]!r}")
            try:
                message, end = json.JSONDecoder().raw_decode(self._text)
            except ValueError:
                self._read_more()
            else:
                self._text = self._text[end:]
                return dict(message)

    def _read_more(self) -> None:
        self._limit()
        if len(self._text) > MAX_CHARACTERS:
            raise NoAnswer(f"its answer is longer than {MAX_CHARACTERS} characters")
        content = self.stream.recv(RECEIVE_BYTES)
        if not content:
            raise NoAnswer("it closed the connection")
        try:
            self._text += self._decode(content)
        except UnicodeDecodeError as broken:
            raise NoAnswer(f"no JSON came back: {content[:200]!r}") from broken

    def _limit(self) -> None:
        """What is left of the call's time; zero would mean to wait for ever."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self.stream.settimeout(left)
