# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a planner returns and what a check says: plain data, no I/O."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Operation:
    """One change on one object, e.g. ``("set_numvfs", "0000:81:00.0", 0, 7)``.

    ``action`` names the step that performs it, ``target`` the object (PCI address, path, argument),
    ``before`` and ``after`` are JSON values. ``disruptive``: running users of the object notice it;
    ``reason`` then says why and who.
    """

    action: str
    target: str
    before: Any = None
    after: Any = None
    disruptive: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """All that is to be done for one concern on one node, in order.

    ``before`` and ``after`` are the concern's state as JSON objects and make the diff.
    ``reboot_reason`` is empty where no reboot is needed. It can be set without any operation: what
    is asked for may already be written down and only wait for a reboot.
    """

    operations: tuple[Operation, ...] = ()
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    reboot_reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.operations)

    @property
    def disruptive(self) -> tuple[Operation, ...]:
        return tuple(operation for operation in self.operations if operation.disruptive)

    def result(self) -> dict[str, Any]:
        """The keys that every module of the collection returns."""
        return {
            "changed": self.changed,
            "diff": {"before": self.before, "after": self.after},
            "operations": [asdict(operation) for operation in self.operations],
            "reboot_required": bool(self.reboot_reason),
            "reboot_reason": self.reboot_reason,
            "disruptive": bool(self.disruptive),
        }


@dataclass(frozen=True)
class Check:
    """One line of a verification: what was expected, what was seen, and what to do if they differ.

    ``id`` is stable and dotted (``sriov.numvfs``), ``layer`` the concern, ``target`` the object.
    """

    id: str
    layer: str
    target: str
    expected: Any
    seen: Any
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return bool(self.expected == self.seen)

    def result(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}
