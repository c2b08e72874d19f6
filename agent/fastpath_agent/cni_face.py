# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the agent meets its CNI plugins: they get its sockets, its configuration, and the API of its cluster."""

from __future__ import annotations

import os

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent.cni.dispatch import Dispatcher
from fastpath_agent.cni.pods import ApiPods, Server
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.toolbox import toolbox
from fastpath_agent.cni_server import CniServer
from fastpath_agent.config import Config
from fastpath_agent.macs import mac_of
from fastpath_agent.sockets import PodOwner, Sockets


def start(config: Config, host: Host, sockets: Sockets) -> CniServer:
    """What an agent that was killed had begun is finished before the first request."""
    server = Server.in_cluster(os.environ)
    box = toolbox(
        Settings(ovs_database=config.ovs_database, ovs_rundir=os.path.dirname(config.ovs_database)),
        sockets,
        ApiPods(server) if server else None,
        PodOwner,
        lambda device: mac_of(host, device),
    )
    dispatcher = Dispatcher(box)
    dispatcher.recover()
    face = CniServer(dispatcher.answer, config.cni_socket)
    face.start()
    return face
