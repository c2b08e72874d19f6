# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shim as a process, as a runtime starts it: installed by the installer, asking a server."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import CONTAINER, NETNS, vdpa_conf
from fastpath_agent.cni import installer, shim
from fastpath_agent.cni_server import CniServer, encode

ENVIRONMENT = {
    "CNI_CONTAINERID": CONTAINER,
    "CNI_NETNS": NETNS,
    "CNI_IFNAME": "net1",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=a",
    "CNI_PATH": "/opt/cni/bin",
}


class Place:
    """A folder of CNI plugins and, when started, an agent that answers what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "agent" / "cni.sock")
        self.bin = folder / "bin"
        self.asked: list[Any] = []
        self.answer: dict[str, Any] = {"ok": True, "result": {}}
        self.server: CniServer | None = None
        self.install()

    def install(self, source: str | None = None) -> None:
        content = installer.render("1.2.3", self.socket, sys.executable, source)
        installer.Installer(str(self.bin), content).install()

    def start(self) -> None:
        def answer(message: object) -> dict[str, Any]:
            self.asked.append(message)
            return self.answer

        self.server = CniServer(answer, self.socket, users=frozenset((os.getuid(),)))
        self.server.start()

    def run(
        self, command: str, stdin: bytes | str = b"{}", name: str = "vdpa", **variables: Any
    ) -> subprocess.CompletedProcess[bytes]:
        environment: dict[Any, Any] = {**ENVIRONMENT, "CNI_COMMAND": command, **variables}
        return subprocess.run(
            [str(self.bin / name)],
            input=stdin if isinstance(stdin, bytes) else stdin.encode(),
            env={key: value for key, value in environment.items() if value},
            capture_output=True,
            timeout=60,
            check=False,
        )

    def error(self, command: str, stdin: bytes | str = b"{}", **variables: Any) -> dict[str, Any]:
        done = self.run(command, stdin, **variables)
        assert done.returncode == 1, done
        assert done.stderr == b""
        return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    if made.server is not None:
        made.server.stop()


def test_request_is_what_the_runtime_said(place: Place) -> None:
    place.start()
    conf = vdpa_conf()
    place.run("ADD", json.dumps(conf, indent=4), CNI_OTHER="not passed on")
    place.run("DEL", json.dumps(conf), name="userspace", CNI_NETNS="", CNI_ARGS="")
    first, second = place.asked
    assert json.loads(first["netconf"]) == conf
    assert (first["command"], first["plugin"]) == ("ADD", "vdpa")
    assert first["env"] == ENVIRONMENT
    assert (second["command"], second["plugin"]) == ("DEL", "userspace")
    assert second["env"] == {key: ENVIRONMENT[key] for key in ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH")}


@pytest.mark.parametrize(
    "stdin",
    [
        b'{"cniVersion":"1.0.0"}","env":{"CNI_CONTAINERID":"other"},"x":"',
        b'"}, "command": "DEL", "netconf": {"a": "',
        '{"name": "\\ud800 \u2028 \U0001f600 \x7f"}'.encode(),
        b'{"name": "\xff\xfe"}',
        b"\x00\x01\n\r\t",
        b"",
        b"null",
    ],
)
def test_no_configuration_can_change_the_request(place: Place, stdin: bytes) -> None:
    place.start()
    place.run("CHECK", stdin)
    (asked,) = place.asked
    assert asked["netconf"] == stdin.decode("utf-8", "backslashreplace")
    assert (asked["command"], asked["plugin"], asked["env"]) == ("CHECK", "vdpa", ENVIRONMENT)


def test_variables_that_are_no_text_reach_the_agent_as_such(place: Place) -> None:
    place.start()
    place.run("ADD", b"{}", CNI_ARGS=b'A="\\;B=\xff\n')
    assert place.asked[0]["env"]["CNI_ARGS"] == 'A="\\;B=\udcff\n'


def test_result_is_printed_as_it_came(place: Place) -> None:
    place.start()
    result = {"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "note": "ü" * 100_000}]}
    place.answer = {"ok": True, "result": result}
    done = place.run("ADD", json.dumps(vdpa_conf()))
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == result
    place.answer = {"ok": True, "result": {}}
    done = place.run("DEL")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_error_is_printed_as_it_came_with_exit_code_1(place: Place) -> None:
    place.start()
    error = {"cniVersion": "0.4.0", "code": 7, "msg": 'wrong "thing"', "details": "x"}
    place.answer = {"ok": False, "error": error}
    assert place.error("ADD") == error


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC"])
def test_agent_away_is_try_again_later(place: Place, command: str) -> None:
    error = place.error(command, json.dumps(vdpa_conf(cniVersion="0.4.0")))
    assert (error["code"], error["cniVersion"]) == (11, "0.4.0")
    assert "agent" in error["msg"] and place.socket in error["details"]


def test_agent_away_has_a_code_of_its_own_for_status(place: Place) -> None:
    assert place.error("STATUS", '{"cniVersion": "1.1.0"}')["code"] == 50


def test_socket_without_a_listener_is_an_agent_away(place: Place) -> None:
    os.makedirs(os.path.dirname(place.socket))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.socket)
    assert place.error("ADD", "no json")["code"] == 11


@pytest.mark.parametrize("answer", [b"", b'{"ok":true,"result":{"cni', b"garbage\n", b'{"ok":true}\n', b"\n"])
def test_answer_that_is_none_is_try_again_later(place: Place, answer: bytes) -> None:
    os.makedirs(os.path.dirname(place.socket))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.socket)
        listener.listen(1)

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(1 << 20)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        error = place.error("ADD")
        thread.join()
    assert error["code"] == 11


def test_agent_that_never_answers_is_waited_for_in_bounds(place: Place) -> None:
    place.install(installer.SOURCE.read_text().replace("ANSWER_SECONDS = 60.0", "ANSWER_SECONDS = 0.2"))
    os.makedirs(os.path.dirname(place.socket))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place.socket)
        listener.listen(1)
        began = time.monotonic()
        assert place.error("ADD")["code"] == 11
        assert time.monotonic() - began < 10


def test_full_queue_is_waited_for_in_bounds(place: Place) -> None:
    place.install(installer.SOURCE.read_text().replace("ANSWER_SECONDS = 60.0", "ANSWER_SECONDS = 0.3"))
    os.makedirs(os.path.dirname(place.socket))
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as other:
        listener.bind(place.socket)
        listener.listen(0)
        other.connect(place.socket)
        assert place.error("ADD")["code"] == 11


def test_standard_input_that_never_ends_is_an_error_in_bounds(place: Place) -> None:
    place.install(installer.SOURCE.read_text().replace("INPUT_SECONDS = 10.0", "INPUT_SECONDS = 0.2"))
    process = subprocess.Popen(
        [str(place.bin / "vdpa")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**ENVIRONMENT, "CNI_COMMAND": "ADD"},
    )
    assert process.stdout is not None and process.stdin is not None
    error = json.loads(process.stdout.read())
    assert process.wait(30) == 1
    process.stdin.close()
    process.stdout.close()
    assert error["code"] == 5


def test_huge_configuration_is_refused(place: Place) -> None:
    done = place.run("ADD", b"x" * (shim.MAX_BYTES + 2))
    assert json.loads(done.stdout)["code"] == 5


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        ('{"cniVersion": "0.4.0"}', "0.4.0"),
        ('{"cniVersion": "9.9.9"}', "1.1.0"),
        ("", "1.1.0"),
        ("[]", "1.1.0"),
        ("nonsense", "1.1.0"),
    ],
)
def test_version_needs_no_agent(place: Place, stdin: str, version: str) -> None:
    done = place.run("VERSION", stdin, CNI_CONTAINERID="", CNI_IFNAME="")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "cniVersion": version,
        "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
    }


def test_without_a_command_it_says_what_it_is(place: Place) -> None:
    done = place.run("", name="vhostuser")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"CNI plugin vhostuser v1.2.3\nCNI protocol versions supported: 0.3.1,")


def test_it_imports_next_to_nothing(place: Place) -> None:
    """What makes Python slow to start: none of it on the way of a request."""
    place.start()
    program = (place.bin / "vdpa").read_text()
    done = subprocess.run(
        [sys.executable, "-ISX", "importtime", str(place.bin / "vdpa")],
        input=b"{}",
        env={**ENVIRONMENT, "CNI_COMMAND": "ADD"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert imported.isdisjoint({"json", "re", "enum", "typing", "socket", "subprocess", "site", "collections"})
    assert program.startswith(f"#!{sys.executable} -IS\n")


def test_it_is_python_3_9() -> None:
    ast.parse(installer.SOURCE.read_text(), feature_version=(3, 9))


def test_server_and_shim_know_the_same_beginning() -> None:
    assert encode({"ok": True, "result": {"a": 1}}) == shim.GOOD + b'{"a":1}}\n'
    assert encode({"ok": False, "error": {"a": 1}}) == shim.BAD + b'{"a":1}}\n'


def test_shim_and_agent_know_the_same_facts() -> None:
    from fastpath_agent import cni_server
    from fastpath_agent.cni.versions import SUPPORTED

    assert shim.SOCKET == cni_server.SOCKET
    assert shim.SUPPORTED == SUPPORTED
    assert shim.MAX_BYTES <= cni_server.MAX_REQUEST
