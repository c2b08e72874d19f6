# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the three plugins have in common: the commands, and the order in which things happen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Generic, TypeVar

from fastpath_agent.cni.annotations import has_element
from fastpath_agent.cni.config import Common, previous_result
from fastpath_agent.cni.errors import (
    ALREADY_ATTACHED,
    INVALID_CONFIG,
    WRONG_STATE,
    CniError,
    Problem,
    refuse,
    refuse_field,
)
from fastpath_agent.cni.fields import Fields
from fastpath_agent.cni.files import told_as
from fastpath_agent.cni.ipam import find_plugin, ipam_type
from fastpath_agent.cni.log import DEFAULT_LEVEL, Log
from fastpath_agent.cni.ovs_sockets import take_over
from fastpath_agent.cni.pods import PodGone
from fastpath_agent.cni.records import ADDED, ADDING, Record, Step
from fastpath_agent.cni.request import CONTAINER_ID, INTERFACE_NAME, Request
from fastpath_agent.cni.result import Result, parse_result
from fastpath_agent.cni.toolbox import Toolbox
from fastpath_agent.cni.undo import Failure, Undo, ipam_step
from fastpath_agent.cni.versions import NEWEST
from fastpath_agent.cni.work import Work, record_of

VALID_ATTACHMENTS = "cni.dev/valid-attachments"
Config = TypeVar("Config")


class Plugin(ABC, Generic[Config]):
    """A plugin says what its configuration is, what it makes, and what there may be where nothing was recorded."""

    name: str

    def __init__(self, box: Toolbox) -> None:
        self.box = box

    @abstractmethod
    def parse(self, request: Request, fields: Fields) -> Config:
        """The configuration, as far as it can be understood; what is wrong is kept in ``fields.problems``."""

    @abstractmethod
    def common(self, config: Config) -> Common: ...

    @abstractmethod
    def attach(self, config: Config, work: Work) -> Result:
        """Make the attachment. Whatever is raised, everything that ``work`` was told of is taken back."""

    @abstractmethod
    def leftovers(self, request: Request) -> Sequence[Step]:
        """What an attachment without a record may have, as far as it follows from its parameters. Never raises."""

    @abstractmethod
    def verify(self, config: Config, request: Request, record: Record) -> None:
        """CniError where what was made is not there any more, or does not work."""

    @abstractmethod
    def ready(self, request: Request) -> None:
        """CniError where an ADD could not succeed now."""

    def stale(self, request: Request, valid: set[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Attachments that are neither valid nor recorded, where the plugin has other means to find them."""
        return ()

    def add(self, request: Request) -> dict[str, Any]:
        config = self._configured(request)
        common = self.common(config)
        with self.box.records.locked(request.container_id):
            log = self._log(common)
            self._make_room(request, log)
            work = Work(self.box, request, log)
            try:
                result = self.attach(config, work)
                work.finish(result.render(NEWEST))
            except BaseException as failure:
                log.error(f"{request.where}: {failure}")
                work.roll_back()
                raise
        log.info(f"{request.where}: done")
        return result.after(common.previous).render(request.version)

    def delete(self, request: Request) -> None:
        """Never asks for more than the attachment's name: the rest of the configuration may be wrong by now."""
        with self.box.records.locked(request.container_id):
            record = self.box.records.get(request.container_id, request.ifname)
            if record is not None and (record.plugin, record.network) != (request.plugin, request.network):
                return
            if record is None:
                record = self._assumed(request)
            self._take_back(record, request, self._lenient_log(request))

    def check(self, request: Request) -> None:
        if request.netconf.get("prevResult") is None:
            raise CniError(INVALID_CONFIG, "CHECK needs prevResult in the network configuration")
        config = self._configured(request)
        record = self.box.records.get(request.container_id, request.ifname)
        ours = record is not None and (record.plugin, record.network) == (request.plugin, request.network)
        if record is None or record.state != ADDED or not ours:
            raise CniError(
                WRONG_STATE, f"container {request.short_id} has no interface {request.ifname} of this network"
            )
        _compare(record, previous_result(request), request)
        self.verify(config, request, record)
        if self.common(config).ipam:
            self.box.ipam.call("CHECK", request.netconf, request.environment, self.box.settings.request_seconds)

    def status(self, request: Request) -> None:
        self.ready(request)
        if ipam_type(request.netconf):
            self.box.ipam.call("STATUS", request.netconf, request.environment, self.box.settings.request_seconds)

    def collect(self, request: Request) -> None:
        """GC: goes on past errors and tells them all at the end."""
        valid = valid_attachments(request.netconf.get(VALID_ATTACHMENTS))
        log = self._lenient_log(request)
        errors: list[CniError] = []
        records = [
            each for each in self.box.records.all() if each.plugin == self.name and each.network == request.network
        ]
        known = {record.key for record in records}
        for container_id, ifname in self.stale(request, valid | known):
            records.append(self._assumed(replace(request, container_id=container_id, ifname=ifname)))
        for record in records:
            if record.key not in valid:
                with self.box.records.locked(record.container_id):
                    _keep(errors, partial(self._take_back, record, None, log))
        if ipam_type(request.netconf):
            seconds = self.box.settings.request_seconds
            _keep(errors, lambda: self.box.ipam.call("GC", request.netconf, request.environment, seconds))
        if errors:
            raise CniError(errors[0].code, "; ".join(error.message for error in errors))

    def recover(self) -> None:
        """At the agent's start: what a former one had begun and not finished is taken back."""
        log = Log(self.box.logs)
        for record in self.box.records.all():
            if record.plugin == self.name and record.state == ADDING:
                with self.box.records.locked(record.container_id):
                    _keep([], partial(self._take_back, record, None, log))

    def repair(self) -> None:
        """Open vSwitch was started again and made new sockets in its own folder: to their pods with them."""
        for record in self.box.records.all():
            if record.plugin == self.name and record.state == ADDED:
                for step in record.steps:
                    if step.data.get("source") and self.box.files.is_socket(step.data["source"]):
                        data = step.data
                        ids = data.get("owner", -1), data.get("group", -1)
                        _keep([], partial(take_over, self.box.files, data["source"], data["path"], 0, *ids))

    def verify_annotation(self, record: Record) -> None:
        """The pod is told of the interface, and is the pod that it was made for."""
        if self.box.pods is None:
            return
        where = f"pod {record.namespace}/{record.pod}"
        try:
            pod = self.box.pods.get(record.namespace, record.pod)
        except PodGone as gone:
            raise CniError(WRONG_STATE, f"{where} is gone") from gone
        if not has_element(pod, record.container_id, record.ifname):
            raise CniError(WRONG_STATE, f"{where} is not annotated with {record.ifname}")

    def _configured(self, request: Request) -> Config:
        problems: list[Problem] = []
        config = self.parse(request, Fields(request.netconf, problems))
        refuse(problems)
        return config

    def _make_room(self, request: Request, log: Log) -> None:
        """An interface is added once; what an ADD that was cut off left is taken back first."""
        record = self.box.records.get(request.container_id, request.ifname)
        if record is None:
            return
        if record.state == ADDED:
            raise CniError(
                ALREADY_ATTACHED,
                f"container {request.short_id} has an interface {request.ifname} already, of network {record.network}",
            )
        self._take_back(record, None, log)

    def _assumed(self, request: Request) -> Record:
        return replace(record_of(request), steps=tuple(self.leftovers(request)))

    def _take_back(self, record: Record, request: Request | None, log: Log) -> None:
        failures = Undo(self.box, record, log, request, self.box.settings.request_seconds / 2).all(record.steps)
        with told_as("cannot remove the record"):
            if failures:
                left = tuple(failure.step for failure in reversed(failures))
                self.box.records.put(replace(record, state=ADDING, steps=left))
            else:
                self.box.records.remove(record.container_id, record.ifname)
        if failures:
            raise _all_of(failures)

    def _log(self, common: Common) -> Log:
        return Log(self.box.logs, common.log_file, common.log_level)

    def _lenient_log(self, request: Request) -> Log:
        """The log that the configuration names, if what it says of it is right."""
        problems: list[Problem] = []
        try:
            common = self.common(self.parse(request, Fields(request.netconf, problems)))
        except CniError:
            return Log(self.box.logs)
        if any(problem.field in ("logFile", "logLevel") for problem in problems):
            return Log(self.box.logs, "", DEFAULT_LEVEL)
        return self._log(common)


def ipam_leftover(request: Request) -> list[Step]:
    """The IPAM plugin is asked to release also where nothing was recorded, if it can be asked at all."""
    try:
        if not ipam_type(request.netconf):
            return []
        find_plugin(request.netconf, request.environment)
    except CniError:
        return []
    return [ipam_step(request)]


def valid_attachments(value: object) -> set[tuple[str, str]]:
    """What must not be collected. Without the list nothing may be: an absent one is not an empty one."""
    if not isinstance(value, list):
        raise refuse_field(VALID_ATTACHMENTS, value, "is required: a list of objects with containerID and ifname")
    found = set()
    for each in value:
        container_id, ifname = (each.get("containerID"), each.get("ifname")) if isinstance(each, dict) else (None, None)
        if not isinstance(container_id, str) or not isinstance(ifname, str):
            raise refuse_field(VALID_ATTACHMENTS, each, "must have containerID and ifname as text")
        if CONTAINER_ID.fullmatch(container_id) and INTERFACE_NAME.fullmatch(ifname):
            found.add((container_id, ifname))
    return found


def _compare(record: Record, expected: Result, request: Request) -> None:
    """What the runtime believes there is, against what was made."""
    made = parse_result(record.result, "the record")
    for interface in made.interfaces:
        fitting = [
            each for each in expected.interfaces if each.name == interface.name and each.sandbox == interface.sandbox
        ]
        if not fitting:
            raise CniError(WRONG_STATE, f"prevResult has no interface {interface.name} in {interface.sandbox}")
        if interface.mac and all(each.mac.lower() != interface.mac for each in fitting):
            raise CniError(WRONG_STATE, f"prevResult has another MAC address of {interface.name} than {interface.mac}")
    missing = {ip.cidr for ip in made.ips} - {ip.cidr for ip in expected.ips}
    if missing:
        raise CniError(WRONG_STATE, f"prevResult lacks {', '.join(sorted(missing))} of {request.ifname}")


def _keep(errors: list[CniError], work: Callable[[], None]) -> None:
    try:
        work()
    except CniError as error:
        errors.append(error)


def _all_of(failures: Sequence[Failure]) -> CniError:
    """The first failure's code, everybody's message."""
    return CniError(failures[0].error.code, "; ".join(failure.error.message for failure in failures))
