# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch's database over its socket (RFC 7047): one transaction for a connection, no program in between."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fastpath_agent.cni.errors import SWITCH_FAILED, TRY_AGAIN_LATER, CniError

SCHEMA = "Open_vSwitch"
MAX_ANSWER = 64 << 20
Step = Mapping[str, Any]


class Outdated(Exception):
    """The database was not as the transaction expected it; nothing was changed."""


class Ovsdb:
    def __init__(self, path: str, timeout: float = 10) -> None:
        self.path = path
        self.timeout = timeout

    def transact(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """The answers. Outdated where a ``wait`` did not hold, CniError where the database refused or is away."""
        request = json.dumps({"method": "transact", "params": [SCHEMA, *steps], "id": 0}).encode()
        try:
            reply = self._exchange(request)
        except OSError as error:
            raise CniError(TRY_AGAIN_LATER, f"Open vSwitch's database at {self.path} is away: {error}") from error
        if reply.get("error") is not None or not isinstance(reply.get("result"), list):
            raise CniError(SWITCH_FAILED, f"Open vSwitch's database refused: {reply.get('error')}"[:500])
        answers = reply["result"]
        for answer in answers:
            if isinstance(answer, dict) and "error" in answer:
                if answer["error"] == "timed out":
                    raise Outdated
                told = f"{answer['error']} ({answer.get('details', 'no details')})"
                raise CniError(SWITCH_FAILED, f"Open vSwitch's database refused, nothing was changed: {told}"[:500])
        return [answer for answer in answers if isinstance(answer, dict)]

    def _exchange(self, request: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self.timeout
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(self.timeout)
            connection.connect(self.path)
            connection.sendall(request)
            received = b""
            while len(received) < MAX_ANSWER:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                connection.settimeout(left)
                part = connection.recv(1 << 18)
                if not part:
                    raise ConnectionError("it hung up")
                received += part
                for message in _messages(received):
                    if message.get("id") == 0 and "result" in message:
                        return message
            raise TimeoutError("no whole answer in time")


def _messages(received: bytes) -> list[dict[str, Any]]:
    """Whole JSON objects at the beginning; the server may send a request of its own first (an echo)."""
    if not received.rstrip().endswith(b"}"):
        return []
    decoder = json.JSONDecoder()
    found = []
    try:
        text = received.decode("utf-8")
        place = 0
        while place < len(text):
            message, place = decoder.raw_decode(text, place)
            found.append(message)
            while place < len(text) and text[place].isspace():
                place += 1
    except ValueError:
        pass
    return [message for message in found if isinstance(message, dict)]


def as_map(value: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, text] for key, text in sorted(value.items())]]


def from_map(value: Any) -> dict[str, str]:
    return {str(key): str(text) for key, text in value[1]} if isinstance(value, list) and value[:1] == ["map"] else {}


def from_set(value: Any) -> list[Any]:
    """A column that holds any number of values: one stands without its brackets."""
    if isinstance(value, list) and value[:1] == ["set"]:
        return list(value[1])
    return [value]
