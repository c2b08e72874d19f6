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
from typing import Any
from urllib.parse import quote

from fastpath_agent.kube_api import Connect, Server, connect
from fastpath_agent.model import SocketLease

COMPONENT = "fastpath-agent"
LOST, BACK = "SocketLost", "SocketBack"
# More than pods on a node have interfaces; what does not fit is in the status anyway.
MAX_WAITING = 1000
REQUEST_SECONDS = 5.0

# Hands one event of a namespace to the API; OSError where that did not work.
Post = Callable[[str, Mapping[str, Any]], None]

log = logging.getLogger(__name__)


class PodEvents(threading.Thread):
    """``tell`` is for ``Agent.listeners``."""

    def __init__(self, post: Post, node: str) -> None:
        super().__init__(name="events", daemon=True)
        self._post = post
        self._node = node
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
        self._waiting.put(None)
        self.join(REQUEST_SECONDS)

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                self._post(*item)
            except (OSError, http.client.HTTPException) as error:
                log.warning("An event for a pod in %s was not taken: %s", item[0], error)


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
            if answer.status >= http.client.MULTIPLE_CHOICES:
                raise OSError(f"the API answered {answer.status} {answer.reason}")
        finally:
            connection.close()

    return post
