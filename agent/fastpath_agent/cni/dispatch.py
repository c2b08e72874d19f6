# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a message to an answer: whatever happens in between, the answer is one the specification knows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Callable

from fastpath_agent.cni.errors import INTERNAL, CniError, from_os_error
from fastpath_agent.cni.plugin import Plugin
from fastpath_agent.cni.request import Request, decode, parse_request
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.userspace import Userspace
from fastpath_agent.cni.vdpa import Vdpa
from fastpath_agent.cni.versions import NEWEST, SUPPORTED
from fastpath_agent.cni.vhostuser import Vhostuser

_logger = logging.getLogger("fastpath.cni")


class Dispatcher:
    def __init__(self, box: Toolbox) -> None:
        self.plugins: dict[str, Plugin[Any]] = {
            plugin.name: plugin for plugin in (Vdpa(box), Userspace(box), Vhostuser(box))
        }

    def answer(self, message: object) -> dict[str, Any]:
        """``result`` is what the shim prints: empty where CNI prints nothing."""
        try:
            if not isinstance(message, dict):
                raise CniError(INTERNAL, "the request is no JSON object")
            return {"ok": True, "result": self._execute(message)}
        except CniError as error:
            return _failure(message, error)
        except OSError as error:
            return _failure(message, from_os_error(error, "file operation failed"))
        except Exception as error:
            code = getattr(error, "cni_code", None)
            if not isinstance(code, int):
                _logger.exception("a request failed in an unforeseen way")
                return _failure(message, CniError(INTERNAL, f"{type(error).__name__}: {error}"[:500]))
            return _failure(message, CniError(code, str(error)))

    def recover(self) -> None:
        """At the agent's start, before the first request."""
        for plugin in self.plugins.values():
            plugin.recover()

    def repair(self) -> None:
        """Now and then: sockets that a restart of Open vSwitch left behind."""
        for plugin in self.plugins.values():
            plugin.repair()

    def _execute(self, message: Mapping[str, Any]) -> dict[str, Any]:
        if message.get("command") == "VERSION":
            return {"cniVersion": _version(message), "supportedVersions": list(SUPPORTED)}
        request = parse_request(message)
        plugin = self.plugins[request.plugin]
        if request.command == "ADD":
            return plugin.add(request)
        _COMMANDS[request.command](plugin, request)
        return {}


_COMMANDS: Mapping[str, Callable[[Plugin[Any], Request], None]] = {
    "DEL": lambda plugin, request: plugin.delete(request),
    "CHECK": lambda plugin, request: plugin.check(request),
    "STATUS": lambda plugin, request: plugin.status(request),
    "GC": lambda plugin, request: plugin.collect(request),
}


def _failure(message: object, error: CniError) -> dict[str, Any]:
    return {"ok": False, "error": {"cniVersion": _version(message), **error.as_object()}}


def _version(message: object) -> str:
    """The version of the specification to answer in: the configuration's, if it is one that is spoken here."""
    netconf = message.get("netconf") if isinstance(message, dict) else None
    if isinstance(netconf, str):
        try:
            netconf = decode(netconf)
        except CniError:
            return NEWEST
    version = netconf.get("cniVersion") if isinstance(netconf, dict) else None
    return str(version) if version in SUPPORTED else NEWEST
