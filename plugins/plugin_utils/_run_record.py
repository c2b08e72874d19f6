# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a run did, or a plan says it would do: same structure, so that the two can be compared."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.plugin_utils._plain import plain
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report import layer_order, short_value

SCHEMA = "nfv.fastpath/run/1"
CONCERN_KEYS = ("changed", "operations", "reboot_required", "reboot_reason", "disruptive")
LINE_VALUE = 60
CLUSTER = "cluster"
REGISTERED = re.compile(r"(?:__)?([a-z0-9][a-z0-9_]*)_result")
_VERBS = {
    "plan": ("would change", "would reboot", "would disrupt"),
    "apply": ("changed", "rebooted", "disrupted"),
    "teardown": ("gave back", "rebooted", "disrupted"),
}


def registered_results(variables: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What the roles registered as ``<role>_result`` or ``__<role>_result``, by role, where it has operations."""
    found = {}
    for name in variables:
        match = REGISTERED.fullmatch(name)
        if match:
            result = variables[name]
            if isinstance(result, Mapping) and "operations" in result and "reboot_reason" in result:
                found[match.group(1)] = result
    return {layer: found[layer] for layer in sorted(found, key=layer_order)}


def with_cluster(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was done to the cluster once, but registered on every node, as a part of its own."""
    cluster: dict[str, Any] = {}
    nodes: dict[str, dict[str, Any]] = {}
    for node, concerns in results.items():
        nodes[node] = {}
        for name, result in concerns.items():
            if result.get("scope") == CLUSTER:
                # A later batch may have had nothing to do any more.
                if not cluster.get(name, {}).get("changed"):
                    cluster[name] = result
            else:
                nodes[node][name] = result
    return {**nodes, **({CLUSTER: cluster} if cluster else {})}


def build_record(kind: str, results: Mapping[str, Mapping[str, Any]], created: str, version: str) -> dict[str, Any]:
    """One record of all nodes. ``results``: node -> concern -> what the module returned."""
    return {
        "schema": SCHEMA,
        "collection": version,
        "created": created,
        "kind": kind,
        "nodes": {node: _node(concerns) for node, concerns in results.items()},
    }


def _node(results: Mapping[str, Any]) -> dict[str, Any]:
    rollout = results.get("rollout", {})
    concerns = {name: result for name, result in results.items() if name != "rollout"}
    return {
        "changed": [name for name, result in concerns.items() if result.get("changed")],
        "reboot": {
            "decision": rollout.get("decision", "none"),
            "reasons": dict(rollout.get("reasons") or {}),
        },
        "concerns": {name: {key: plain(result.get(key)) for key in CONCERN_KEYS} for name, result in concerns.items()},
    }


def summarize_record(record: Mapping[str, Any], nodes: Collection[str] = ()) -> list[str]:
    """Lines for a terminal: what changes on each node, what reboots, what disrupts, and why.

    ``nodes``: only these, where there are any.
    """
    lines = []
    for name, node in record["nodes"].items():
        if not nodes or name in nodes or (name == CLUSTER and node["changed"]):
            lines += _summarize_node(record["kind"], name, node)
    return lines or ["no node gave a result"]


def _summarize_node(kind: str, name: str, node: Mapping[str, Any]) -> list[str]:
    change, reboot, disrupt = _VERBS[kind]
    decision = node["reboot"]["decision"]
    if not node["changed"] and decision == "none":
        return [f"{name}: nothing to change" if kind == "plan" else f"{name}: nothing changed"]
    lines = [f"{name}: {change} {', '.join(node['changed']) or 'nothing'}"]
    for concern, result in node["concerns"].items():
        for step in result["operations"] or []:
            lines.append(f"  {concern}: {describe_operation(step)}")
            if step.get("disruptive"):
                lines.append(f"  {concern}: {disrupt} {step['target']}: {step.get('reason') or 'its users notice'}")
    why = "; ".join(f"{concern}: {reason}" for concern, reason in node["reboot"]["reasons"].items())
    if decision == "reboot":
        lines.append(f"  {reboot} once, because {why}")
    elif decision == "postponed":
        lines.append(f"  reboot pending, as fastpath_reboot_ok is false: {why}")
    return lines


def describe_operation(step: Mapping[str, Any]) -> str:
    """One operation in one line; long values are cut, the JSON record has them whole."""
    text = f"{step['action']} {step['target']}"
    if step.get("before") is None and step.get("after") is None:
        return text
    return f"{text}: {_short(step.get('before'))} -> {_short(step.get('after'))}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping) and value:
        text = ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(part, (Mapping, list, tuple)) for part in value):
        text = f"{len(value)} entries"
    else:
        text = short_value(value, LINE_VALUE)
    return text if len(text) <= LINE_VALUE else f"{text[: LINE_VALUE - 3]}..."
