# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers that make a vhost-user port: the protocol of words on the command line, without a shell anywhere.

``create <socket path>`` answers the port's name, ``getmac <port>`` its MAC address; ``config <port> <ip> <mac>`` and
``delete <port>`` answer nothing. ``ovs`` and ``vpp`` are built in; another one is a program in a folder that the
node's administrator named.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import stat
from dataclasses import dataclass
from typing import Protocol

from fastpath_agent.cni.commands import Run, TimedOut
from fastpath_agent.cni.errors import TOOL_FAILED, TRY_AGAIN_LATER, CniError
from fastpath_agent.cni.ovs import Port, Switch
from fastpath_agent.cni.settings import Settings
from fastpath_agent.cni.vpp import Vpp

OVS, VPP = "ovs", "vpp"
# The helpers that came with the first plugin: what they did is built in.
FORMER = {"ovs-config.py": OVS, "vpp-config.py": VPP}
SECONDS = 20
PORT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,127}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
NO_MAC = "00:00:00:00:00:00"


@dataclass(frozen=True)
class ToolSpec:
    """``kind``: ovs, vpp, or the path of a program. ``bridge`` and ``network`` are for ovs."""

    kind: str
    bridge: str = "br0"
    network: str = ""


class VhostTool(Protocol):
    """``delete`` of a port that is gone is no error. Its name is empty where ``create`` was never answered."""

    def create(self, socket: str) -> str: ...
    def mac(self, port: str) -> str: ...
    def config(self, port: str, ip: str, mac: str) -> None: ...
    def delete(self, port: str, socket: str) -> None: ...


def built_in(name: str) -> str:
    """The built-in helper that a configuration means; empty for a program of its own."""
    if name in (OVS, VPP):
        return name
    return FORMER.get(name.rpartition("/")[2], "") if name.startswith("/") else ""


def tool_of(
    spec: ToolSpec, container_id: str, ifname: str, settings: Settings, switch: Switch, vpp: Vpp, run: Run
) -> VhostTool:
    if spec.kind == OVS:
        return OvsTool(spec, container_id, ifname, switch)
    if spec.kind == VPP:
        return VppTool(vpp)
    return Program(spec.kind, settings, run)


class OvsTool:
    """Open vSwitch makes the socket in its own folder; the plugin moves it."""

    def __init__(self, spec: ToolSpec, container_id: str, ifname: str, switch: Switch) -> None:
        self._spec = spec
        self._attachment = (container_id, ifname)
        self._switch = switch

    def create(self, socket: str) -> str:
        name = socket.rpartition("/")[2]
        container_id, ifname = self._attachment
        self._switch.add_port(Port(self._spec.bridge, name, container_id, ifname, self._spec.network))
        return name

    def mac(self, port: str) -> str:
        state = self._switch.state(*self._attachment)
        return state.mac if state is not None and _MAC.fullmatch(state.mac) else NO_MAC

    def config(self, port: str, ip: str, mac: str) -> None:
        """The bridge learns where addresses are."""

    def delete(self, port: str, socket: str) -> None:
        self._switch.delete_port(*self._attachment)


class VppTool:
    def __init__(self, vpp: Vpp) -> None:
        self._vpp = vpp

    def create(self, socket: str) -> str:
        self._vpp.require("vhost.vhost_tool")
        return self._vpp.add_vhost(socket)

    def mac(self, port: str) -> str:
        return self._vpp.mac(port)

    def config(self, port: str, ip: str, mac: str) -> None:
        self._vpp.route_to(port, ip, mac, ipaddress.ip_address(ip).max_prefixlen)

    def delete(self, port: str, socket: str) -> None:
        self._vpp.delete_vhost(port, socket)


class Program:
    """A helper of the node's administrator. It gets words, never a line, and its exit code counts."""

    def __init__(self, path: str, settings: Settings, run: Run) -> None:
        self._path = path
        self._settings = settings
        self._run = run

    def create(self, socket: str) -> str:
        name = self._call("create", socket)
        if not PORT_NAME.fullmatch(name):
            raise CniError(TOOL_FAILED, f"{self._path} create answered no port name: {name[:100]!r}")
        return name

    def mac(self, port: str) -> str:
        mac = self._call("getmac", port)
        if not _MAC.fullmatch(mac):
            raise CniError(TOOL_FAILED, f"{self._path} getmac answered no MAC address: {mac[:100]!r}")
        return mac.lower()

    def config(self, port: str, ip: str, mac: str) -> None:
        self._call("config", port, ip, mac)

    def delete(self, port: str, socket: str) -> None:
        """A port whose name was never learnt is tried by its socket's, which is what most helpers call it."""
        if not port:
            with contextlib.suppress(CniError):
                self._call("delete", socket.rpartition("/")[2])
        else:
            self._call("delete", port)

    def _call(self, *words: str) -> str:
        self._check()
        try:
            done = self._run([self._path, *words], b"", {}, SECONDS)
        except TimedOut as late:
            raise CniError(TRY_AGAIN_LATER, str(late)) from late
        except OSError as error:
            raise CniError(TOOL_FAILED, f"{self._path} cannot be run: {error.strerror}") from error
        if done.rc != 0:
            said = (done.err or done.out).decode("utf-8", "replace").strip()[-300:]
            raise CniError(TOOL_FAILED, f"{self._path} {' '.join(words)} failed with exit code {done.rc}: {said}")
        return done.out.decode("utf-8", "replace").replace("\n", "").strip()

    def _check(self) -> None:
        """In a folder for helpers, and nobody but root can have written it."""
        folder, _slash, name = self._path.rpartition("/")
        if folder not in self._settings.tool_folders or not name:
            raise CniError(TOOL_FAILED, f"{self._path} is not in {', '.join(self._settings.tool_folders)}")
        try:
            statuses = [os.lstat(path) for path in (self._path, folder)]
        except OSError as error:
            raise CniError(TOOL_FAILED, f"{self._path} cannot be run: {error.strerror}") from error
        if not stat.S_ISREG(statuses[0].st_mode) or any(each.st_uid != 0 or each.st_mode & 0o022 for each in statuses):
            raise CniError(TOOL_FAILED, f"{self._path} must be a file of root that nobody else can write")
