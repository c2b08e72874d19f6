# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One ADD at work: whatever it makes is written down first, and taken back if the rest fails."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastpath_agent.cni import undo
from fastpath_agent.cni.annotations import identity
from fastpath_agent.cni.config import Common
from fastpath_agent.cni.deviceinfo import content
from fastpath_agent.cni.errors import (
    NO_SOCKET,
    TRY_AGAIN_LATER,
    CniError,
    refuse_field,
)
from fastpath_agent.cni.files import UNFINISHED, check_socket_path, told_as
from fastpath_agent.cni.ipam import find_plugin
from fastpath_agent.cni.log import Log
from fastpath_agent.cni.pods import PodGone
from fastpath_agent.cni.records import ADDED, Record, Step
from fastpath_agent.cni.request import Request
from fastpath_agent.cni.result import Result
from fastpath_agent.cni.sockets_api import Lease
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.undo import Undo

POLL_SECONDS = 0.01


def record_of(request: Request) -> Record:
    """An attachment of which nothing is made yet."""
    return Record(
        request.plugin,
        request.network,
        request.container_id,
        request.ifname,
        request.namespace,
        request.pod,
        request.uid,
    )


class Work:
    """Every method that makes something first calls ``intend``."""

    def __init__(self, box: Toolbox, request: Request, log: Log) -> None:
        self.box = box
        self.request = request
        self.log = log
        self.record = record_of(request)
        self._deadline = time.monotonic() + box.settings.request_seconds

    @property
    def seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise CniError(TRY_AGAIN_LATER, f"not done within {self.box.settings.request_seconds:g} s")
        return left

    def intend(self, step: Step) -> None:
        """From here on the step may have happened."""
        self.record = self.record.with_step(step)
        with told_as("cannot record the attachment"):
            self.box.records.put(self.record)

    def finish(self, result: Mapping[str, Any]) -> None:
        self.record = replace(self.record, state=ADDED, result=dict(result))
        with told_as("cannot record the attachment"):
            self.box.records.put(self.record)

    def roll_back(self) -> None:
        """What cannot be taken back now stays recorded, for DEL, garbage collection and the agent's next start."""
        seconds = self.box.settings.request_seconds / 2
        failures = Undo(self.box, self.record, self.log, self.request, seconds).all(self.record.steps)
        try:
            if failures:
                self.record = replace(self.record, steps=tuple(failure.step for failure in reversed(failures)))
                self.box.records.put(self.record)
            else:
                self.box.records.remove(self.record.container_id, self.record.ifname)
        except OSError as error:
            self.log.error(f"{self.request.where}: the record stays as it was: {error}")

    def require_unused(self, path: str) -> None:
        """Refuse a path that the configuration fixes and another attachment has: its socket must not be lost to it."""
        for record in self.box.records.all():
            theirs = [step.data.get("path") for step in record.steps if step.kind == undo.FILE]
            if record.key != self.record.key and path in theirs:
                raise CniError(TRY_AGAIN_LATER, f"{path} belongs to {record.ifname} of container {record.container_id}")

    def pod(self) -> Mapping[str, Any]:
        """The pod as the API has it; from here on its uid is part of the attachment."""
        request, pods = self.request, self.box.pods
        if not request.pod or not request.namespace:
            raise CniError(4, "CNI_ARGS name no pod: K8S_POD_NAMESPACE and K8S_POD_NAME are needed")
        if pods is None:
            raise refuse_field(
                "kubeconfig", self.request.netconf.get("kubeconfig"), "the agent has no access to the Kubernetes API; "
                "use sharedDir for files instead"
            )  # fmt: skip
        try:
            pod = pods.get(request.namespace, request.pod)
        except PodGone as gone:
            raise CniError(
                TRY_AGAIN_LATER, f"pod {request.namespace}/{request.pod} is not there: {gone}"[:400]
            ) from gone
        uid = identity(pod)[2]
        if request.uid and uid and request.uid != uid:
            raise CniError(TRY_AGAIN_LATER, f"pod {request.namespace}/{request.pod} is another one by now")
        self.record = replace(self.record, uid=uid or request.uid)
        return pod

    def acquire(self, device: str, mode: str) -> Lease:
        """A socket of the pools, there and ready when this returns."""
        self.intend(Step(undo.LEASE))
        lease = self.box.sockets.acquire(device, self.record.owner, mode)
        path = check_socket_path(f"{lease.directory}/{lease.socket_name}", "socket path")
        if mode == "client":
            self.await_socket(path)
        return lease

    def await_socket(self, path: str) -> None:
        """No pod starts without its socket."""
        deadline = time.monotonic() + min(self.seconds_left, self.box.settings.socket_seconds)
        while not self.box.files.is_socket(path):
            if time.monotonic() > deadline:
                raise CniError(NO_SOCKET, f"no socket at {path}")
            time.sleep(POLL_SECONDS)

    def addresses(self) -> Result:
        """From the IPAM plugin. One that does not exist has nothing to give back either."""
        find_plugin(self.request.netconf, self.request.environment)
        self.intend(undo.ipam_step(self.request))
        return self.box.ipam.add(self.request.netconf, self.request.environment, self.seconds_left)

    def write(self, path: str, text: bytes, mode: int = 0o644) -> None:
        self.intend(Step(undo.FILE, {"path": path}))
        with told_as("cannot write"):
            self.box.files.write(path, text, mode)

    def make_folder(self, path: str) -> None:
        """A folder of this attachment that everybody may look into. Goes when nothing is in it any more."""
        self.intend(Step(undo.FOLDER, {"path": path}))
        with told_as("cannot make the folder"):
            self.box.files.make_folder(path)

    def make_pod_folder(self, path: str, owner: int, group: int, writable: bool) -> None:
        """A folder that only its pod gets to see. ``writable``: the pod makes sockets in it."""
        self.intend(Step(undo.FOLDER, {"path": path}))
        with told_as("cannot make the folder"):
            # Passing through by a known name is allowed, looking around is not.
            self.box.files.make_folder(path.rpartition("/")[0], 0o711)
            self.box.files.make_folder(path, UNFINISHED)
            self.box.files.hand_over(path, owner, group, writable)

    def annotate(self, pod: Mapping[str, Any], element: Mapping[str, Any], mapped_dir: str) -> None:
        self.intend(Step(undo.ANNOTATION))
        annotations = self.box.annotations
        if annotations is not None:
            annotations.publish(pod, element, mapped_dir)

    def save_for_files(self, folder: str, element: Mapping[str, Any]) -> None:
        """The element as a file, for pods that no API tells it."""
        request = self.request
        text = json.dumps(element, separators=(",", ":")).encode()
        self.write(f"{folder}/configData-{request.port_name}.json", text)

    def describe_device(self, common: Common, info: dict[str, object]) -> None:
        """The device information file, where the runtime wants one."""
        if common.device_info_file:
            self.intend(Step(undo.FILE, {"path": common.device_info_file}))
            folder = common.device_info_file.rpartition("/")[0]
            with told_as("cannot write the device information"):
                self.box.files.make_folder(folder)
                self.box.files.write(common.device_info_file, content(info))
