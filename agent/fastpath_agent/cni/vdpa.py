# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugin ``vdpa``: hands a VF's vhost-user socket to a pod. Nothing is made in the pod's network namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fastpath_agent.cni import undo
from fastpath_agent.cni.addresses import PCI_ADDRESS, cidr, ip_address, mac_address, pci_address
from fastpath_agent.cni.cgroup import cpus_of
from fastpath_agent.cni.config import Common, parse_common, parse_routes, parsed
from fastpath_agent.cni.deviceinfo import vhost_user
from fastpath_agent.cni.element import configuration
from fastpath_agent.cni.errors import (
    INVALID_CONFIG,
    NOT_AVAILABLE,
    WRONG_STATE,
    CniError,
    refuse_field,
)
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.files import Files, check_socket_path
from fastpath_agent.cni.hostnic import MAX_BYTES, HostNic, parse_host_nic
from fastpath_agent.cni.plugin import Plugin, ipam_leftover
from fastpath_agent.cni.records import Record, Step
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Address, Interface, Result, Route
from fastpath_agent.cni.sockets_api import Lease
from fastpath_agent.cni.volumes import EMPTY_DIR, SharedDir, require_private, shared_dir
from fastpath_agent.cni.work import Work

ENGINE = "vDPA"
# The pod's side. Its client finds the socket there when it starts; a server makes it itself.
CLIENT, SERVER = "client", "server"
POOL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True)
class VdpaConfig:
    """``device``: a VF, or the name of a pool without devices. ``static``: addresses of the configuration itself."""

    common: Common
    device: str = ""
    mode: str = CLIENT
    host_nic: str = ""
    static: HostNic = field(default_factory=HostNic)
    routes: tuple[Route, ...] = ()


class Vdpa(Plugin[VdpaConfig]):
    name = "vdpa"

    def parse(self, request: Request, fields: Fields) -> VdpaConfig:
        common = parse_common(request, self.box.settings, fields)
        host_nic = fields.absolute("hostNic")
        if host_nic and Files(self.box.settings.host_nic_folders).allowed_base(host_nic) is None:
            fields.wrong("hostNic", f"must lie below one of {', '.join(self.box.settings.host_nic_folders)}")
        if common.ipam and fields.has("IP"):
            fields.wrong("IP", "cannot be given together with ipam: one of them decides")
        mode = fields.choice("mode", (CLIENT, SERVER), CLIENT)
        return VdpaConfig(common, _device(fields), mode, host_nic, _static(fields), parse_routes(fields))

    def common(self, config: VdpaConfig) -> Common:
        return config.common

    def attach(self, config: VdpaConfig, work: Work) -> Result:
        own = self._own(config)
        pod = work.pod() if self._uses_api(config) else None
        shared = None if pod is None else self._shared_dir(pod)
        lease = work.acquire(config.device, config.mode)
        result = self._result(config, own, lease, work)
        container_dir, socket_file = _seen(shared, lease)
        element = configuration(
            work.request,
            {
                "engine": ENGINE,
                "iftype": "vhostuser",
                "netType": "none",
                "vhost": {"mode": config.mode, "socketfile": socket_file},
            },
            result,
        )
        if cpus := cpus_of(config.common.cgroup, self.box.settings):
            element["cpus"] = cpus
        if pod is not None:
            path = check_socket_path(f"{container_dir}/{socket_file}", "path of the socket in the container")
            work.annotate(pod, element, container_dir)
        else:
            path = f"{lease.directory}/{lease.socket_name}"
            folder = _file_folder(config, work.request)
            work.make_folder(folder)
            work.save_for_files(folder, element)
        work.describe_device(config.common, vhost_user(config.mode, path))
        return result

    def leftovers(self, request: Request) -> Sequence[Step]:
        problems: list[Any] = []
        config = self.parse(request, Fields(request.netconf, problems))
        steps = [Step(undo.LEASE), *ipam_leftover(request), Step(undo.ANNOTATION)]
        if config.common.shared_dir:
            folder = _file_folder(config, request)
            steps += [
                Step(undo.FOLDER, {"path": folder}),
                Step(undo.FILE, {"path": f"{folder}/configData-{request.port_name}.json"}),
            ]
        if config.common.device_info_file:
            steps.append(Step(undo.FILE, {"path": config.common.device_info_file}))
        return steps

    def verify(self, config: VdpaConfig, request: Request, record: Record) -> None:
        lease = next((each for each in self.box.sockets.leases() if _key(each) == record.key), None)
        if lease is None or (_is_pci(config.device) and lease.device != config.device):
            raise CniError(WRONG_STATE, f"container {request.short_id} {request.ifname}: no lease of {config.device}")
        path = f"{lease.directory}/{lease.socket_name}"
        if config.mode == CLIENT and not self.box.files.is_socket(path):
            raise CniError(WRONG_STATE, f"the socket of {config.device} is not there: {path}")
        if self._uses_api(config):
            self.verify_annotation(record)

    def ready(self, request: Request) -> None:
        if problem := self.box.problem():
            raise CniError(NOT_AVAILABLE, f"the socket pools do not work: {problem}"[:300])
        files_only = request.netconf.get("sharedDir") and not request.netconf.get("kubeconfig")
        if not files_only and (self.box.pods is None or not self.box.pods.ready()):
            raise CniError(NOT_AVAILABLE, "the Kubernetes API is away, and pods are told of their sockets through it")

    def _uses_api(self, config: VdpaConfig) -> bool:
        """Files are for those who ask for them, and for them only."""
        if not config.common.shared_dir:
            return True
        return config.common.api

    def _own(self, config: VdpaConfig) -> HostNic:
        """MAC and address: the administrator's file goes before what the pod asked for, and that before the rest."""
        static, asked = config.static, config.common.mac
        found = self._host_nic(config)
        if found.address and config.common.ipam:
            raise CniError(
                INVALID_CONFIG,
                f"{config.host_nic} gives {config.device} the address {found.address}, and ipam gives one too: "
                "keep one of them",
            )
        return HostNic(
            found.mac or asked or static.mac, found.address or static.address, found.gateway or static.gateway
        )

    def _host_nic(self, config: VdpaConfig) -> HostNic:
        if not config.host_nic:
            return HostNic()
        try:
            content = self.box.host_nic.read(config.host_nic, MAX_BYTES)
        except OSError as error:
            raise refuse_field("hostNic", config.host_nic, f"cannot be read: {error.strerror}") from error
        return parse_host_nic(content, config.device, config.host_nic) or HostNic()

    def _shared_dir(self, pod: Mapping[str, Any]) -> SharedDir:
        shared = shared_dir(pod, self.box.settings.kubelet)
        if shared.kind == EMPTY_DIR:
            raise CniError(
                INVALID_CONFIG,
                "the pod's shared-dir is an emptyDir, and sockets of devices are made in a folder of the node: "
                "use a hostPath with 'subPathExpr: $(POD_UID)'",
            )
        require_private(shared, self.box.settings.whole_folders)
        return shared

    def _result(self, config: VdpaConfig, own: HostNic, lease: Lease, work: Work) -> Result:
        request = work.request
        result = Result()
        if config.common.ipam:
            result = work.addresses()
        elif own.address:
            result = Result(ips=(Address(own.address, own.gateway),))
        return Result(
            (
                Interface(
                    request.ifname,
                    own.mac or self.box.mac_of(lease.device),
                    request.netns,
                    socket_path=f"{lease.directory}/{lease.socket_name}",
                    pci_id=lease.device if _is_pci(lease.device) else "",
                ),
            ),
            tuple(replace(ip, interface=0) for ip in result.ips),
            (*result.routes, *config.routes),
            config.common.dns or result.dns,
        )


def _device(fields: Fields) -> str:
    """Multus puts it into the configuration, by both names."""
    key = "deviceID" if fields.has("deviceID") else "pciBusID"
    if not fields.has(key) and fields.has("pool"):
        return fields.text("pool", "", POOL_NAME, "a pool's name")
    if not fields.has(key):
        fields.wrong(
            "deviceID",
            "is required: the VF's PCI address. Multus sets it for a network whose annotation "
            "k8s.v1.cni.cncf.io/resourceName names the pool that the pod asks for; pool names one without devices",
        )
        return ""
    return parsed(fields, key, pci_address) or ""


def _static(fields: Fields) -> HostNic:
    address = ""
    if fields.has("IP") or fields.has("IPMask"):
        try:
            address = cidr(fields.raw("IP"), fields.raw("IPMask"))
        except ValueError as wrong:
            fields.wrong("IP", f"{wrong} (with IPMask {fields.raw('IPMask')!r})"[:200])
    return HostNic(parsed(fields, "MAC", mac_address) or "", address, parsed(fields, "gateway", ip_address) or "")


def _file_folder(config: VdpaConfig, request: Request) -> str:
    return f"{config.common.shared_dir}/{request.short_id}"


def _seen(shared: SharedDir | None, lease: Lease) -> tuple[str, str]:
    """Folder and file as the container sees them."""
    if shared is None:
        return "", lease.socket_name
    host, made = _below_run(shared.host), _below_run(lease.directory)
    if made == host:
        return shared.container, lease.socket_name
    if not shared.private and made.startswith(f"{host}/"):
        return shared.container, f"{made[len(host) + 1 :]}/{lease.socket_name}"
    raise CniError(
        INVALID_CONFIG,
        f"the pod mounts {shared.host}, and its sockets are in {lease.directory}: mount the hostPath "
        f"{lease.directory.rpartition('/')[0]} with 'subPathExpr: $(POD_UID)'",
    )


def _below_run(path: str) -> str:
    return path[len("/var") :] if path.startswith("/var/run/") else path


def _is_pci(device: str) -> bool:
    return PCI_ADDRESS.fullmatch(device) is not None


def _key(lease: Lease) -> tuple[str, str]:
    return lease.owner.container_id, lease.owner.ifname
