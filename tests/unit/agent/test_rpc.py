# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""GetSocketpath over the wire, for clients of all ages."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from fastpath_agent.rpc import RpcServer, ask, probe
from fastpath_agent.wire import FULL_METHOD

PATH = "/var/run/vdpa/pods/uid-1/vdpa-3"


class Server:
    def __init__(self, place, users=(0,)) -> None:
        self.table = {"0000:83:00.5": PATH}
        self.path = str(place / "vdpa.sock")
        self.server = RpcServer(self.path, str(place / "grpc"), lambda address: self.table.get(address, ""), users)


@pytest.fixture
def server(place):
    made = Server(place)
    yield made
    made.server.stop()


def raw(path: str, request: bytes, method: str = FULL_METHOD, **options: str) -> bytes:
    """A call with bytes as they are."""
    with grpc.insecure_channel(f"unix:{path}", options=list(options.items())) as channel:
        return bytes(channel.unary_unary(method)(request, timeout=10))


def test_recorded_bytes_of_the_first_client(server):
    """Not against our own encoder: the request and both answers as they were recorded."""
    answer = raw(server.path, bytes.fromhex("0a0c303030303a38333a30302e35"))
    assert answer == bytes([0x0A, len(PATH)]) + PATH.encode()
    assert raw(server.path, bytes.fromhex("0a0c303030303a38323a30302e35")) == b""


def test_the_table_is_live(server):
    """The first server read it once, and served an empty one for ever when it came too early."""
    assert ask(server.path, "0000:83:00.6") == ""
    server.table["0000:83:00.6"] = "/x"
    assert ask(server.path, "0000:83:00.6") == "/x"
    del server.table["0000:83:00.6"]
    assert ask(server.path, "0000:83:00.6") == ""
    assert server.server.calls == {"found": 1, "unknown": 2}


@pytest.mark.parametrize(
    "authority", ["/var/run/vdpa/vdpa.sock", "%2Fvar%2Frun%2Fvdpa%2Fvdpa.sock", "localhost", "a b"]
)
def test_any_authority(server, authority):
    """Old clients of Go send the path of the socket."""
    options = {"grpc.default_authority": authority}
    assert PATH.encode() in raw(server.path, bytes.fromhex("0a0c303030303a38333a30302e35"), **options)


@pytest.mark.parametrize("request_", [b"\x0a\x05ab", b"\xff" * 20])
def test_bytes_that_are_no_request(server, request_):
    with pytest.raises(grpc.RpcError) as error:
        raw(server.path, request_)
    assert error.value.code() is grpc.StatusCode.INTERNAL
    assert ask(server.path, "0000:83:00.5") == PATH


def test_a_request_that_is_too_long(server):
    with pytest.raises(grpc.RpcError) as error:
        raw(server.path, b"\x0a\x80\x80\x04" + b"x" * 65536)
    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_method_that_there_is_not(server):
    with pytest.raises(grpc.RpcError) as error:
        raw(server.path, b"", "/vdpadpdk.VdpaDpdk/Other")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_users_who_may_not_ask(place):
    server = Server(place, users=(4711,))
    assert "does not answer" in probe(server.path, 0.5)
    assert server.server.gate.refused >= 1
    assert server.server.calls == {"found": 0, "unknown": 0}
    server.server.stop()


def test_nobody_else_gets_to_the_inner_socket(server, place):
    assert os.stat(place / "grpc").st_mode & 0o777 == 0o700
    assert os.stat(server.path).st_mode & 0o777 == 0o600


def test_many_clients_at_once(server):
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _number: ask(server.path, "0000:83:00.5"), range(48))) == {PATH}


def test_a_probe_asks_like_everybody(server):
    assert probe(server.path, 2) == ""


def test_a_stopped_server_is_gone(place):
    server = Server(place)
    server.server.stop()
    assert not os.path.exists(server.path)
    assert "does not answer" in probe(server.path, 0.3)
    assert not any(thread.name == "gate" for thread in threading.enumerate())
