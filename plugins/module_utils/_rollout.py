# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whether a node reboots in this run: one reboot for all reasons, and only with consent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import REASONS_PATH, reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._store import RECORD_FOLDER

NONE = "none"
POSTPONED = "postponed"
REBOOT = "reboot"


@dataclass(frozen=True)
class Decision:
    """``decision``: nothing to reboot for, a reboot without consent, or a reboot. ``reasons``: by concern."""

    decision: str = NONE
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "; ".join(f"{concern}: {reason}" for concern, reason in self.reasons.items())

    def result(self, node: str) -> dict[str, Any]:
        """The keys of every module of the collection, and the decision. Deciding changes nothing."""
        step = Operation("reboot", node, disruptive=True, reason=self.text)
        return {
            "changed": False,
            "diff": {"before": {}, "after": {}},
            "operations": [vars(step)] if self.decision == REBOOT else [],
            "reboot_required": self.decision != NONE,
            "reboot_reason": self.text,
            "disruptive": self.decision == REBOOT,
            "decision": self.decision,
            "reasons": dict(self.reasons),
        }


def decide(on_disk: Mapping[str, str], results: Mapping[str, Any], reboot_ok: bool) -> Decision:
    """``on_disk``: reasons that outlived former runs. ``results``: what modules returned in this run, by concern.

    A result of this run is newer than the disk; and in check mode it is all there is.
    """
    merged = dict(on_disk)
    for concern, result in results.items():
        if isinstance(result, Mapping) and "reboot_reason" in result:
            merged[concern] = result["reboot_reason"]
    standing = {concern: merged[concern] for concern in sorted(merged) if merged[concern]}
    if not standing:
        return Decision()
    return Decision(REBOOT if reboot_ok else POSTPONED, standing)


def settle(host: Host) -> bool:
    """Remove reasons that a reboot has settled; whether there were any."""
    if host.exists(REASONS_PATH) and not reasons(host):
        host.remove(REASONS_PATH)
        host.remove_empty_folder(RECORD_FOLDER)
        return True
    return False
