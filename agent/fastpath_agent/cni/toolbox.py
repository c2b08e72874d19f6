# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that the plugins reach the world with, in one place, so that a test can replace any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb

from fastpath_agent.cni import commands
from fastpath_agent.cni.annotations import Annotations
from fastpath_agent.cni.commands import Run
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ipam import Ipam
from fastpath_agent.cni.ovs import Switch
from fastpath_agent.cni.pods import Pods
from fastpath_agent.cni.records import Records
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.sockets_api import Sockets
from fastpath_agent.cni.vpp import Vpp
from fastpath_agent.ovs_backend import DATABASE_SECONDS


def unknown_mac(_device: str) -> str:
    return ""


def no_problem() -> str:
    return ""


@dataclass(frozen=True)
class Toolbox:
    """``pods``: None without a Kubernetes API. ``mac_of``: a VF's own MAC address, empty if unknown.

    ``problem``: why the socket pools cannot serve a pod now, in a sentence; empty where they can.
    """

    settings: Settings
    files: Files
    logs: Files
    host_nic: Files
    sockets: Sockets
    records: Records
    ipam: Ipam
    switch: Switch
    vpp: Vpp
    run: Run
    pods: Pods | None = None
    mac_of: Callable[[str], str] = unknown_mac
    problem: Callable[[], str] = no_problem

    @property
    def annotations(self) -> Annotations | None:
        return None if self.pods is None else Annotations(self.pods)


def toolbox(
    settings: Settings,
    sockets: Sockets,
    pods: Pods | None = None,
    mac_of: Callable[[str], str] = unknown_mac,
    problem: Callable[[], str] = no_problem,
    run: Run = commands.run,
) -> Toolbox:
    """The parts as they are on a node."""
    files = Files(settings.written, settings.root)
    return Toolbox(
        settings=settings,
        files=files,
        logs=Files(settings.log_folders, settings.root),
        host_nic=Files(settings.host_nic_folders, settings.root),
        sockets=sockets,
        records=Records(files, settings.records),
        ipam=Ipam(run),
        switch=Switch(Ovsdb(Host(settings.root), settings.ovs_database, timeout=DATABASE_SECONDS)),
        vpp=Vpp(run, files.real(settings.vpp_cli)),
        run=run,
        pods=pods,
        mac_of=mac_of,
        problem=problem,
    )
