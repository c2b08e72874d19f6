# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch's database over its socket (RFC 7047), so that the agent's image needs none of its tools."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Database, parse_selection, selection
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import SCHEMA, Ovsdb

MAX_ANSWER = 64 * 1024 * 1024
_REQUEST = 1


class SocketOvsdb(Ovsdb):
    """The same door with another lock: each request is a connection of its own."""

    def read(self) -> Database:
        """From the server or not at all: without it nobody knows which ports there are."""
        return parse_selection(self.transact(selection()))

    def _reply(self, steps: list[dict[str, Any]]) -> str:
        request = {"method": "transact", "params": [SCHEMA, *steps], "id": _REQUEST}
        path = self.host.path(self.socket)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(self.timeout)
                connection.connect(path)
                connection.sendall(json.dumps(request).encode())
                answer = _answer(connection, time.monotonic() + self.timeout)
        except (OSError, ValueError) as error:
            raise FastpathError(f"Open vSwitch's database server at {self.socket} did not answer: {error}") from error
        if answer.get("error") is not None:
            raise FastpathError(f"Open vSwitch's database refused the request: {answer['error']}")
        return json.dumps(answer.get("result"))


def _answer(connection: socket.socket, deadline: float) -> dict[str, Any]:
    """The answer to our request; the server may ask for an echo before."""
    decoder = json.JSONDecoder()
    text = ""
    content = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        connection.settimeout(left)
        part = connection.recv(1024 * 1024)
        if not part or len(content) > MAX_ANSWER:
            raise ConnectionError("it hung up" if not part else "its answer is too long")
        content += part
        # It writes nothing but one object after the other, so a brace is the end of one, or of a part of one.
        if not part.rstrip().endswith(b"}"):
            continue
        text = content.decode("utf-8", "replace").lstrip()
        while text:
            try:
                found, end = decoder.raw_decode(text)
            except ValueError:
                break
            if isinstance(found, dict) and found.get("id") == _REQUEST and "result" in found:
                return found
            text = text[end:].lstrip()
            content = text.encode()
