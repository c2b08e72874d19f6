# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch's database over its socket, against a model of it and against the real one where there is one."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_plan import ADD_BRIDGE
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_transaction import transaction
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.tests.ovs_sandbox import Sandbox, available
from ansible_collections.nfv.fastpath.tests.unit.agent.ovs_server import OvsServer
from fastpath_agent import ovsdb_socket
from fastpath_agent.ovsdb_socket import SocketOvsdb


@pytest.fixture
def server(place):
    made = OvsServer(place)
    yield made
    made.stop()


def database(path: str, timeout: int = 5) -> SocketOvsdb:
    return SocketOvsdb(Host(), path, timeout=timeout)


@pytest.mark.parametrize("chunk", [0, 1, 7, 1000])
def test_an_answer_in_pieces(server, chunk):
    server.add_bridge("br0", external_ids={"text": "with } and { in it }"})
    server.chunk = chunk
    found = database(server.path).read()
    assert found.bridges["br0"].get("external_ids", "text") == "with } and { in it }"


def test_an_echo_before_the_answer(server):
    server.add_bridge("br0")
    server.echo_first = True
    for chunk in (0, 3):
        server.chunk = chunk
        assert list(database(server.path).read().bridges) == ["br0"]


def test_a_refusal(server):
    with pytest.raises(FastpathError, match="refused the change"):
        database(server.path).transact([{"op": "insert", "table": "Port", "row": {"nothing": 1}, "uuid-name": "x"}])


def test_a_change_is_taken_over(server):
    found = database(server.path)
    number = found.commit(transaction([], found.read()))
    assert found.taken_over(number)
    server.running = False
    number = found.commit(transaction([], found.read()))
    assert not found.taken_over(number)


@pytest.mark.parametrize("answer", [b"", b"{", b'{"id": 1, "error": "no"}', b"nothing}"])
def test_what_is_no_answer(place, answer):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "db.sock"))
        listener.listen()

        def serve():
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FastpathError, match="did not answer"):
            database(str(place / "db.sock"), 1).transact([])
        thread.join()


def test_an_error_of_the_protocol(place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "db.sock"))
        listener.listen()

        def serve():
            connection, _address = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'{"id": 1, "result": null, "error": {"error": "unknown database"}}')

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FastpathError, match="unknown database"):
            database(str(place / "db.sock"), 1).transact([])
        thread.join()


def test_a_server_that_says_nothing(place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "db.sock"))
        listener.listen()
        with pytest.raises(FastpathError, match="did not answer"):
            database(str(place / "db.sock"), 1).transact([])


def test_no_server(place):
    with pytest.raises(FastpathError, match="did not answer"):
        database(str(place / "db.sock")).transact([])


def test_an_answer_without_end(place, monkeypatch):
    monkeypatch.setattr(ovsdb_socket, "MAX_ANSWER", 100_000)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "db.sock"))
        listener.listen()

        def serve():
            connection, _address = listener.accept()
            with connection:
                try:
                    while True:
                        connection.sendall(b"[" * 10_000)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FastpathError, match="too long"):
            database(str(place / "db.sock"), 5).transact([])
        thread.join()


@pytest.mark.skipif(not available(with_vswitchd=False), reason="there is no ovsdb-server")
def test_the_real_server(place):
    sandbox = Sandbox(place)
    sandbox.start_server()
    try:
        found = SocketOvsdb(sandbox, "/run/openvswitch/db.sock", timeout=5)
        assert found.read().bridges == {}
        local = {"br0": {"port": {}, "interfaces": {"br0": {"type": "internal"}}}}
        step = Operation(ADD_BRIDGE, "br0", None, {"bridge": {"datapath_type": "netdev"}, "ports": local})
        number = found.commit(transaction([step], found.read()))
        assert found.read().bridges["br0"].get("datapath_type") == "netdev"
        assert not found.taken_over(number)
        assert sandbox.vsctl("--no-wait", "list-br") == "br0"
        with pytest.raises(FastpathError, match="refused the change"):
            found.transact([{"op": "insert", "table": "Bridge", "row": {"no_such_column": 1}}])
    finally:
        sandbox.stop()
    assert not os.path.exists(place / "run/openvswitch/ovsdb-server.pid")
