# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A node's way out of service and back, as the cluster shows it. No I/O.

Everything is on the Node object itself: that it is out, why, since when, and whether it was this collection that
cordoned it. So a run that was cut off is continued by the next, and everybody can see what is going on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]
# Keeps pods off until Multus and the device plugin answer; cordoning alone is undone by whoever uncordons.
TAINT = "nfv.fastpath/not-ready"
EFFECT = "NoSchedule"
PHASE = "nfv.fastpath/rollout"
REASON = "nfv.fastpath/rollout-reason"
SINCE = "nfv.fastpath/rollout-since"
CORDONED = "nfv.fastpath/rollout-cordoned"
OUT, FAILED = "out", "failed"
MAX_REASON = 1000
# Of a node that is lost in the middle nothing else is written; so this is right then, too.
CUT_OFF = " (if no run is going on, the last one was cut off)"


def coming_node(name: str) -> dict[str, Any]:
    """A node as the collection lets it join."""
    return {"metadata": {"name": name, "resourceVersion": ""}, "spec": {"taints": [{"key": TAINT, "effect": EFFECT}]}}


def is_out(node: Item) -> bool:
    """Whether a rollout took the node out of service and did not bring it back."""
    return PHASE in _annotations(node)


def is_tainted(node: Item) -> bool:
    """Also where a node joined the cluster with the taint and was never brought into service."""
    return any(taint.get("key") == TAINT for taint in _taints(node))


def out_patch(node: Item, reason: str, now: str) -> dict[str, Any]:
    """What takes a node out of service; empty where it is already, for the same reason."""
    have = _annotations(node)
    wanted = {PHASE: OUT, REASON: _cut(reason, MAX_REASON - len(CUT_OFF)) + CUT_OFF}
    if not is_out(node):
        wanted.update({SINCE: now, CORDONED: "false" if _unschedulable(node) else "true"})
    annotations = {key: value for key, value in wanted.items() if have.get(key) != value}
    spec: dict[str, Any] = {} if _unschedulable(node) else {"unschedulable": True}
    if not is_tainted(node):
        spec["taints"] = [*_taints(node), {"key": TAINT, "effect": EFFECT}]
    return _patch(node, annotations, spec)


def back_patch(node: Item) -> dict[str, Any]:
    """What brings it back; a node that somebody else had cordoned before stays cordoned."""
    have = _annotations(node)
    annotations = {key: None for key in (PHASE, REASON, SINCE, CORDONED) if key in have}
    spec: dict[str, Any] = {}
    if is_out(node) and have.get(CORDONED) != "false" and _unschedulable(node):
        spec["unschedulable"] = None
    if is_tainted(node):
        spec["taints"] = [dict(taint) for taint in _taints(node) if taint.get("key") != TAINT] or None
    return _patch(node, annotations, spec)


def failed_patch(node: Item, reason: str) -> dict[str, Any]:
    """Why a node that is out does not come back; nothing where it is in service."""
    have = _annotations(node)
    if not is_out(node):
        return {}
    wanted = {PHASE: FAILED, REASON: _cut(reason)}
    return _patch(node, {key: value for key, value in wanted.items() if have.get(key) != value}, {})


def stays_cordoned(node: Item) -> bool:
    """Whether somebody else cordoned it before it was taken out."""
    return _annotations(node).get(CORDONED) == "false" and _unschedulable(node)


def _patch(node: Item, annotations: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """With the version that was looked at, since a list of taints is written whole."""
    if not annotations and not spec:
        return {}
    metadata: dict[str, Any] = {"annotations": dict(annotations)} if annotations else {}
    if "taints" in spec:
        metadata["resourceVersion"] = node["metadata"]["resourceVersion"]
    return {**({"metadata": metadata} if metadata else {}), **({"spec": dict(spec)} if spec else {})}


def _annotations(node: Item) -> Mapping[str, str]:
    return node["metadata"].get("annotations") or {}


def _taints(node: Item) -> list[Mapping[str, Any]]:
    return list((node.get("spec") or {}).get("taints") or ())


def _unschedulable(node: Item) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))


def _cut(text: str, longest: int = MAX_REASON) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."
