# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's socket: who may ask, what a request is, and many at once."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import IPAM, pod, vdpa_conf
from fastpath_agent import cni_server
from fastpath_agent.cni.dispatch import Dispatcher
from fastpath_agent.cni.toolbox import toolbox
from fastpath_agent.cni_server import CniServer, build


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "agent" / "cni.sock")


@pytest.fixture
def server(path: str) -> Iterator[CniServer]:
    made = CniServer(lambda message: {"ok": True, "result": {"got": message}}, path, frozenset((os.getuid(),)))
    made.start()
    yield made
    made.stop()


def exchange(path: str, content: bytes, close: bool = False) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(content)
        if close:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    return received


def error_of(answer: bytes) -> dict[str, Any]:
    decoded = json.loads(answer)
    assert decoded["ok"] is False
    return decoded["error"]


def test_only_its_owner_can_connect(server: CniServer, path: str) -> None:
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_another_user_is_hung_up_on(path: str) -> None:
    asked: list[Any] = []
    server = CniServer(lambda message: asked.append(message) or {}, path, frozenset((os.getuid() + 1,)))
    server.start()
    try:
        # It may be gone before or after the request was written.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            assert exchange(path, b"{}\n") == b""
    finally:
        server.stop()
    assert asked == []


def test_request_and_answer_are_one_line_each(server: CniServer, path: str) -> None:
    answer = exchange(path, b'{"command": "ADD"}\n')
    assert answer == b'{"ok":true,"result":{"got":{"command":"ADD"}}}\n'


@pytest.mark.parametrize("content", [b"nonsense\n", b"\n", b'{"a": NaN}\n', b"[" * 100_000 + b"\n", b"\xff\n"])
def test_what_is_no_json_is_an_error(server: CniServer, path: str, content: bytes) -> None:
    assert error_of(exchange(path, content))["code"] == 6


def test_half_a_request_is_an_error(server: CniServer, path: str) -> None:
    assert error_of(exchange(path, b'{"command"', close=True))["code"] == 6


def test_request_that_is_too_long_is_an_error(server: CniServer, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cni_server, "MAX_REQUEST", 1000)
    assert error_of(exchange(path, b"x" * 2000))["code"] == 6


def test_request_that_does_not_come_holds_nobody_up(
    server: CniServer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cni_server, "REQUEST_SECONDS", 0.2)
    assert error_of(exchange(path, b'{"command"'))["code"] == 11


def test_shim_that_hung_up_does_no_harm(path: str) -> None:
    release = threading.Event()
    server = CniServer(lambda _message: release.wait(5) and {"ok": True}, path, frozenset((os.getuid(),)))  # type: ignore
    server.start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(b"{}\n")
    release.set()
    assert exchange(path, b"{}\n") == b'{"ok":true}\n'
    server.stop()


def test_restart_takes_the_place_of_a_killed_agent(path: str) -> None:
    os.makedirs(os.path.dirname(path))
    for name in (path, f"{path}.new"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
    server = CniServer(lambda _message: {"ok": True}, path, frozenset((os.getuid(),)))
    server.start()
    assert exchange(path, b"{}\n") == b'{"ok":true}\n'
    server.stop()
    assert os.listdir(os.path.dirname(path)) == []
    server.stop()


def test_stop_waits_for_what_has_begun(path: str) -> None:
    begun, ended = threading.Event(), []

    def answer(_message: object) -> dict[str, Any]:
        begun.set()
        time.sleep(0.2)
        ended.append(True)
        return {"ok": True}

    server = CniServer(answer, path, frozenset((os.getuid(),)))
    server.start()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(exchange, path, b"{}\n")
        begun.wait(5)
        server.stop()
        assert ended == [True]
        assert asked.result(5) == b'{"ok":true}\n'


def test_fifty_at_once_each_get_their_own_and_leave_nothing(tmp_path: Path, path: str) -> None:
    node = Node(tmp_path / "host")
    before = None
    messages = []
    for number in range(50):
        name, uid = f"pod-{number}", f"uid-{number}"
        node.pods.put(pod(name=name, uid=uid))
        messages.append(
            node.message(
                "ADD",
                vdpa_conf(deviceID=f"0000:{number:02x}:00.1", ipam=IPAM),
                CNI_CONTAINERID=f"c{number}",
                CNI_ARGS=f"K8S_POD_NAMESPACE=apps;K8S_POD_NAME={name};K8S_POD_UID={uid}",
            )
        )
    before = node.left()
    server = CniServer(node.dispatcher.answer, path, frozenset((os.getuid(),)))
    server.start()

    def ask(message: dict[str, Any]) -> dict[str, Any]:
        return json.loads(exchange(path, json.dumps(message).encode() + b"\n"))

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, messages))
        assert all(answer["ok"] for answer in answers), answers
        folders = {lease.directory for lease in node.sockets.leases()}
        assert len(folders) == 50
        answers = list(pool.map(ask, [{**message, "command": "DEL"} for message in messages]))
        assert all(answer == {"ok": True, "result": {}} for answer in answers)
    server.stop()
    assert node.left() == before
    assert node.box.records._locks == {}


def test_one_device_for_two_is_given_to_one(node: Node, path: str) -> None:
    node.pods.put(pod())
    node.pods.put(pod(name="other", uid="other-uid"))
    node.good("ADD", vdpa_conf())
    error = node.bad("ADD", vdpa_conf(), CNI_CONTAINERID="other", CNI_ARGS="K8S_POD_NAMESPACE=apps;K8S_POD_NAME=other")
    assert error["code"] == 11 and "taken" in error["msg"]
    assert len(node.sockets.table) == 1


def test_built_server_takes_back_what_a_former_agent_left(tmp_path: Path, path: str) -> None:
    node = Node(tmp_path / "host")
    node.pods.put(pod())
    node.good("ADD", vdpa_conf())
    record = node.box.records.all()[0]
    node.box.records.put(replace(record, state="adding"))
    server, dispatcher = build(node.box, path, frozenset((os.getuid(),)))
    assert node.sockets.table == {} and node.box.records.all() == []
    server.start()
    answer = json.loads(exchange(path, json.dumps(node.message("ADD", vdpa_conf())).encode() + b"\n"))
    server.stop()
    assert answer["ok"]
    dispatcher.repair()


def test_toolbox_of_a_node(tmp_path: Path) -> None:
    node = Node(tmp_path / "host")
    box = toolbox(node.settings, node.sockets, node.pods, run=node.programs)
    node.pods.put(pod())
    answer = Dispatcher(box).answer(node.message("ADD", vdpa_conf(ipam=IPAM)))
    assert answer["ok"], answer
