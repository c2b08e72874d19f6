# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The report of a verification as data. Its format is docs/report.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SCHEMA = "nfv.fastpath/report/1"
LAYERS = (
    *("preflight", "boot_engine", "hugepages", "kernel_args", "rollout", "sriov", "vdpa", "dpdk", "ovs_dpdk"),
    *("cni_plugins", "cluster", "multus", "device_plugin", "node_agent", "networks"),
)
CHECK_KEYS = ("id", "layer", "node", "target", "expected", "seen", "ok", "remedy")


def layer_order(layer: str) -> tuple[int, str]:
    """The order in which the layers are built; unknown ones come last."""
    return (LAYERS.index(layer) if layer in LAYERS else len(LAYERS), layer)


def build_report(results: Mapping[str, Any], nodes: Iterable[str], created: str, version: str) -> dict[str, Any]:
    """One report from what ``verify`` returned on each node.

    ``nodes``: those that must be there; one without a result is a failed check, never a silent gap.
    """
    names = list(dict.fromkeys([*nodes, *results]))
    checks = [check for name in names for check in _checks(name, results.get(name))]
    failed = [check for check in checks if not check["ok"]]
    return {
        "schema": SCHEMA,
        "collection": version,
        "created": created,
        "ok": bool(checks) and not failed,
        "summary": {"nodes": len(names), "checks": len(checks), "failed": len(failed)},
        "nodes": [_node(name, results.get(name), checks) for name in names],
        "checks": checks,
    }


def _checks(name: str, result: Any) -> list[dict[str, Any]]:
    if not _has_checks(result):
        return [_no_result(name, result)]
    return [{key: {**check, "node": name}.get(key) for key in CHECK_KEYS} for check in result["checks"]]


def _has_checks(result: Any) -> bool:
    return isinstance(result, Mapping) and isinstance(result.get("checks"), (list, tuple))


def _no_result(name: str, result: Any) -> dict[str, Any]:
    said = str(result.get("msg") or "") if isinstance(result, Mapping) else ""
    return {
        "id": "verify.result",
        "layer": "verify",
        "node": name,
        "target": name,
        "expected": "an answer",
        "seen": said or "none",
        "ok": False,
        "remedy": "Make the node answer (power, network, ssh key, Python), then verify again.",
    }


def _node(name: str, result: Any, checks: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [check for check in checks if check["node"] == name]
    layers: dict[str, dict[str, int]] = {}
    for layer in sorted({check["layer"] for check in mine}, key=layer_order):
        of_layer = [check for check in mine if check["layer"] == layer]
        layers[layer] = {"checks": len(of_layer), "failed": sum(not check["ok"] for check in of_layer)}
    given: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
    sockets = [dict(entry) for entry in given.get("socket_map") or ()]
    return {
        "node": name,
        "ok": bool(mine) and all(check["ok"] for check in mine),
        "layers": layers,
        "facts": dict(given.get("node_facts") or {}),
        **({"socket_map": sockets} if sockets else {}),
    }


def summarize_report(report: Mapping[str, Any]) -> list[str]:
    """The report in a few lines for a terminal: counts, then every failed check with its remedy."""
    total = report["summary"]
    lines = [f"{many(total['nodes'], 'node')}, {many(total['checks'], 'check')}, {total['failed']} failed"]
    width = max((len(node["node"]) for node in report["nodes"]), default=0)
    for node in report["nodes"]:
        counts = "  ".join(
            f"{layer} {count['checks'] - count['failed']}/{count['checks']}" for layer, count in node["layers"].items()
        )
        lines.append(f"{'ok    ' if node['ok'] else 'FAILED'}  {node['node']:{width}}  {counts}")
    lines += [f"FAILED  {describe_check(check)}" for check in report["checks"] if not check["ok"]]
    return lines


def describe_check(check: Mapping[str, Any]) -> str:
    """One failed check as one sentence; long values are cut, the report has them whole."""
    expected, seen = short_value(check["expected"]), short_value(check["seen"])
    text = f"{check['node']}  {check['id']} {check['target']}: expected {expected}, seen {seen}."
    return f"{text} {check['remedy']}".rstrip()


def short_value(value: Any, limit: int = 100) -> str:
    """A value in a line of a terminal."""
    if isinstance(value, (list, tuple)) and all(isinstance(part, (str, int)) for part in value):
        text = ", ".join(str(part) for part in value)
    else:
        text = "none" if value is None else str(value)
    return (text if len(text) <= limit else f"{text[: limit - 3]}...") or "nothing"


def many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
