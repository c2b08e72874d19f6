# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the agent meets its CNI plugins: they get its sockets, its configuration, and the API of its cluster."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent.agent import Agent
from fastpath_agent.cni.installer import Installer, render
from fastpath_agent.cni.pods import ApiPods
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.toolbox import toolbox
from fastpath_agent.cni_server import CniServer, build
from fastpath_agent.config import Config
from fastpath_agent.kube_api import Server
from fastpath_agent.macs import mac_of
from fastpath_agent.version import VERSION

REPAIR_SECONDS = 2.0
INSTALL_SECONDS = 30.0

log = logging.getLogger(__name__)


def start(agent: Agent, host: Host) -> CniServer:
    """What an agent that was killed had begun is finished before the first request; the plugins come last."""
    config = agent.config
    server = Server.in_cluster(os.environ)
    box = toolbox(
        settings(config),
        agent.sockets,
        ApiPods(server) if server else None,
        lambda device: mac_of(host, device),
        lambda: agent.problem,
    )
    face, dispatcher = build(box, config.cni_socket)
    face.start()
    agent.on_tick.append(now_and_then(dispatcher.repair, REPAIR_SECONDS))
    if config.cni.bin_dir:
        install = now_and_then(lambda: install_plugins(config), INSTALL_SECONDS)
        with suppress(OSError):
            install()
        # Also said there, and tried again: a disk that is full must not keep pods from the sockets that they have.
        agent.on_tick.append(install)
    return face


def install_plugins(config: Config) -> None:
    names = Installer(config.cni.bin_dir, render(VERSION, config.cni_socket)).install()
    if names:
        log.info("CNI plugins written to %s: %s.", config.cni.bin_dir, ", ".join(names))


def settings(config: Config) -> Settings:
    rundir = os.path.dirname(config.ovs_database)
    return Settings(
        socket_folders=tuple(dict.fromkeys((*Settings.socket_folders, config.directory, rundir))),
        records=config.cni.records,
        tool_folders=config.cni.tool_folders,
        whole_folders=config.cni.whole_folders,
        kubelet=config.kubelet,
        cgroups=f"{config.sysfs}/fs/cgroup",
        ovs_database=config.ovs_database,
        ovs_rundir=rundir,
    )


def now_and_then(call: Callable[[], None], seconds: float) -> Callable[[], None]:
    """For the agent's loop, which comes round more often."""
    due = 0.0

    def paced() -> None:
        nonlocal due
        if time.monotonic() >= due:
            call()
            due = time.monotonic() + seconds

    return paced
