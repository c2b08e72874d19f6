# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the pages are to be had."""

from __future__ import annotations

import http.client
import socket
from http import HTTPStatus

import pytest
from fastpath_agent import http as http_module
from fastpath_agent.http import HttpServer


@pytest.mark.parametrize("both", [True, False])
def test_all_addresses_also_on_a_node_without_ipv6(both, monkeypatch):
    if both and not socket.has_dualstack_ipv6():
        both = False
    monkeypatch.setattr(http_module, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(http_module.socket, "has_dualstack_ipv6", lambda: both)
    server = HttpServer(("", 0), {"/x": lambda: (HTTPStatus.OK, "text/plain", "here")})
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/x")
    assert connection.getresponse().read() == b"here"
    connection.close()
    server.stop()
