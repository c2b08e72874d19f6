# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to a server inside a lab's network, from this program outside of it.

A socket belongs to the network that its thread was in when it was made, whoever uses it later.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from . import network, sandbox


def connect(netns: str, host: str, port: int, timeout: float) -> socket.socket:
    """Return a TCP connection made inside a namespace. Raises OSError."""

    def work() -> socket.socket:
        sandbox.enter_network(f"{network.NETNS_DIR}/{netns}")
        return socket.create_connection((host, port), timeout)

    # The thread stays in that network, so nobody may use it again.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(work).result()


class Connection(http.client.HTTPConnection):
    """An HTTP connection into a namespace, over TLS where a context is given."""

    def __init__(
        self, netns: str, host: str, port: int, tls: ssl.SSLContext | None = None, timeout: float = 5.0
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self._netns, self._tls = netns, tls

    def connect(self) -> None:
        """Open the socket inside."""
        plain = connect(self._netns, self.host, self.port, self.timeout or 5.0)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
