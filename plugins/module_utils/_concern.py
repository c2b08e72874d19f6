# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. One concern of a node, and the one way to bring it about.

discover -> plan -> apply -> verify is the same for Ansible's modules and for the boot engine.
"""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import note
from ansible_collections.nfv.fastpath.plugins.module_utils._store import Store

LOCK_PATH = "/run/fastpath.lock"
LOCK_SECONDS = 120.0

Current = TypeVar("Current")
Desired = TypeVar("Desired")


class Concern(Generic[Current, Desired]):
    """What a concern (hugepages, sriov, ...) has to say for itself.

    ``parse`` and the two planners are pure and delegate to plain functions; ``discover``, ``perform``
    and ``check`` may use ``self.host``. ``spec`` is the user's structure, JSON values only.
    """

    name = ""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.store = Store(host, self.name)
        # What turned out on the way, is no failure, and cannot be left unsaid.
        self.noticed: list[str] = []

    def parse(self, spec: Any) -> Desired:
        """Validate a spec; raise Refused with every problem."""
        raise NotImplementedError

    def stored(self, spec: Any) -> Any:
        """What of a valid spec is kept on the node: all that ``parse`` needs of it."""
        return spec

    def discover(self) -> Current:
        """The node's state, read only. Includes ``self.store.record()`` where the planner needs it."""
        raise NotImplementedError

    def plan(self, current: Current, desired: Desired) -> Plan:
        raise NotImplementedError

    def plan_teardown(self, current: Current) -> Plan:
        """The way back to what the record says was there before. Empty where there is no record."""
        raise NotImplementedError

    def record(self, current: Current, plan: Plan) -> dict[str, Any]:
        """The record to be on disk before ``plan`` is performed: the former state of all it touches.

        Starts from what is recorded already, and never overwrites a former value.
        """
        raise NotImplementedError

    def perform(self, operation: Operation) -> None:
        """Carry out one operation; raise FastpathError if the node did not do it."""
        raise NotImplementedError

    def finish(self, plan: Plan) -> None:
        """After the last operation, for what is done once for all (e.g. ``update-grub``)."""

    def check(self, current: Current, desired: Desired) -> list[Check]:
        """The verification: looks at the effect, not at what was written."""
        raise NotImplementedError


@dataclass(frozen=True)
class Request:
    """What the caller wants: ``present`` (spec) or torn down; dry run; consent to disruption.

    ``forget``: whether a teardown ends with it. Without, its record is there for what others still have to do.
    """

    spec: Any = None
    present: bool = True
    dry_run: bool = False
    disruption_ok: bool = False
    persist: bool = True
    forget: bool = True


def converge(concern: Concern[Any, Any], request: Request) -> Plan:
    """Plan and, unless dry, apply. Raises Refused or FastpathError; returns the plan that was carried out."""
    with _locked(concern.host, request.dry_run):
        current = concern.discover()
        plan = _planned(concern, request, current)
        _require_consent(plan, request)
        if request.dry_run:
            return plan
        if plan.changed:
            plan = _apply(concern, request, current, plan)
        note(concern.host, concern.name, plan.reboot_reason)
        return plan


def verify(concern: Concern[Any, Any], spec: Any) -> list[Check]:
    """Look at the node and compare with the spec; changes nothing."""
    desired = concern.parse(spec)
    return concern.check(concern.discover(), desired)


def _planned(concern: Concern[Any, Any], request: Request, current: Any) -> Plan:
    if not request.present:
        plan = concern.plan_teardown(current)
        if request.forget and (concern.store.desired() is not None or concern.store.record()):
            plan = replace(plan, operations=(*plan.operations, Operation("forget", concern.name)))
        return plan
    plan = concern.plan(current, concern.parse(request.spec))
    former, wanted = concern.store.desired(), concern.stored(request.spec)
    if request.persist and former != wanted:
        written = Operation("save_desired", concern.store.desired_path, former, wanted)
        plan = replace(plan, operations=(written, *plan.operations))
    return plan


def _require_consent(plan: Plan, request: Request) -> None:
    if plan.disruptive and not request.disruption_ok:
        steps = "; ".join(f"{step.action} {step.target}: {step.reason}" for step in plan.disruptive)
        raise FastpathError(
            f"Refused on {platform.node()}, nothing was changed: this would disrupt running users ({steps}). "
            "Give consent with disruption_ok, after the users were moved away.",
            **plan.result(),
        )


def _apply(concern: Concern[Any, Any], request: Request, current: Any, plan: Plan) -> Plan:
    """Carry out a plan and return it, with what turned out on the way: some reasons to reboot show only then."""
    if request.present:
        concern.store.save_record(concern.record(current, plan))
    for operation in plan.operations:
        if operation.action == "save_desired":
            concern.store.save_desired(operation.after)
        elif operation.action != "forget":
            concern.perform(operation)
    concern.finish(plan)
    if not request.present:
        if request.forget:
            concern.store.forget()
        return replace(plan, warnings=(*plan.warnings, *concern.noticed))
    left = concern.plan(concern.discover(), concern.parse(request.spec))
    if left.operations:
        steps = ", ".join(f"{step.action} {step.target}: {step.before!r} -> {step.after!r}" for step in left.operations)
        raise FastpathError(f"{concern.name} on {platform.node()}: applied, but the node did not keep it: {steps}.")
    warnings = tuple(dict.fromkeys(plan.warnings + left.warnings))
    return replace(plan, reboot_reason=left.reboot_reason or plan.reboot_reason, warnings=warnings)


@contextmanager
def _locked(host: Host, dry_run: bool) -> Iterator[None]:
    """One change at a time on a node: a module and the boot engine must not meet."""
    if dry_run:
        yield
        return
    path = host.path(LOCK_PATH)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as busy:
                if time.monotonic() > deadline:
                    raise FastpathError(f"Another run has held {LOCK_PATH} for {LOCK_SECONDS:g} s.") from busy
                time.sleep(0.1)
        yield
