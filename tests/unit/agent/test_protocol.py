# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client's side of the protocol between the CNI shim and the agent."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from fastpath_agent.protocol import probe, request


@pytest.fixture
def server(place):
    """Answers each connection with the next of ``answers`` and keeps what it was asked."""
    listener = socket.socket(socket.AF_UNIX)
    path = str(place / "cni.sock")
    listener.bind(path)
    listener.listen()
    answers: list[bytes] = []
    asked: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                asked.append(stream.readline())
                connection.sendall(answers.pop(0))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield path, answers, asked
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_one_line_each_way(server):
    path, answers, asked = server
    answers.append(b'{"ok": true, "result": {"cniVersion": "1.1.0"}}\n')
    message = {"command": "ADD", "plugin": "vdpa", "netconf": {"name": "n\n"}, "env": {"CNI_IFNAME": "net1"}}
    assert request(path, message, 5) == {"ok": True, "result": {"cniVersion": "1.1.0"}}
    assert json.loads(asked[0]) == message
    assert asked[0].count(b"\n") == 1


def test_a_probe_asks_for_versions(server):
    path, answers, asked = server
    answers.append(b'{"ok": true, "result": {}}\n')
    assert probe(path, 5) == ""
    assert json.loads(asked[0])["command"] == "VERSION"


@pytest.mark.parametrize("answer", [b"", b"{}\n", b"[]\n", b"nothing\n"])
def test_what_is_no_answer(server, answer):
    path, answers, _asked = server
    answers.append(answer)
    assert "does not answer" in probe(path, 5)


def test_nobody_there(place):
    assert "does not answer" in probe(str(place / "none.sock"), 1)
