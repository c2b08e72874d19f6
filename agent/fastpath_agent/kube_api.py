# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The API of the cluster that the agent runs in, and the account that it has there."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Server:
    """Where the API is and how the agent proves who it is."""

    host: str
    port: int
    account: str = ACCOUNT

    @staticmethod
    def in_cluster(environment: Mapping[str, str], account: str = ACCOUNT) -> Server | None:
        """None outside of a pod."""
        host = environment.get("KUBERNETES_SERVICE_HOST", "")
        port = environment.get("KUBERNETES_SERVICE_PORT_HTTPS", environment.get("KUBERNETES_SERVICE_PORT", "443"))
        if not host or not port.isdigit() or not os.path.exists(f"{account}/token"):
            return None
        return Server(host, int(port), account)

    @property
    def authorization(self) -> dict[str, str]:
        """A header. The token is read for each request: it is rotated."""
        with open(f"{self.account}/token", encoding="ascii") as file:
            return {"Authorization": f"Bearer {file.read().strip()}"}


Connect = Callable[[Server, float], http.client.HTTPConnection]


def connect(server: Server, timeout: float) -> http.client.HTTPConnection:
    context = ssl.create_default_context(cafile=f"{server.account}/ca.crt")
    return http.client.HTTPSConnection(server.host, server.port, timeout=timeout, context=context)
