# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields that all three plugins know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastpath_agent.cni.addresses import ip_address, ip_network, mac_address
from fastpath_agent.cni.deviceinfo import is_file_name
from fastpath_agent.cni.errors import UNSUPPORTED_FIELD, CniError, Problem
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.files import Files
from fastpath_agent.cni.ipam import ipam_type
from fastpath_agent.cni.log import DEFAULT_LEVEL, LEVELS, is_log_name
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Result, Route, parse_dns, parse_result
from fastpath_agent.cni.settings import Settings


@dataclass(frozen=True)
class Common:
    """``mac``: what the pod or the runtime asked for. ``api``: whether a kubeconfig was named.

    That file itself is never read: a configuration is written by users of a namespace, and a kubeconfig can name
    programs to run. The agent has an account of its own.
    """

    ipam: str = ""
    mac: str = ""
    api: bool = False
    shared_dir: str = ""
    device_info_file: str = ""
    cgroup: str = ""
    log_file: str = ""
    log_level: str = DEFAULT_LEVEL
    dns: Mapping[str, Any] = field(default_factory=dict)
    previous: Result = field(default_factory=Result)


def parse_common(request: Request, settings: Settings, fields: Fields) -> Common:
    """Collects what is wrong in ``fields.problems``."""
    shared_dir = fields.absolute("sharedDir")
    if shared_dir and Files(settings.socket_folders).allowed_base(shared_dir) is None:
        fields.wrong("sharedDir", f"must lie below one of {', '.join(settings.socket_folders)}")
        shared_dir = ""
    return Common(
        ipam=_told(fields.problems, lambda: ipam_type(request.netconf), ""),
        mac=_requested_mac(request, fields),
        api=bool(fields.absolute("kubeconfig")),
        shared_dir=shared_dir,
        device_info_file=_device_info_file(settings, fields),
        cgroup=fields.object("runtimeConfig").absolute("cgroupPath"),
        log_file=_log_file(request, settings, fields),
        log_level=fields.choice("logLevel", LEVELS, DEFAULT_LEVEL),
        dns=parsed(fields, "dns", parse_dns) or {},
        previous=_told(fields.problems, lambda: previous_result(request), Result()),
    )


def previous_result(request: Request) -> Result:
    value = request.netconf.get("prevResult")
    return Result() if value is None else parse_result(value, "prevResult")


def parse_routes(fields: Fields) -> tuple[Route, ...]:
    """``routes`` with ``dst`` and ``gw``, as an IPAM plugin would return them."""
    routes = []
    for each in fields.objects("routes"):
        destination = parsed(each, "dst", ip_network)
        gateway = parsed(each, "gw", ip_address) if each.has("gw") else ""
        if destination is None:
            if not each.has("dst"):
                each.wrong("dst", "is required: a network such as 198.51.100.0/24")
            continue
        routes.append(Route(destination, gateway or ""))
    return tuple(routes)


def _requested_mac(request: Request, fields: Fields) -> str:
    """The newer way of asking goes before the older one."""
    runtime = fields.object("runtimeConfig")
    by_args = fields.object("args").object("cni")
    for source in (runtime, by_args):
        if source.has("mac"):
            return parsed(source, "mac", mac_address) or ""
    from_environment = {"CNI_ARGS MAC": request.args.get("MAC") or None}
    return parsed(Fields(from_environment, fields.problems), "CNI_ARGS MAC", mac_address) or ""


def _device_info_file(settings: Settings, fields: Fields) -> str:
    runtime = fields.object("runtimeConfig")
    path = runtime.absolute("CNIDeviceInfoFile")
    if path and not is_file_name(path, settings.device_info_folders):
        runtime.wrong("CNIDeviceInfoFile", f"must be a file in {settings.device_info_folders[0]}")
        return ""
    return path


def _log_file(request: Request, settings: Settings, fields: Fields) -> str:
    path = fields.absolute("logFile")
    if path and (Files(settings.log_folders).allowed_base(path) is None or not is_log_name(path, request.plugin)):
        fields.wrong(
            "logFile", f"must lie below {', '.join(settings.log_folders)} with a name that begins with {request.plugin}"
        )
        return ""
    return path


def parsed(fields: Fields, key: str, parse: Any) -> Any:
    """A parsed field; None where it is absent or wrong."""
    if not fields.has(key):
        return None
    try:
        return parse(fields.raw(key))
    except ValueError as wrong:
        fields.wrong(key, str(wrong))
        return None


def _told(problems: list[Problem], parse: Any, default: Any) -> Any:
    """A part that has its own error: it is told together with the others."""
    try:
        return parse()
    except CniError as error:
        problems.append(Told(error))
        return default


class Told(Problem):
    """An error that has been worded already."""

    def __init__(self, error: CniError) -> None:
        super().__init__(
            "", None, error.message.partition("refused: ")[2] or error.message, error.code == UNSUPPORTED_FIELD
        )

    def __str__(self) -> str:
        return self.message
