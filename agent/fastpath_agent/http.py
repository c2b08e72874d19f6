# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Metrics, probes and the status over HTTP. It only reads: there is nothing to change by it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A page is its status, its type and its text.
Page = tuple[HTTPStatus, str, str]
REQUEST_SECONDS = 5.0
# How long a stop may have to wait.
STOP_SECONDS = 0.5


class HttpServer:
    """``pages``: by path. Each request gets what the page is at that moment."""

    def __init__(self, listen: tuple[str, int], pages: Mapping[str, Callable[[], Page]]) -> None:
        self._server = _Server(listen, pages)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_SECONDS,), name="http", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, listen: tuple[str, int], pages: Mapping[str, Callable[[], Page]]) -> None:
        self.pages = pages
        # A node can be without IPv6.
        host = listen[0] or ("::" if socket.has_dualstack_ipv6() else "0.0.0.0")
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, listen[1]), _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        status, kind, text = page() if page else (HTTPStatus.NOT_FOUND, "text/plain", "There is no such page.\n")
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """A probe each second is no news."""
