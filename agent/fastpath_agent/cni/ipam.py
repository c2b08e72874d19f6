# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delegation of addresses to an IPAM plugin, as section 4 of the specification says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

from fastpath_agent.cni import commands
from fastpath_agent.cni.commands import Run, TimedOut
from fastpath_agent.cni.errors import (
    INVALID_CONFIG,
    IPAM_FAILED,
    TRY_AGAIN_LATER,
    CniError,
    refuse_field,
)
from fastpath_agent.cni.request import decode
from fastpath_agent.cni.result import Result, parse_result
from fastpath_agent.protocol import PLUGINS

PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
# The client would have to speak from an interface of the pod's network namespace, and there is none.
WITHOUT_INTERFACE = "dhcp"


class Ipam:
    """``timeout``: seconds that a plugin has when the request leaves more than that."""

    def __init__(self, run: Run = commands.run, timeout: float = 30) -> None:
        self._run = run
        self.timeout = timeout

    def add(self, netconf: Mapping[str, Any], environment: Mapping[str, str], timeout: float) -> Result:
        """Addresses for an attachment; without any it is an error, as for the reference plugins."""
        result = parse_result(
            self._call("ADD", netconf, environment, timeout), f"the answer of IPAM plugin {_type(netconf)}"
        )
        if not result.ips:
            raise CniError(IPAM_FAILED, f"IPAM plugin {_type(netconf)} returned no address")
        return result

    def call(self, command: str, netconf: Mapping[str, Any], environment: Mapping[str, str], timeout: float) -> None:
        """DEL, CHECK, STATUS or GC."""
        self._call(command, netconf, environment, timeout)

    def _call(self, command: str, netconf: Mapping[str, Any], environment: Mapping[str, str], timeout: float) -> object:
        program = find_plugin(netconf, environment)
        seconds = max(0.1, min(timeout, self.timeout))
        try:
            done = self._run([program], json.dumps(netconf).encode(), {**environment, "CNI_COMMAND": command}, seconds)
        except TimedOut as late:
            raise CniError(TRY_AGAIN_LATER, f"IPAM plugin {_type(netconf)}: {late}") from late
        except OSError as error:
            raise CniError(IPAM_FAILED, f"IPAM plugin {program} cannot be run: {error.strerror}") from error
        if done.rc != 0:
            raise _failure(_type(netconf), command, done)
        return decode(done.out) if command == "ADD" else None


def ipam_type(netconf: Mapping[str, Any]) -> str:
    """The IPAM plugin's name; empty where the configuration delegates nothing. Raises where it cannot be used."""
    ipam = netconf.get("ipam")
    if ipam is None or ipam == {}:
        return ""
    name = ipam.get("type") if isinstance(ipam, dict) else None
    if not isinstance(name, str) or not PLUGIN_NAME.fullmatch(name) or name in PLUGINS:
        raise refuse_field("ipam.type", name, "must be the name of an IPAM plugin, such as host-local")
    if name == WITHOUT_INTERFACE:
        raise refuse_field("ipam.type", name, "needs a network interface in the pod, and there is none", True)
    return name


def find_plugin(netconf: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """The program below one of CNI_PATH's folders."""
    name, search_path = _type(netconf), environment.get("CNI_PATH", "")
    for folder in search_path.split(":"):
        path = f"{folder.rstrip('/')}/{name}"
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise CniError(INVALID_CONFIG, f"no IPAM plugin {name!r} in CNI_PATH {search_path!r}"[:400])


def _type(netconf: Mapping[str, Any]) -> str:
    return str(netconf["ipam"]["type"])


def _failure(name: str, command: str, done: commands.Completed) -> CniError:
    """The plugin's own error with its code, if it printed one."""
    try:
        told = decode(done.out)
    except CniError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("code"), int) and told["code"] > 0:
        return CniError(told["code"], f"IPAM plugin {name}: {told.get('msg', '')}", str(told.get("details") or ""))
    said = (done.err or done.out).decode("utf-8", "replace").strip()[-1000:]
    return CniError(IPAM_FAILED, f"IPAM plugin {name} failed at {command} with exit code {done.rc}", said)
