# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes API as the plugins need it: read one pod, patch its annotations.

The standard library's HTTP client is enough for two requests, keeps the agent small, and does not change its interface
from one release to the next.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from fastpath_agent.cni.errors import API_REFUSED, TRY_AGAIN_LATER, CniError
from fastpath_agent.kube_api import Connect, Server, connect

MAX_ANSWER = 8 << 20
GONE, CONFLICT, TOO_LARGE, TOO_MANY = 404, 409, 413, 429


class PodGone(Exception):
    """There is no such pod, or it is another one by now."""


class Conflict(Exception):
    """The pod changed between reading and patching."""


class Pods(Protocol):
    """Failures are CniError: TRY_AGAIN_LATER where the API is away, API_REFUSED where it will not change its mind."""

    def get(self, namespace: str, name: str) -> Mapping[str, Any]: ...
    def patch(self, namespace: str, name: str, body: Mapping[str, Any]) -> None: ...
    def ready(self) -> bool: ...


class ApiPods:
    """Each thread keeps its connection: a handshake costs more than the request."""

    def __init__(self, server: Server, timeout: float = 10, connect: Connect = connect) -> None:
        self.server = server
        self.timeout = timeout
        self._connect = connect
        self._of_thread = threading.local()

    def get(self, namespace: str, name: str) -> Mapping[str, Any]:
        answer = self._request("GET", _path(namespace, name))
        try:
            pod = json.loads(answer)
        except (ValueError, RecursionError) as broken:
            raise CniError(
                TRY_AGAIN_LATER, f"the Kubernetes API answered no JSON for pod {namespace}/{name}"
            ) from broken
        if not isinstance(pod, dict):
            raise CniError(TRY_AGAIN_LATER, f"the Kubernetes API answered no pod for {namespace}/{name}")
        return pod

    def patch(self, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """Through the status subresource, so that the agent needs no right to change what pods run."""
        self._request("PATCH", f"{_path(namespace, name)}/status", json.dumps(body).encode())

    def ready(self) -> bool:
        try:
            self._request("GET", "/version")
        except (CniError, PodGone, Conflict):
            return False
        return True

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        for last in (False, True):
            connection = getattr(self._of_thread, "connection", None)
            fresh = connection is None
            try:
                if connection is None:
                    connection = self._of_thread.connection = self._connect(self.server, self.timeout)
                status, answer = self._exchange(connection, method, path, body)
            except (OSError, http.client.HTTPException) as failure:
                self._close()
                # A kept connection that the server closed meanwhile says nothing about the server. Both requests can
                # be made twice: the patch names the version that it is for.
                if last or fresh:
                    raise CniError(TRY_AGAIN_LATER, f"the Kubernetes API is away: {failure}"[:300]) from failure
            else:
                return _checked(status, answer, method, path)
        raise AssertionError("unreachable")

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "User-Agent": "fastpath-agent"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        headers.update(self.server.authorization)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read(MAX_ANSWER)
        if not response.isclosed():
            self._close()
        return response.status, answer

    def _close(self) -> None:
        connection = getattr(self._of_thread, "connection", None)
        self._of_thread.connection = None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()


def _path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"


def _checked(status: int, answer: bytes, method: str, path: str) -> bytes:
    if 200 <= status < 300:
        return answer
    told = f"the Kubernetes API answered {status} to {method} {path}: {_message(answer)}"
    if status == GONE:
        raise PodGone(told)
    if status == CONFLICT:
        raise Conflict(told)
    if status >= 500 or status == TOO_MANY:
        raise CniError(TRY_AGAIN_LATER, told)
    raise CniError(API_REFUSED, told)


def _message(answer: bytes) -> str:
    try:
        told = json.loads(answer).get("message", "")
    except (ValueError, AttributeError, RecursionError):
        told = answer.decode("utf-8", "replace")
    return str(told)[:300]
