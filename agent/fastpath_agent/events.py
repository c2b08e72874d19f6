# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Events on pods whose socket stopped to work, or works again. They are told in the background, and never held up for.

The status file and the metrics say the same; an event is for whoever looks at the pod.
"""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from fastpath_agent.kube_api import Connect, Server, connect
from fastpath_agent.model import SocketLease

COMPONENT = "fastpath-agent"
LOST, BACK = "SocketLost", "SocketBack"
# More than pods on a node have interfaces; what does not fit is in the status anyway.
MAX_WAITING = 1000
REQUEST_SECONDS = 5.0
# An API that is away is asked again, at growing intervals; what is older than that is no news any more.
FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP_SECONDS = 1.0, 30.0, 600.0

# Hands one event of a namespace to the API; OSError where a later try may do, Rejected where none will.
Post = Callable[[str, Mapping[str, Any]], None]

log = logging.getLogger(__name__)


class Rejected(Exception):
    """The API does not want an event: its pod's namespace is gone, or the agent may not write there."""


class PodEvents(threading.Thread):
    """``tell`` is for ``Agent.listeners``."""

    def __init__(self, post: Post, node: str) -> None:
        super().__init__(name="events", daemon=True)
        self._post = post
        self._node = node
        self._ended = threading.Event()
        self._waiting: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(MAX_WAITING)

    def tell(self, lease: SocketLease, reason: str) -> None:
        """A pod without a name is known to nobody, and gets no event."""
        if not lease.owner.pod or not lease.owner.namespace:
            return
        try:
            self._waiting.put_nowait((lease.owner.namespace, event(lease, reason, self._node, time.time())))
        except queue.Full:
            log.warning("Too many events wait; one for %s is left out.", lease.owner)

    def stop(self) -> None:
        self._ended.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self.join(REQUEST_SECONDS)

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._deliver(*item)
            except Exception as error:
                log.warning("An event for a pod in %s was not taken: %s", item[0], error)

    def _deliver(self, namespace: str, body: Mapping[str, Any]) -> None:
        deadline, pause = time.monotonic() + GIVE_UP_SECONDS, FIRST_PAUSE
        while True:
            try:
                return self._post(namespace, body)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() + pause > deadline or self._ended.is_set():
                    raise
                log.info("An event for a pod in %s waits for the API: %s", namespace, error)
                self._ended.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


def event(lease: SocketLease, reason: str, node: str, now: float) -> dict[str, Any]:
    """An event as the API's version v1 has it."""
    owner = lease.owner
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    lost = f"{owner.ifname} lost its socket on device {lease.device}: {reason}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{COMPONENT}-", "namespace": owner.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": owner.namespace,
            "name": owner.pod,
            **({"uid": owner.uid} if owner.uid else {}),
        },
        "type": "Warning" if reason else "Normal",
        "reason": LOST if reason else BACK,
        "message": (lost if reason else f"{owner.ifname} has its socket on device {lease.device} again.")[:1000],
        "source": {"component": COMPONENT, "host": node},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def to_api(server: Server, connect: Connect = connect) -> Post:
    """A connection for each event: there are few of them."""

    def post(namespace: str, body: Mapping[str, Any]) -> None:
        connection = connect(server, REQUEST_SECONDS)
        try:
            headers = {**server.authorization, "Content-Type": "application/json"}
            path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events"
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            said = f"the API answered {answer.status} {answer.reason}"
            if answer.status >= http.client.INTERNAL_SERVER_ERROR or answer.status == http.client.TOO_MANY_REQUESTS:
                raise OSError(said)
            if answer.status >= http.client.MULTIPLE_CHOICES:
                raise Rejected(said)
        finally:
            connection.close()

    return post
