# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent with its faces to the world: gRPC, CNI, HTTP and the status file."""

from __future__ import annotations

import logging
import os
import platform
from typing import Protocol

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent import cni_face, events, protocol
from fastpath_agent.agent import Agent
from fastpath_agent.config import Config
from fastpath_agent.http import HttpServer
from fastpath_agent.kube_api import Server
from fastpath_agent.status import Status

PROBE_SECONDS = 2.0

log = logging.getLogger(__name__)


class Face(Protocol):
    def stop(self) -> None: ...


class Service:
    """``start`` brings the faces up in the order in which they need each other; ``stop`` takes them down backwards."""

    def __init__(self, config: Config, host: Host) -> None:
        self.config = config
        self._host = host
        self.agent = Agent(config, host)
        self.status = Status(self.agent, host)
        self.http = HttpServer(config.listen, self.status.pages())
        self._faces: list[Face] = []

    def start(self) -> None:
        self.agent.on_tick.append(self.status.write)
        self._start_events()
        self.agent.start()
        if self.config.grpc:
            self._start_rpc()
        self._start_cni()
        self.http.start()
        log.info("The agent serves %d pools.", len(self.config.pools))

    def stop(self, let_go: bool = False) -> None:
        self.http.stop()
        for face in reversed(self._faces):
            face.stop()
        self.agent.stop(let_go)

    def _start_events(self) -> None:
        server = Server.in_cluster(os.environ)
        if server is None:
            log.info("There is no cluster to tell events to.")
            return
        told = events.PodEvents(events.to_api(server), os.environ.get("NODE_NAME") or platform.node())
        told.start()
        self._faces.append(told)
        self.agent.listeners.append(told.tell)

    def _start_cni(self) -> None:
        self._faces.append(cni_face.start(self.agent, self._host))
        self.status.probes["cni"] = lambda: protocol.probe(self.config.cni_socket, PROBE_SECONDS)

    def _start_rpc(self) -> None:
        # Here, since it loads the one library that is not Python's own, and not every node needs it.
        from fastpath_agent.rpc import RpcServer, probe

        path, folder = self.config.grpc_socket, f"{self.config.state_directory}/grpc"
        server = RpcServer(path, folder, self.agent.lookup, self.config.grpc_users)
        self._faces.append(server)
        self.status.probes["grpc"] = lambda: probe(path, PROBE_SECONDS)
        self.status.counters.update(
            grpc_found_total=lambda: server.calls["found"],
            grpc_unknown_total=lambda: server.calls["unknown"],
            grpc_refused_total=lambda: server.gate.refused,
        )
