# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may connect gets through, both ways and whole; who may not is turned away without a byte."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import connect, is_socket, wait_for
from fastpath_agent import gate as gate_module
from fastpath_agent.gate import Gate
from fastpath_agent.unix_sockets import listen, peer_user


class Echo(threading.Thread):
    """Sends back what it gets, until the other side has said all."""

    def __init__(self, path) -> None:
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.accepted = 0
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while content := connection.recv(65536):
                connection.sendall(content)


@pytest.fixture
def echo(place):
    made = Echo(place / "inner")
    yield made
    made.listener.close()


@pytest.fixture
def make(place, echo):
    made = []

    def begin(users=(0,)) -> Gate:
        gate = Gate(str(place / "outer"), str(place / "inner"), users)
        gate.start()
        made.append(gate)
        return gate

    yield begin
    for gate in made:
        gate.stop()


def read_all(connection: socket.socket) -> bytes:
    content = b""
    while part := connection.recv(65536):
        content += part
    return content


def test_bytes_go_both_ways(make):
    with connect(make().path) as client:
        client.sendall(b"one")
        assert client.recv(10) == b"one"
        client.sendall(b"two")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"two"


def test_more_than_any_buffer_takes(make):
    content = os.urandom(3_000_000)
    with connect(make().path) as client:
        writer = threading.Thread(target=lambda: (client.sendall(content), client.shutdown(socket.SHUT_WR)))
        writer.start()
        assert read_all(client) == content
        writer.join()


def test_a_reader_that_does_not_read_does_not_fill_the_memory(make):
    gate = make()
    with connect(gate.path) as client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                client.sendall(b"x" * 65536)
        waiting = max(len(end.waiting) for end in gate._ends)
        assert waiting <= gate_module.MAX_WAITING + 65536


def test_only_those_who_may(make, echo):
    gate = make(users=(4711,))
    with connect(gate.path) as client:
        assert client.recv(1) == b""
    wait_for(lambda: gate.refused == 1, "a refusal")
    assert echo.accepted == 0


def test_many_at_once_and_nothing_left(make):
    gate = make()
    clients = [connect(gate.path) for _number in range(40)]
    for number, client in enumerate(clients):
        client.sendall(str(number).encode())
    for number, client in enumerate(clients):
        assert client.recv(10) == str(number).encode()
        client.close()
    wait_for(lambda: not gate._ends, "the end of all connections")


def test_too_many_are_turned_away(make, monkeypatch):
    monkeypatch.setattr(gate_module, "MAX_CONNECTIONS", 2)
    gate = make()
    clients = [connect(gate.path) for _number in range(2)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with connect(gate.path) as further:
        assert further.recv(1) == b""
    for client in clients:
        client.close()


def test_nobody_behind_the_gate(make, echo):
    gate = make()
    echo.listener.shutdown(socket.SHUT_RDWR)
    echo.listener.close()
    with connect(gate.path) as client:
        assert client.recv(1) == b""


def test_a_client_that_breaks_off(make):
    gate = make()
    client = connect(gate.path)
    client.sendall(b"x" * 200_000)
    client.close()
    wait_for(lambda: not gate._ends, "the end of the connection")
    with connect(gate.path) as other:
        other.sendall(b"y")
        assert other.recv(1) == b"y"


def test_the_socket_is_roots_alone_and_replaces_a_stale_one(make, place):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place / "outer"))
    gate = make()
    assert os.stat(gate.path).st_mode & 0o777 == 0o600
    connect(gate.path).close()


def test_no_socket_is_left(make, place):
    gate = Gate(str(place / "other"), str(place / "inner"), (0,))
    gate.start()
    gate.stop()
    assert not (place / "other").exists()


def test_what_was_cut_off_before_the_rename_is_no_obstacle(place):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(place / "outer.new"))
    with listen(str(place / "outer"), 1):
        assert is_socket(place / "outer")
        assert not (place / "outer.new").exists()


def test_the_peers_user():
    one, other = socket.socketpair()
    with one, other:
        assert peer_user(one) == os.getuid()


def test_no_descriptor_for_the_server_behind_is_no_end(make, monkeypatch):
    def none(*_arguments):
        raise OSError(errno.EMFILE, "Too many open files")

    gate = make()
    with monkeypatch.context() as patch:
        patch.setattr(gate_module, "socket", SimpleNamespace(socket=none, AF_UNIX=socket.AF_UNIX))
        with connect(gate.path) as client:
            assert client.recv(1) == b""
    with connect(gate.path) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
