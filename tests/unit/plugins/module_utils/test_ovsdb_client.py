# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The protocol on a connection: whatever a server may send, in whatever pieces, or not at all."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _ovsdb_client
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb_client import NoAnswer, OvsdbClient, Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

ECHO = {"id": "echo", "method": "echo", "params": ["still there?"]}
UPDATE = {"id": None, "method": "update", "params": ["monitor", {"T": {}}]}
LOCKED = {"id": None, "method": "locked", "params": ["lock"]}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class Stream:
    """Gives ``pieces`` one after another, and then the end of the connection."""

    def __init__(self, *pieces):
        self.pieces, self.sent, self.closed = list(pieces), [], False

    def settimeout(self, seconds):
        assert 0 < seconds <= 5

    def sendall(self, content):
        self.sent.append(json.loads(content))

    def recv(self, size):
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if isinstance(piece, bytes):
            return piece
        raise piece

    def close(self):
        self.closed = True


def text(message):
    return json.dumps(message, ensure_ascii=False).encode()


def reply(result, number=1):
    return text({"id": number, "result": result, "error": None})


def call(*pieces, method="m", params=("p",)):
    stream = Stream(*pieces)
    with OvsdbClient(stream, 5) as client:
        found = client.call(method, *params)
    assert stream.closed
    return found, stream.sent


def test_a_request_and_its_answer():
    found, sent = call(reply([{"rows": []}]), method="transact", params=("db", {"op": "comment"}))
    assert found == [{"rows": []}]
    assert sent == [{"method": "transact", "params": ["db", {"op": "comment"}], "id": 1}]


@settings(deadline=None)
@given(VALUES, st.lists(st.integers(1, 40), max_size=20))
def test_an_answer_in_any_pieces(value, sizes):
    content = text(UPDATE) + reply(value)
    pieces = []
    for size in sizes:
        pieces.append(content[:size])
        content = content[size:]
    assert call(*filter(None, [*pieces, content]))[0] == value


def test_a_letter_in_two_pieces():
    content = reply("µ")
    place = content.index("µ".encode()) + 1
    assert call(content[:place], content[place:])[0] == "µ"


def test_several_calls_on_one_connection():
    stream = Stream(reply("a") + b"\n " + reply("b", 2)[:5], reply("b", 2)[5:])
    with OvsdbClient(stream, 5) as client:
        assert [client.call("x"), client.call("y")] == ["a", "b"]
    assert [request["id"] for request in stream.sent] == [1, 2]


def test_what_the_server_asks_is_answered():
    found, sent = call(text(ECHO) + text(UPDATE), text(LOCKED) + reply("late"))
    assert found == "late"
    assert sent[1:] == [{"result": ["still there?"], "error": None, "id": "echo"}]


def test_an_echo_with_the_number_of_the_call_is_no_answer():
    assert call(text({**ECHO, "id": 1}), reply("right"))[0] == "right"


def test_an_answer_to_something_else_is_passed_over():
    assert call(reply("wrong", 7), reply("right"))[0] == "right"


def test_an_error():
    with pytest.raises(Rejected, match="rejected the request.*unknown database") as raised:
        call(text({"id": 1, "result": None, "error": {"error": "unknown database"}}))
    assert raised.value.error == {"error": "unknown database"}


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([], "it closed the connection"),
        ([reply("x")[:-3]], "it closed the connection"),
        ([b"what"], "no JSON came back: 'what'"),
        ([b"[1]"], r"no JSON came back: '\[1\]'"),
        ([b"\xff"], r"no JSON came back: b'\\xff'"),
        ([ConnectionResetError(104, "Connection reset by peer")], "Connection reset by peer"),
        ([socket.timeout("timed out")], "no answer within 5 s"),
    ],
)
def test_no_answer(pieces, said):
    with pytest.raises(NoAnswer, match=said):
        call(*pieces)


def test_an_answer_without_end(monkeypatch):
    monkeypatch.setattr(_ovsdb_client, "MAX_CHARACTERS", 1000)
    pieces = [b'{"id": 1, "result": "', *[b"x" * 300] * 5]
    with pytest.raises(NoAnswer, match="longer than 1000 characters"):
        call(*pieces)


def test_the_time_is_that_of_the_whole_call():
    """Whatever comes meanwhile, and however often: a call ends."""
    here, there = socket.socketpair()
    stop = threading.Event()

    def chatter():
        while not stop.wait(0.02):
            there.sendall(text(UPDATE))

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        with OvsdbClient(here, 0.2) as client, pytest.raises(NoAnswer, match=r"no answer within 0.2 s"):
            client.call("transact")
    finally:
        stop.set()
        thread.join()
        there.close()


def listening(path):
    listener = socket.socket(socket.AF_UNIX)
    # From within its folder, as the path may be longer than the kernel takes.
    listener.bind(str(path))
    listener.listen()
    return listener


def test_a_socket_deep_down(tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with listening("db.sock") as listener:
        stream = Host(str(tmp_path)).connect(f"/{folder.name}/db.sock", 3)
        server, _address = listener.accept()
        with server, OvsdbClient(stream, 3) as client:
            server.sendall(reply("here"))
            assert client.call("echo") == "here"
            assert json.loads(server.recv(4096))["method"] == "echo"


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listening("db.sock").close()
    with pytest.raises(ConnectionRefusedError):
        Host(str(tmp_path)).connect("/db.sock", 1)
    with pytest.raises(FileNotFoundError):
        Host(str(tmp_path)).connect("/other.sock", 1)
