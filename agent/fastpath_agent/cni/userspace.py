# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugin ``userspace``: a vhost-user port on Open vSwitch with DPDK, or a memif on VPP where a node has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastpath_agent.cni import ovs_sockets, undo
from fastpath_agent.cni.config import Common
from fastpath_agent.cni.deviceinfo import memif, vhost_user
from fastpath_agent.cni.element import configuration
from fastpath_agent.cni.errors import NOT_AVAILABLE, WRONG_STATE, CniError
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.files import check_socket_path
from fastpath_agent.cni.ovs import Port
from fastpath_agent.cni.owners import group_id
from fastpath_agent.cni.placement import Place, in_folder, in_pod, short_path
from fastpath_agent.cni.plugin import Plugin, ipam_leftover
from fastpath_agent.cni.records import Record, Step
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Interface, Result
from fastpath_agent.cni.userspace_config import (
    BRIDGE,
    CLIENT,
    INTERFACE,
    MEMIF,
    OVS,
    VPP,
    UserspaceConfig,
    parse_userspace,
)
from fastpath_agent.cni.work import Work

VPP_FOLDER = "/run/vpp"


class Userspace(Plugin[UserspaceConfig]):
    name = "userspace"

    def parse(self, request: Request, fields: Fields) -> UserspaceConfig:
        return parse_userspace(request, self.box.settings, fields)

    def common(self, config: UserspaceConfig) -> Common:
        return config.common

    def attach(self, config: UserspaceConfig, work: Work) -> Result:
        if config.host.engine == VPP:
            self.box.vpp.require("host.engine")
        group = group_id(config.host.group, self.box.settings.root)
        pod = work.pod() if self._uses_api(config.common) else None
        place = self._place(config, work, pod, group)
        name = _socket_file(config, work.request)
        if config.socket_file:
            work.require_unused(f"{place.host}/{name}")
        seen = f"{place.container}/{name}" if place.container else f"{place.host}/{name}"
        if place.container:
            check_socket_path(seen, "path of the socket in the container")
        addresses = work.addresses() if config.common.ipam else Result()
        if config.host.engine == OVS:
            self._make_port(config, work, place, name)
        else:
            self._make_memif(config, work, place, name, addresses)
        result = _result(config, work.request, addresses, f"{place.host}/{name}")
        element = configuration(work.request, config.container_side(name, bool(addresses.ips)), result)
        if pod is not None:
            work.annotate(pod, element, place.container)
        else:
            work.save_for_files(place.host, element)
        work.describe_device(config.common, _device_info(config, seen))
        return result

    def leftovers(self, request: Request) -> Sequence[Step]:
        config = self.parse(request, Fields(request.netconf, []))
        folder = f"{self._base(config)}/{request.short_id}"
        name = _socket_file(config, request)
        steps = [
            Step(undo.FOLDER, {"path": folder}),
            Step(undo.FILE, {"path": f"{folder}/{name}"}),
            Step(undo.FILE, {"path": f"{folder}/configData-{request.port_name}.json"}),
            Step(undo.FILE, {"path": f"{self.box.settings.short_links}/{request.port_name}"}),
            *ipam_leftover(request),
            Step(undo.MEMIF) if config.host.engine == VPP else Step(undo.PORT, {"unsure": True}),
            Step(undo.ANNOTATION),
        ]
        if config.common.device_info_file:
            steps.append(Step(undo.FILE, {"path": config.common.device_info_file}))
        return steps

    def verify(self, config: UserspaceConfig, request: Request, record: Record) -> None:
        if config.host.engine == OVS:
            self._verify_port(request, record)
        elif not self.box.vpp.present():
            raise CniError(WRONG_STATE, "VPP does not run")
        if self._uses_api(config.common):
            self.verify_annotation(record)

    def ready(self, request: Request) -> None:
        config = self.parse(request, Fields(request.netconf, []))
        try:
            if config.host.engine == VPP:
                self.box.vpp.require("host.engine")
            else:
                self.box.switch.ready()
        except CniError as error:
            raise CniError(NOT_AVAILABLE, error.message) from error
        if self._uses_api(config.common) and self.box.pods is not None and not self.box.pods.ready():
            raise CniError(NOT_AVAILABLE, "the Kubernetes API is away, and pods are told of their sockets through it")

    def stale(self, request: Request, valid: set[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """A port says itself whose it is."""
        try:
            return sorted(set(self.box.switch.attachments(request.network)) - valid)
        except CniError:
            return ()

    def _uses_api(self, common: Common) -> bool:
        """Files are for those who ask for them, and where the agent has no API."""
        return common.api or (self.box.pods is not None and not common.shared_dir)

    def _base(self, config: UserspaceConfig) -> str:
        engine_folder = VPP_FOLDER if config.host.engine == VPP else self.box.settings.ovs_rundir
        return config.common.shared_dir or engine_folder

    def _place(self, config: UserspaceConfig, work: Work, pod: Mapping[str, Any] | None, group: int) -> Place:
        if pod is None:
            return in_folder(work, self._base(config), group, config.container_listens)
        return in_pod(work, pod, group, config.container_listens)

    def _make_port(self, config: UserspaceConfig, work: Work, place: Place, name: str) -> None:
        request, host, box = work.request, config.host, self.box
        target = f"{place.host}/{name}"
        connects = host.vhost_mode == CLIENT
        socket = short_path(work, place.host, name) if connects else ""
        work.intend(Step(undo.PORT))
        if connects:
            # The container makes it and may not take it away.
            work.intend(Step(undo.FILE, {"path": target}))
            check_socket_path(socket, "socket path")
        port = Port(host.bridge, name, request.container_id, request.ifname, request.network, socket, host.vlan)
        box.switch.add_port(port)
        if not connects:
            work.log.info(f"{request.where}: host.vhost.mode server is deprecated by Open vSwitch; client is better")
            source = ovs_sockets.made_at(box.switch, box.settings, name)
            data = {"path": target, "source": source, "owner": place.owner, "group": place.group}
            work.intend(Step(undo.FILE, data))
            ovs_sockets.take_over(box.files, source, target, box.settings.socket_seconds, place.owner, place.group)

    def _make_memif(self, config: UserspaceConfig, work: Work, place: Place, name: str, addresses: Result) -> None:
        request, host, vpp = work.request, config.host, self.box.vpp
        path = check_socket_path(short_path(work, place.host, name), "socket path")
        work.intend(Step(undo.FILE, {"path": f"{place.host}/{name}"}))
        work.intend(Step(undo.MEMIF))
        interface = vpp.add_memif(request.container_id, request.ifname, path, host.memif_role, host.memif_mode)
        if host.net_type == BRIDGE:
            vpp.join(interface, int(host.bridge))
        elif host.net_type == INTERFACE:
            for address in addresses.ips:
                vpp.address(interface, address.cidr)

    def _verify_port(self, request: Request, record: Record) -> None:
        state = self.box.switch.state(request.container_id, request.ifname)
        if state is None:
            raise CniError(WRONG_STATE, f"Open vSwitch has no port of {request.ifname}, container {request.short_id}")
        if state.error or not state.ofport or state.ofport < 0:
            raise CniError(
                WRONG_STATE, f"port {state.name} does not work: {state.error or 'ovs-vswitchd did not make it'}"
            )
        for step in record.steps:
            if step.data.get("source") and not self.box.files.is_socket(step.data["path"]):
                raise CniError(WRONG_STATE, f"the socket {step.data['path']} is not there")


def _socket_file(config: UserspaceConfig, request: Request) -> str:
    if config.socket_file:
        return config.socket_file
    return f"memif-{request.port_name}.sock" if config.host.iftype == MEMIF else request.port_name


def _result(config: UserspaceConfig, request: Request, addresses: Result, socket: str) -> Result:
    return Result(
        (Interface(request.ifname, config.common.mac, request.netns, socket_path=socket),),
        tuple(replace(ip, interface=0) for ip in addresses.ips),
        addresses.routes,
        config.common.dns or addresses.dns,
    )


def _device_info(config: UserspaceConfig, path: str) -> dict[str, object]:
    if config.host.iftype == MEMIF:
        return memif(config.container_role, config.container.memif_mode or config.host.memif_mode, path)
    return vhost_user(config.container_mode, path)
