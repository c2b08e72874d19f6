# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Multus on a node: it answers, or one sentence says why pods would not get their networks."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._multus_node import (
    MultusState,
    multus_unmet,
    probe_socket,
    read_multus,
)

THICK = {"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus-shim", "clusterNetwork": "/x"}
THIN = {"cniVersion": "1.0.0", "name": "multus-cni-network", "plugins": [{"type": "multus"}]}


@pytest.fixture
def node(tmp_path):
    (tmp_path / "etc/cni/net.d").mkdir(parents=True)
    (tmp_path / "opt/cni/bin").mkdir(parents=True)
    return tmp_path


def put(node: Path, path: str, text: str = "", mode: int = 0o644) -> None:
    target = node / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def unmet(node: Path, variant: str, health: str = "") -> list[str]:
    host = Host(root=str(node))
    return multus_unmet(read_multus(host, "/opt/cni/bin", "/etc/cni/net.d", lambda _path: health), variant)


def test_a_daemon_that_is_well(node):
    put(node, "etc/cni/net.d/00-multus.conf", json.dumps(THICK))
    put(node, "etc/cni/net.d/10-bridge.conflist", "{}")
    put(node, "opt/cni/bin/multus-shim", mode=0o755)
    assert unmet(node, "thick") == []


def test_a_plugin_without_a_daemon(node):
    put(node, "etc/cni/net.d/00-multus.conflist", json.dumps(THIN))
    put(node, "opt/cni/bin/multus", mode=0o755)
    assert unmet(node, "thin") == ["multus.d/multus.kubeconfig is missing"]
    put(node, "etc/cni/net.d/multus.d/multus.kubeconfig")
    assert unmet(node, "thin") == []


def test_one_that_others_brought_may_be_of_either_kind(node):
    put(node, "etc/cni/net.d/05-cni.conflist", json.dumps(THIN))
    put(node, "opt/cni/bin/multus", mode=0o755)
    assert unmet(node, "any") == []
    put(node, "etc/cni/net.d/00-multus.conf", json.dumps(THICK))
    assert "the plugin multus-shim is missing" in unmet(node, "any")[0]
    put(node, "opt/cni/bin/multus-shim", mode=0o755)
    assert unmet(node, "any") == []
    assert unmet(node, "any", "no socket") == ["no socket"]


def test_one_that_others_brought_is_away(node):
    """As it is after a reboot, before its daemon writes its configuration."""
    assert "the first network configuration is none and not Multus (fastpath_cni_" in unmet(node, "any")[0]
    put(node, "etc/cni/net.d/10-bridge.conflist", json.dumps({"plugins": [{"type": "bridge"}]}))
    assert "is 10-bridge.conflist, which calls bridge and not Multus" in unmet(node, "any")[0]


def test_a_daemon_is_asked_where_its_plugin_asks(node):
    asked = []
    for more in ({}, {"daemonSocketDir": "/run/other/"}):
        put(node, "etc/cni/net.d/00-multus.conf", json.dumps({**THICK, **more}))
        read_multus(Host(root=str(node)), "/opt/cni/bin", "/etc/cni/net.d", lambda path: asked.append(path) or "")
    assert [path.removeprefix(str(node)) for path in asked] == ["/run/multus/multus.sock", "/run/other/multus.sock"]


def test_nothing_there(node):
    assert unmet(node, "thick") == ["the first network configuration is none and not that of Multus"]
    put(node, "etc/cni/net.d/10-bridge.conflist", "{}")
    put(node, "etc/cni/net.d/00-multus.conf.bak", json.dumps(THICK))
    assert "is 10-bridge.conflist and not" in unmet(node, "thick")[0]


def test_another_configuration_before_it(node):
    put(node, "etc/cni/net.d/00-a.conf", json.dumps(THICK))
    put(node, "etc/cni/net.d/00-multus.conf", json.dumps(THICK))
    assert "is 00-a.conf and not" in unmet(node, "thick")[0]


def test_the_other_variant(node):
    put(node, "etc/cni/net.d/00-multus.conf", json.dumps(THICK))
    assert unmet(node, "thin") == ["00-multus.conf calls multus-shim and not multus"]


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"plugins": []}', '{"plugins": [3]}', '{"plugins": {"a": 1}}', '{"plugins": "x"}']
)
def test_half_a_configuration(node, text):
    put(node, "etc/cni/net.d/00-multus.conf", text)
    assert unmet(node, "thick") == ["00-multus.conf calls nothing and not multus-shim"]


def test_a_daemon_that_is_not_well_and_a_plugin_that_is_missing(node):
    put(node, "etc/cni/net.d/00-multus.conf", json.dumps(THICK))
    put(node, "opt/cni/bin/multus-shim", mode=0o644)
    assert unmet(node, "thick", "no socket") == ["the plugin multus-shim is missing", "no socket"]


def test_a_state_of_nothing():
    assert multus_unmet(MultusState(), "thick") and multus_unmet(MultusState(), "any")


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A server on a Unix socket that answers each request with one line."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def serve(status: str) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind("multus.sock")
        listener.listen()

        def answer() -> None:
            with listener, listener.accept()[0] as client:
                asked.append(client.recv(4096).decode().splitlines()[0])
                client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        threads.append(thread)

    threads: list[threading.Thread] = []
    yield serve, asked
    for thread in threads:
        thread.join(5)


def test_asking_the_daemon(daemon):
    serve, asked = daemon
    serve("200 OK")
    assert probe_socket("multus.sock") == ""
    assert asked == ["GET /healthz HTTP/1.1"]


def test_a_daemon_that_says_no(daemon):
    serve, _asked = daemon
    serve("500 Internal Server Error")
    assert probe_socket("multus.sock") == "multus.sock answers 500 Internal Server Error"


def test_no_daemon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert probe_socket("multus.sock") == "multus.sock: No such file or directory"


def test_a_daemon_that_says_nothing_that_is_http(daemon):
    serve, _asked = daemon
    serve("\0")
    assert probe_socket("multus.sock").startswith("multus.sock: ")
