# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugin ``vhostuser``: a vhost-user socket and its description as files, made with a helper.

``<cniDir>/<container>/`` holds the socket, ``<socket>.json`` about the port and ``<socket>-ip4.conf`` about the
address, as their readers know them. A pod sees its own folder alone when it mounts ``cniDir`` with
``subPathExpr: pods/$(POD_UID)``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fastpath_agent.cni import ovs_sockets, undo
from fastpath_agent.cni.config import Common, parse_common
from fastpath_agent.cni.deviceinfo import vhost_user
from fastpath_agent.cni.errors import NOT_AVAILABLE, WRONG_STATE, CniError
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.files import Files, check_socket_path, told_as
from fastpath_agent.cni.plugin import Plugin, ipam_leftover
from fastpath_agent.cni.records import Record, Step
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Address, Interface, Result
from fastpath_agent.cni.vhost_tools import OVS, PORT_NAME, VPP, ToolSpec, VhostTool, built_in, tool_of
from fastpath_agent.cni.work import Work

CNI_DIR = "/var/lib/cni/vhostuser"
PODS = "pods"
MAX_BYTES = 64 << 10
# What the readers get where the network has no gateway.
LINK_LOCAL_GATEWAY = {"4": "169.254.1.1", "6": "fe80::1"}
_BRIDGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True)
class VhostuserConfig:
    """``tool_name``: as the configuration writes it; the description repeats it."""

    common: Common
    cni_dir: str = CNI_DIR
    tool: ToolSpec = field(default_factory=lambda: ToolSpec(""))
    tool_name: str = ""


class Vhostuser(Plugin[VhostuserConfig]):
    name = "vhostuser"

    def parse(self, request: Request, fields: Fields) -> VhostuserConfig:
        settings = self.box.settings
        common = parse_common(request, settings, fields)
        cni_dir = fields.absolute("cniDir", CNI_DIR)
        if Files(settings.socket_folders).allowed_base(cni_dir) is None:
            fields.wrong("cniDir", f"must lie below one of {', '.join(settings.socket_folders)}")
            cni_dir = CNI_DIR
        fields.text("if0name")
        vhost = fields.object("vhost")
        name = vhost.text("vhost_tool")
        kind = built_in(name) or name
        if not vhost.has("vhost_tool") or not name:
            vhost.wrong("vhost_tool", f"is required: {OVS}, {VPP}, or a program in {', '.join(settings.tool_folders)}")
        elif kind not in (OVS, VPP) and name.rpartition("/")[0] not in settings.tool_folders:
            vhost.wrong("vhost_tool", f"must be {OVS}, {VPP}, or a program in {', '.join(settings.tool_folders)}")
        bridge = fields.object("bridge").text("bridgeName", "br0", _BRIDGE_NAME, "a bridge's name")
        return VhostuserConfig(common, cni_dir, ToolSpec(kind, bridge, request.network), name)

    def common(self, config: VhostuserConfig) -> Common:
        return config.common

    def attach(self, config: VhostuserConfig, work: Work) -> Result:
        request = work.request
        folder = f"{config.cni_dir}/{request.container_id}"
        self._make_folder(config, work, folder)
        socket = f"{folder}/{request.port_name}"
        tool = self._tool(config, request)
        port = self._make_port(config, work, tool, socket)
        port_mac = tool.mac(port)
        mac = config.common.mac or generated_mac(request.container_id, request.ifname)
        described = {
            "vhostname": port,
            "vhostmac": port_mac,
            "ifname": request.ifname,
            "ifmac": mac,
            "vhost_tool": config.tool_name,
        }
        work.write(f"{socket}.json", json.dumps(described, separators=(",", ":")).encode())
        addresses = work.addresses() if config.common.ipam else Result()
        for address in addresses.ips:
            tool.config(port, address.cidr.partition("/")[0], mac)
        for version in ("4", "6"):
            self._describe_address(work, socket, version, addresses.ips, mac, port_mac)
        work.describe_device(config.common, vhost_user("client", socket))
        return Result(
            (Interface(request.ifname, mac, request.netns, socket_path=socket),),
            tuple(replace(ip, interface=0) for ip in addresses.ips),
            addresses.routes,
            config.common.dns or addresses.dns,
        )

    def leftovers(self, request: Request) -> Sequence[Step]:
        config = self.parse(request, Fields(request.netconf, []))
        folder = f"{config.cni_dir}/{request.container_id}"
        socket = f"{folder}/{request.port_name}"
        steps = self._folder_steps(config, request, folder)
        steps += [Step(undo.FILE, {"path": f"{socket}{ending}"}) for ending in ("", ".json", "-ip4.conf", "-ip6.conf")]
        steps.append(self._tool_step(config, socket, self._described_port(socket)))
        steps += ipam_leftover(request)
        if config.common.device_info_file:
            steps.append(Step(undo.FILE, {"path": config.common.device_info_file}))
        return steps

    def verify(self, config: VhostuserConfig, request: Request, record: Record) -> None:
        socket = f"{config.cni_dir}/{request.container_id}/{request.port_name}"
        if not self.box.files.is_socket(socket):
            raise CniError(WRONG_STATE, f"the socket {socket} is not there")
        if not self._described_port(socket):
            raise CniError(WRONG_STATE, f"the description {socket}.json is not there")
        if config.tool.kind == OVS:
            state = self.box.switch.state(request.container_id, request.ifname)
            if state is None or state.error or not state.ofport or state.ofport < 0:
                raise CniError(WRONG_STATE, f"Open vSwitch has no working port of {request.ifname}")

    def ready(self, request: Request) -> None:
        config = self.parse(request, Fields(request.netconf, []))
        try:
            if config.tool.kind == OVS:
                self.box.switch.ready()
            elif config.tool.kind == VPP:
                self.box.vpp.require("vhost.vhost_tool")
        except CniError as error:
            raise CniError(NOT_AVAILABLE, error.message) from error

    def _tool(self, config: VhostuserConfig, request: Request) -> VhostTool:
        box = self.box
        return tool_of(config.tool, request.container_id, request.ifname, box.settings, box.switch, box.vpp, box.run)

    def _folder_steps(self, config: VhostuserConfig, request: Request, folder: str) -> list[Step]:
        """The link goes when the folder went: all interfaces of a pod share both."""
        steps = [Step(undo.FOLDER, {"path": folder})]
        if request.uid:
            link = f"{config.cni_dir}/{PODS}/{request.uid}"
            steps.insert(0, Step(undo.FILE, {"path": link, "unless": folder}))
        return steps

    def _make_folder(self, config: VhostuserConfig, work: Work, folder: str) -> None:
        request, files = work.request, self.box.files
        for step in self._folder_steps(config, request, folder):
            work.intend(step)
        with told_as("cannot make the folder"):
            files.make_folder(folder, 0o700)
            if request.uid:
                files.make_folder(f"{config.cni_dir}/{PODS}", 0o700)
                files.link(f"{config.cni_dir}/{PODS}/{request.uid}", f"../{request.container_id}")

    def _make_port(self, config: VhostuserConfig, work: Work, tool: VhostTool, socket: str) -> str:
        files, settings = self.box.files, self.box.settings
        work.intend(Step(undo.FILE, {"path": socket}))
        work.intend(self._tool_step(config, socket, ""))
        if config.tool.kind == OVS:
            port = tool.create(socket)
            source = ovs_sockets.made_at(self.box.switch, settings, port)
            work.intend(Step(undo.FILE, {"path": socket, "source": source}))
            ovs_sockets.take_over(files, source, socket, settings.socket_seconds)
            return port
        port = tool.create(check_socket_path(socket, "socket path"))
        work.intend(self._tool_step(config, socket, port))
        work.await_socket(socket)
        return port

    @staticmethod
    def _tool_step(config: VhostuserConfig, socket: str, port: str) -> Step:
        return Step(undo.VHOST_TOOL, {"tool": asdict(config.tool), "port": port, "socket": socket})

    def _described_port(self, socket: str) -> str:
        """The port's name out of the description; empty where that is gone or is none."""
        try:
            name = json.loads(self.box.files.read(f"{socket}.json", MAX_BYTES)).get("vhostname")
        except (OSError, ValueError, AttributeError, RecursionError):
            return ""
        return name if isinstance(name, str) and PORT_NAME.fullmatch(name) else ""

    def _describe_address(
        self, work: Work, socket: str, version: str, addresses: Sequence[Address], mac: str, port_mac: str
    ) -> None:
        """The first address of a version; the file's name has the version in it."""
        fitting = [each for each in addresses if (":" in each.cidr) == (version == "6")]
        if fitting:
            text: dict[str, Any] = {
                "ipAddr": f"{fitting[0].cidr.partition('/')[0]}/{128 if version == '6' else 32}",
                "macAddr": mac,
                "gateway": fitting[0].gateway or LINK_LOCAL_GATEWAY[version],
                "gwMac": port_mac,
            }
            work.write(f"{socket}-ip{version}.conf", json.dumps(text, indent="\t").encode())


def generated_mac(container_id: str, ifname: str) -> str:
    """A local address of one interface, the same whenever it is asked for."""
    digest = bytearray(hashlib.sha256(f"{container_id}@{ifname}".encode()).digest()[:6])
    digest[0] = (digest[0] | 0x02) & 0xFE
    return ":".join(f"{byte:02x}" for byte in digest)
