# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The only door to a cluster: requests to its API server, and what they answer.

Everything that reads or changes a cluster takes a ``Kube``, so that tests hand in a cluster of their own and count what
it is asked. Objects are plain JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import urlencode

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

FIELD_MANAGER = "nfv.fastpath"
JSON, MERGE_PATCH = "application/json", "application/merge-patch+json"
REQUEST_SECONDS = 30.0
PAUSE_SECONDS = 2.0
PATIENCE_SECONDS = 120
CONFLICT, GONE, TOO_MANY = 409, 404, 429
# The server is up and says that it cannot answer just now.
BUSY = (500, 502, 503, 504)
CONNECTION_OPTIONS: dict[str, Any] = {
    "kubeconfig": {"type": "path", "required": True},
    "context": {"type": "str"},
    "api_timeout": {"type": "int", "default": PATIENCE_SECONDS},
}


class NoAnswer(Exception):
    """The API server could not be reached; the text says why."""


@dataclass(frozen=True)
class Ask:
    """One request. ``path`` begins with ``/api``."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any = None


Request = Callable[[Ask], Answer]


class KubeError(FastpathError):
    """What the API server refused, in its own words."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Kube:
    """Requests that outlast a restart of the API server for up to ``patience`` seconds.

    Every request can be repeated: patches say how the object shall be, and an eviction that has happened is no harm.
    """

    def __init__(
        self,
        request: Request,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request
        self.patience = patience
        self.clock = clock
        self.sleep = sleep

    def get(self, path: str) -> dict[str, Any] | None:
        """An object; None where there is none."""
        answer = self.ask(Ask("GET", path), accept=(GONE,))
        return None if answer.status == GONE else dict(answer.body)

    def items(self, path: str, labels: str = "", fields: str = "") -> list[dict[str, Any]] | None:
        """Objects of one kind in one request; None where the cluster does not know the kind."""
        query = {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        answer = self.ask(Ask("GET", path, query), accept=(GONE,))
        return None if answer.status == GONE else [dict(item) for item in answer.body.get("items") or ()]

    def merge_patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change some fields; None as a value removes."""
        answer = self.ask(Ask("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, MERGE_PATCH))
        return dict(answer.body)

    def delete(self, path: str, uid: str = "") -> bool:
        """Whether there was something to delete. ``uid``: only this very object, not one that took its place."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **({"preconditions": {"uid": uid}} if uid else {})}
        return self.ask(Ask("DELETE", path, {}, body), accept=(GONE, CONFLICT)).status not in (GONE, CONFLICT)

    def ask(self, ask: Ask, accept: tuple[int, ...] = ()) -> Answer:
        """An answer that is a success or in ``accept``; KubeError otherwise, or when patience has run out."""
        deadline = self.clock() + self.patience
        while True:
            try:
                answer = self._request(ask)
                trouble = _said(answer)
                if answer.status < 300 or answer.status in accept:
                    return answer
                if answer.status not in (*BUSY, TOO_MANY):
                    raise KubeError(f"{ask.method} {ask.path}: {trouble}", answer.status)
            except NoAnswer as reason:
                trouble = str(reason)
            if self.clock() >= deadline:
                message = f"The API server did not answer {ask.method} {ask.path} for {self.patience:g} s: {trouble}"
                raise KubeError(message)
            self.sleep(PAUSE_SECONDS)

    def wait(self, unmet: Callable[[], list[str]], timeout: float) -> list[str]:
        """Ask until nothing is unmet any more, or time is over; what is unmet then."""
        deadline = self.clock() + timeout
        while True:
            left = unmet()
            if not left or self.clock() >= deadline:
                return left
            self.sleep(PAUSE_SECONDS)


def _said(answer: Answer) -> str:
    text = answer.body.get("message") if isinstance(answer.body, Mapping) else answer.body
    return f"{answer.status} {text or ''}".strip()


def connect(kubeconfig: str, context: str | None = None) -> Request:
    """Requests to the cluster of a kubeconfig, with whatever authentication that says."""
    try:
        import urllib3
        from kubernetes import config
    except ImportError as missing:
        raise FastpathError(
            f"The Python library {missing.name} is missing on the machine that asks the cluster: install kubernetes."
        ) from missing
    try:
        library: Any = config
        api = library.new_client_from_config(config_file=kubeconfig, context=context)
    except (config.ConfigException, OSError) as wrong:
        raise FastpathError(f"The cluster cannot be asked (fastpath_kubeconfig = {kubeconfig!r}): {wrong}") from wrong
    configuration: Any = api.configuration
    pool: Any = api.rest_client.pool_manager

    def request(ask: Ask) -> Answer:
        headers = {"Accept": JSON, "Content-Type": ask.content_type, "User-Agent": FIELD_MANAGER}
        for setting in configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        query = urlencode(ask.query)
        body = None if ask.body is None else json.dumps(ask.body)
        try:
            reply = pool.request(
                ask.method,
                f"{configuration.host}{ask.path}{'?' if query else ''}{query}",
                body=body,
                headers=headers,
                timeout=REQUEST_SECONDS,
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswer(str(error)) from error
        return Answer(reply.status, _decoded(reply.data))

    return request


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")
