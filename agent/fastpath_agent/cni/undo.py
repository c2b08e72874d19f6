# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ways back. Each can be gone again at any time, and finds nothing to do the second time.

DEL, the roll-back of an ADD, garbage collection and the agent's start all take these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from fastpath_agent.cni.errors import CniError, from_os_error
from fastpath_agent.cni.log import Log
from fastpath_agent.cni.records import Record, Step
from fastpath_agent.cni.request import PASSED_ON, Request
from fastpath_agent.cni.sockets_api import as_cni_error
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.vhost_tools import ToolSpec, tool_of

LEASE, IPAM, ANNOTATION, FILE, FOLDER = "lease", "ipam", "annotation", "file", "folder"
PORT, MEMIF, VHOST_TOOL = "port", "memif", "vhost-tool"


@dataclass(frozen=True)
class Failure:
    """A step that could not be taken back now."""

    step: Step
    error: CniError


class Undo:
    """``request``: the DEL that asks for it, if one does; its parameters go before those that were recorded."""

    def __init__(self, box: Toolbox, record: Record, log: Log, request: Request | None, timeout: float) -> None:
        self._box = box
        self._record = record
        self._log = log
        self._request = request
        self._timeout = timeout
        self._ways: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            LEASE: self._lease,
            IPAM: self._ipam,
            ANNOTATION: self._annotation,
            FILE: self._file,
            FOLDER: lambda data: box.files.remove_folder(data["path"]),
            PORT: self._port,
            MEMIF: lambda _data: box.vpp.delete_memif(record.container_id, record.ifname),
            VHOST_TOOL: self._vhost_tool,
        }

    def all(self, steps: Sequence[Step]) -> list[Failure]:
        """Take back the last step first; one that fails does not keep the others from it."""
        failures = []
        for step in reversed(steps):
            try:
                self._ways[step.kind](step.data)
            except OSError as error:
                failures.append(Failure(step, from_os_error(error, f"cannot take back {step.kind}")))
            except Exception as error:  # whatever a pool raises: the other steps come all the same
                failures.append(Failure(step, as_cni_error(error)))
        for failure in failures:
            self._log.warning(f"{self._record.container_id} {self._record.ifname}: {failure.error.message}")
        return failures

    def _file(self, data: Mapping[str, Any]) -> None:
        """A file that several interfaces of a pod share stays while ``unless`` is there."""
        if not data.get("unless") or not self._box.files.exists(data["unless"]):
            self._box.files.remove(data["path"])

    def _lease(self, _data: Mapping[str, Any]) -> None:
        self._box.sockets.release(self._record.owner)

    def _ipam(self, data: Mapping[str, Any]) -> None:
        netconf, environment = data["netconf"], data["environment"]
        if self._request is not None and self._request.netconf.get("ipam"):
            netconf, environment = self._request.netconf, self._request.environment
        self._box.ipam.call("DEL", netconf, environment, self._timeout)

    def _annotation(self, _data: Mapping[str, Any]) -> None:
        """Never keeps a pod from going: the next sandbox's element replaces what stays."""
        record = self._record
        if self._box.annotations is None or not record.pod:
            return
        try:
            self._box.annotations.withdraw(record.namespace, record.pod, record.uid, record.container_id, record.ifname)
        except CniError as error:
            self._log.warning(f"annotation of {record.namespace}/{record.pod} stays: {error.message}")

    def _port(self, data: Mapping[str, Any]) -> None:
        """Where nothing was recorded there may be no Open vSwitch either; garbage collection finds what is missed."""
        try:
            self._box.switch.delete_port(self._record.container_id, self._record.ifname)
        except CniError as error:
            if not data.get("unsure"):
                raise
            self._log.info(f"no port removed: {error.message}")

    def _vhost_tool(self, data: Mapping[str, Any]) -> None:
        record, box = self._record, self._box
        spec = ToolSpec(**data["tool"])
        tool = tool_of(spec, record.container_id, record.ifname, box.settings, box.switch, box.vpp, box.run)
        tool.delete(data["port"], data["socket"])


def ipam_step(request: Request) -> Step:
    """What DEL of the IPAM plugin needs when no request brings it."""
    netconf = {key: value for key, value in request.netconf.items() if key != "prevResult"}
    environment = {name: text for name, text in request.environment.items() if name in PASSED_ON}
    return Step(IPAM, {"netconf": netconf, "environment": environment})
