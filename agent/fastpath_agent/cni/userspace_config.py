# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of plugin ``userspace``: a host side, and a container side that follows from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from fastpath_agent.cni.config import Common, parse_common
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.owners import GROUP_NAME
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.settings import Settings

OVS, VPP = "ovs-dpdk", "vpp"
ENGINES = (OVS, VPP)
VHOSTUSER, MEMIF = "vhostuser", "memif"
BRIDGE, INTERFACE, NONE = "bridge", "interface", "none"
CLIENT, SERVER = "client", "server"
MASTER, SLAVE = "master", "slave"
ETHERNET = "ethernet"
DEFAULT_BRIDGE = "br0"
_BRIDGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_SOCKET_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_GROUP = re.compile(GROUP_NAME)
_OPPOSITE = {CLIENT: SERVER, SERVER: CLIENT, MASTER: SLAVE, SLAVE: MASTER}


@dataclass(frozen=True)
class Side:
    """Empty texts: not given."""

    engine: str = ""
    iftype: str = ""
    net_type: str = ""
    vhost_mode: str = ""
    group: str = ""
    vhost_file: str = ""
    memif_role: str = ""
    memif_mode: str = ""
    memif_file: str = ""
    bridge: str = ""
    vlan: int = 0


@dataclass(frozen=True)
class UserspaceConfig:
    common: Common
    host: Side = field(default_factory=Side)
    container: Side = field(default_factory=Side)

    @property
    def socket_file(self) -> str:
        """A name that the configuration fixes; usually none does."""
        return self.host.memif_file if self.host.iftype == MEMIF else self.host.vhost_file

    def container_side(self, socket_file: str, has_address: bool) -> dict[str, Any]:
        """What the container is told: its own words where it has some, else what follows from the host's."""
        host, own = self.host, self.container
        side: dict[str, Any] = {"engine": own.engine or host.engine, "iftype": own.iftype or host.iftype}
        if net_type := own.net_type or (INTERFACE if has_address else ""):
            side["netType"] = net_type
        if side["iftype"] == MEMIF:
            mode = own.memif_mode or host.memif_mode
            side["memif"] = {"role": self.container_role, "mode": mode, "socketfile": socket_file}
        else:
            side["vhost"] = {"mode": self.container_mode, "socketfile": socket_file}
            if own.group:
                side["vhost"]["group"] = own.group
        if own.bridge or own.vlan:
            side["bridge"] = {
                **({"bridgeName": own.bridge} if own.bridge else {}),
                **({"vlanId": own.vlan} if own.vlan else {}),
            }
        return side

    @property
    def container_listens(self) -> bool:
        """Whether the container is the one that makes the socket."""
        if self.host.iftype == MEMIF:
            return self.container_role == MASTER
        return self.container_mode == SERVER

    @property
    def container_mode(self) -> str:
        return _OPPOSITE[self.host.vhost_mode]

    @property
    def container_role(self) -> str:
        return _OPPOSITE[self.host.memif_role]


def parse_userspace(request: Request, settings: Settings, fields: Fields) -> UserspaceConfig:
    common = parse_common(request, settings, fields)
    if not fields.has("host"):
        fields.wrong("host", 'is required, such as {"engine": "ovs-dpdk", "iftype": "vhostuser", "netType": "bridge"}')
    host_fields, container_fields = fields.object("host"), fields.object("container")
    host = _with_defaults(_side(host_fields))
    container = _side(container_fields)
    if fields.has("host"):
        found = len(fields.problems)
        _check_host(host_fields, host)
        if len(fields.problems) == found:
            _check_container(container_fields, host, container)
    return UserspaceConfig(common, host, container)


def _side(fields: Fields) -> Side:
    vhost, memif, bridge = fields.object("vhost"), fields.object("memif"), fields.object("bridge")
    name = bridge.text("bridgeName", "", _BRIDGE_NAME, "a bridge's name: letters, digits, '_', '.', '-', at most 15")
    number = bridge.number("bridgeId", 0, 2**24 - 1)
    return Side(
        engine=fields.choice("engine", ENGINES),
        iftype=fields.choice("iftype", (VHOSTUSER, MEMIF)),
        net_type=fields.choice("netType", (NONE, BRIDGE, INTERFACE)),
        vhost_mode=vhost.choice("mode", (CLIENT, SERVER)),
        group=vhost.text("group", "", _GROUP, "a group's name"),
        vhost_file=vhost.text("socketfile", "", _SOCKET_FILE, "a file name without a path"),
        memif_role=memif.choice("role", (MASTER, SLAVE)),
        memif_mode=memif.choice("mode", (ETHERNET, "ip", "inject-punt")),
        memif_file=memif.text("socketfile", "", _SOCKET_FILE, "a file name without a path"),
        # The name took the place of the number.
        bridge=name or (str(number) if number else ""),
        vlan=bridge.number("vlanId", 0, 4094),
    )


def _with_defaults(side: Side) -> Side:
    iftype = side.iftype or (MEMIF if side.engine == VPP else VHOSTUSER)
    return Side(
        engine=side.engine,
        iftype=iftype,
        net_type=side.net_type,
        vhost_mode=side.vhost_mode or SERVER,
        group=side.group,
        vhost_file=side.vhost_file,
        memif_role=side.memif_role or SLAVE,
        memif_mode=side.memif_mode or ETHERNET,
        memif_file=side.memif_file,
        bridge=side.bridge or (DEFAULT_BRIDGE if side.engine == OVS else ""),
        vlan=side.vlan,
    )


def _check_host(fields: Fields, host: Side) -> None:
    if not host.engine:
        if not fields.has("engine"):
            fields.wrong("engine", f"is required: {' or '.join(ENGINES)}")
        return
    if host.engine == OVS:
        if host.iftype != VHOSTUSER:
            fields.wrong("iftype", f"engine {OVS} has {VHOSTUSER} only", unsupported=True)
        if host.net_type not in ("", BRIDGE):
            fields.wrong("netType", f"engine {OVS} has {BRIDGE} only", unsupported=True)
    else:
        _check_vpp(fields, host)


def _check_vpp(fields: Fields, host: Side) -> None:
    if host.iftype != MEMIF:
        fields.wrong("iftype", f"engine {VPP} has {MEMIF} only; plugin vhostuser makes vhost-user ports of VPP", True)
    if host.net_type not in (BRIDGE, INTERFACE):
        fields.wrong("netType", f"engine {VPP} needs {BRIDGE} or {INTERFACE}")
    if host.net_type == BRIDGE and not host.bridge.isdecimal():
        fields.object("bridge").wrong("bridgeName", "must be the number of a bridge domain for engine vpp")
    if host.vlan:
        fields.object("bridge").wrong("vlanId", f"engine {VPP} has no VLANs here", unsupported=True)
    if host.memif_mode not in (ETHERNET, "ip"):
        fields.object("memif").wrong("mode", "VPP's command line makes ethernet and ip only", unsupported=True)


def _check_container(fields: Fields, host: Side, container: Side) -> None:
    """The two ends of a socket have to fit."""
    if container.iftype and container.iftype != host.iftype:
        fields.wrong("iftype", f"must be the host's, {host.iftype}")
    if container.vhost_mode == host.vhost_mode:
        fields.object("vhost").wrong("mode", f"both sides would be {host.vhost_mode}; one makes the socket")
    if container.memif_role == host.memif_role:
        fields.object("memif").wrong("role", f"both sides would be {host.memif_role}; one makes the socket")
