# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent says of itself: the status file, the pages of its HTTP server, and the answers to probes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id

from fastpath_agent import metrics
from fastpath_agent.agent import Agent
from fastpath_agent.http import Page
from fastpath_agent.version import VERSION

FILE = "status.json"
FORMAT = 1
# Written so often although nothing changed, so that a reader knows how old it can be.
BEAT_SECONDS = 10.0

# Name of a part, and what is wrong with it; empty: nothing.
Probe = Callable[[], str]


class Status:
    """``probes``: what has to answer for the agent to be alive, beside its own loop. ``counters``: of ``COUNTERS``."""

    def __init__(self, agent: Agent, host: Host) -> None:
        self._agent = agent
        self._host = host
        self.probes: dict[str, Probe] = {}
        self._path = f"{agent.config.directory}/{FILE}"
        self._written: tuple[dict[str, Any], float] = ({}, 0.0)
        self._started = time.time()
        self.counters: dict[str, Callable[[], float]] = {}

    def document(self) -> dict[str, Any]:
        """Everything but the time."""
        agent = self._agent
        return {
            "version": FORMAT,
            "agent": VERSION,
            "boot_id": boot_id(self._host),
            "ready": agent.ready,
            "problems": list(agent.problems),
            "backends": {backend.name: backend.problem for backend in agent.backends},
            "devices": [asdict(state) for state in agent.states()],
            "leases": [{**lease.as_dict(), "socket": lease.path} for lease in agent.sockets.leases()],
        }

    def write(self) -> None:
        """The file, whole, where something changed or the last time is long ago."""
        found, now = self.document(), time.time()
        former, at = self._written
        if found == former and now - at < BEAT_SECONDS:
            return
        text = json.dumps({**found, "time": round(now, 3)}, indent=2, sort_keys=True) + "\n"
        self._host.write_file(self._path, text)
        self._written = found, now

    def pages(self) -> dict[str, Callable[[], Page]]:
        return {"/livez": self._live, "/readyz": self._ready, "/metrics": self._metrics, "/status": self._status}

    def _live(self) -> Page:
        wrong = {} if self._agent.alive else {"loop": "it does not come round"}
        wrong.update({name: said for name, probe in self.probes.items() if (said := probe())})
        if wrong:
            lines = "".join(f"{name}: {said}\n" for name, said in wrong.items())
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", lines
        return HTTPStatus.OK, "text/plain", "ok\n"

    def _ready(self) -> Page:
        if self._agent.ready:
            return HTTPStatus.OK, "text/plain", "ok\n"
        lines = "".join(f"{item.name}: {item.problem}\n" for item in self._agent.backends if item.problem)
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", lines or "nothing was looked at yet\n"

    def _status(self) -> Page:
        return HTTPStatus.OK, "application/json", json.dumps(self.document(), indent=2, sort_keys=True) + "\n"

    def _metrics(self) -> Page:
        agent = self._agent
        info = metrics.Metric("fastpath_agent_info", "gauge", "The agent's version.", [({"version": VERSION}, 1.0)])
        backends = metrics.Metric("fastpath_agent_backend_up", "gauge", "1 while a back end is of use.")
        backends.samples = [({"backend": item.name}, float(not item.problem)) for item in agent.backends]
        families = [
            info,
            metrics.single(
                "fastpath_agent_start_time_seconds", "gauge", "When the agent started, in Unix time.", self._started
            ),
            metrics.single(
                "fastpath_agent_problems",
                "gauge",
                "What is wrong with the list of devices, and with the last look at the node.",
                float(len(agent.problems)),
            ),
            backends,
            *metrics.of_devices(agent.states(), agent.sockets.leases()),
        ]
        for name, counter in self.counters.items():
            families.append(metrics.single(f"fastpath_agent_{name}", "counter", COUNTERS[name], counter()))
        return HTTPStatus.OK, metrics.CONTENT_TYPE, metrics.render(families)


COUNTERS = {
    "grpc_found_total": "Requests for a socket's path that were answered with one.",
    "grpc_unknown_total": "Requests for a socket's path that got an empty answer.",
    "grpc_refused_total": "Connections of users that may not ask.",
}
