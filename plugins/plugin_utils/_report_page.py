# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The report as one page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ansible_collections.nfv.fastpath.plugins.plugin_utils._report import layer_order, many

STYLE = """
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --text: #1b1f24; --soft: #59636e; --line: #d5dbe1;
  --good: #116329; --good-bg: #dff5e3; --bad: #a40e26; --bad-bg: #ffe5e7; }
@media (prefers-color-scheme: dark) {
  :root { --bg: #0e1116; --card: #171b21; --text: #e6e9ed; --soft: #9aa4af; --line: #2d343d;
    --good: #6fdd8b; --good-bg: #12301b; --bad: #ff8f97; --bad-bg: #3b1519; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; }
code, .value { font: .875em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.value { white-space: pre-wrap; }
header { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; }
header p { margin: 0; color: var(--soft); flex-basis: 100%; }
.verdict { border-radius: 1rem; padding: .1rem .8rem; font-weight: 600; }
.good { color: var(--good); background: var(--good-bg); } .bad { color: var(--bad); background: var(--bad-bg); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.numbers { display: grid; grid-template-columns: repeat(3, 1fr); gap: .6rem; margin: 1rem 0 0; }
.numbers div { padding: .5rem .9rem; } .numbers dt { color: var(--soft); } .numbers dd { margin: 0; font-size: 1.6rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-top: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; border-top: 0; } tbody tr:first-child > * { border-top: 0; }
thead + tbody tr:first-child > * { border-top: 1px solid var(--line); }
.matrix td, .matrix th { white-space: nowrap; } .matrix td span { border-radius: .3rem; padding: .05rem .45rem; }
.checks td:first-child, .checks td:nth-child(2) code { white-space: nowrap; }
.checks td > span.good, .checks td > span.bad { border-radius: .3rem; padding: .05rem .45rem; }
.failure { padding: .7rem .9rem; margin-bottom: .6rem; border-left: 4px solid var(--bad); }
.failure h3 { font-size: 1rem; margin: 0 0 .3rem; overflow-wrap: anywhere; } .failure p { margin: .4rem 0 0; }
.failure dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; }
.failure dt { color: var(--soft); } .failure dd { margin: 0; }
details { margin-bottom: .6rem; } summary { cursor: pointer; padding: .55rem .9rem; font-weight: 600; }
details > div { border-top: 1px solid var(--line); } .count { color: var(--soft); font-weight: 400; }
footer { color: var(--soft); margin: 2rem 0 1rem; font-size: .875rem; }
@media (max-width: 40rem) {
  .checks thead, .matrix thead { display: none; }
  .checks tr { display: block; padding: .4rem .7rem; border-top: 1px solid var(--line); }
  .checks td { display: grid; grid-template-columns: 5.5rem 1fr; border: 0; padding: .1rem 0; }
  .checks td::before { content: attr(data-label); color: var(--soft); } .checks tr:first-child { border-top: 0; }
  .checks tbody tr td { border: 0; } .checks td > span { justify-self: start; } .checks .same { display: none; }
  .matrix tr { display: block; padding: .5rem .7rem; border-top: 1px solid var(--line); }
  .matrix tbody tr:first-child, .matrix tbody tr:first-child > * { border-top: 0; }
  .matrix th { display: block; border: 0; padding: 0; }
  .matrix td { display: inline-block; border: 0; padding: .15rem .9rem .15rem 0; } .matrix .none { display: none; }
  .matrix td::before { content: attr(data-label) " "; color: var(--soft); } }
"""

SOCKET_COLUMNS = ("device", "pool", "back end", "state", "pod", "socket")
FACT_NAMES = {
    "os": "Operating system",
    "kernel": "Kernel",
    "cpu": "CPU",
    "cpu_vendor": "CPU vendor",
    "memory_mib": "Memory (MiB)",
    "numa_nodes": "NUMA nodes",
    "boot_loader": "Boot loader",
    "cmdline": "Kernel command line",
    "iommu": "IOMMU",
    "secure_boot": "Secure Boot",
    "lockdown": "Lockdown",
    "python": "Python",
    "drivers": "Drivers in use",
    "versions": "Versions",
}


def page(report: Mapping[str, Any]) -> str:
    """The whole page. Every text of the report is escaped: node names and values come from outside."""
    title = "Verification passed" if report["ok"] else "Verification failed"
    parts = (_header(report), _matrix(report), _failures(report), _sockets(report), _all_checks(report), _facts(report))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)} - nfv.fastpath</title><style>{STYLE}</style></head>\n"
        f"<body><main>{''.join(parts)}{_footer(report)}</main></body></html>\n"
    )


def _text(value: Any) -> str:
    return escape(str(value))


def _value(value: Any) -> str:
    if value is None:
        shown = "none"
    elif isinstance(value, str):
        shown = value or "(empty)"
    elif isinstance(value, (list, tuple)) and all(isinstance(part, (str, int)) for part in value):
        shown = ", ".join(str(part) for part in value) or "none"
    else:
        shown = json.dumps(value, sort_keys=True)
    return f'<span class="value">{_text(shown)}</span>'


def _verdict(good: bool) -> str:
    style, text = ("good", "&#10003; passed") if good else ("bad", "&#10007; failed")
    return f'<span class="verdict {style}">{text}</span>'


def _header(report: Mapping[str, Any]) -> str:
    counts = report["summary"]
    numbers = "".join(
        f'<div class="card"><dt>{name.capitalize()}</dt><dd>{_text(counts[name])}</dd></div>'
        for name in ("nodes", "checks", "failed")
    )
    return (
        f"<header><h1>Verification</h1>{_verdict(report['ok'])}"
        f"<p>nfv.fastpath {_text(report['collection'])}, {_text(report['created'])}</p></header>"
        f'<dl class="numbers">{numbers}</dl>'
    )


def _matrix(report: Mapping[str, Any]) -> str:
    layers = sorted({layer for node in report["nodes"] for layer in node["layers"]}, key=layer_order)
    head = "".join(f'<th scope="col">{_text(layer)}</th>' for layer in layers)
    rows = "".join(_matrix_row(node, layers) for node in report["nodes"])
    return (
        '<h2>Nodes and layers</h2><div class="card wide"><table class="matrix">'
        f'<thead><tr><th scope="col">node</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _matrix_row(node: Mapping[str, Any], layers: Iterable[str]) -> str:
    cells = "".join(_cell(layer, node["layers"].get(layer)) for layer in layers)
    return f'<tr><th scope="row">{_text(node["node"])}</th>{cells}</tr>'


def _cell(layer: str, count: Mapping[str, int] | None) -> str:
    if count is None:
        return '<td class="none">&ndash;</td>'
    style, mark = ("bad", "&#10007;") if count["failed"] else ("good", "&#10003;")
    passed = count["checks"] - count["failed"]
    return f'<td data-label="{_text(layer)}"><span class="{style}">{mark} {passed}/{count["checks"]}</span></td>'


def _failures(report: Mapping[str, Any]) -> str:
    failed = [check for check in report["checks"] if not check["ok"]]
    if not failed:
        return ""
    return f"<h2>Failed checks</h2>{''.join(_failure(check) for check in failed)}"


def _failure(check: Mapping[str, Any]) -> str:
    remedy = f"<p><strong>What to do:</strong> {_text(check['remedy'])}</p>" if check["remedy"] else ""
    return (
        f'<article class="card failure"><h3>{_text(check["node"])}: {_text(check["target"])} '
        f"<code>{_text(check['id'])}</code></h3><dl><dt>expected</dt><dd>{_value(check['expected'])}</dd>"
        f"<dt>seen</dt><dd>{_value(check['seen'])}</dd></dl>{remedy}</article>"
    )


def _all_checks(report: Mapping[str, Any]) -> str:
    return f"<h2>All checks</h2>{''.join(_node_checks(node, report['checks']) for node in report['nodes'])}"


def _node_checks(node: Mapping[str, Any], checks: Iterable[Mapping[str, Any]]) -> str:
    mine = sorted((check for check in checks if check["node"] == node["node"]), key=lambda check: bool(check["ok"]))
    rows = "".join(_row(check) for check in mine)
    head = "".join(f'<th scope="col">{name}</th>' for name in ("result", "check", "target", "expected", "seen"))
    return (
        f'<details class="card"><summary>{_text(node["node"])} {_verdict(node["ok"])} '
        f'<span class="count">{many(len(mine), "check")}</span></summary><div class="wide"><table class="checks">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _row(check: Mapping[str, Any]) -> str:
    result = '<span class="good">&#10003; ok</span>' if check["ok"] else '<span class="bad">&#10007; failed</span>'
    cells = {
        "result": result,
        "check": f"<code>{_text(check['id'])}</code>",
        "target": f"<code>{_text(check['target'])}</code>",
        "expected": _value(check["expected"]),
        "seen": _value(check["seen"]),
    }
    # On a phone what was seen says nothing new where all is well.
    same = {"seen": ' class="same"'} if check["ok"] else {}
    columns = (f'<td data-label="{name}"{same.get(name, "")}>{cell}</td>' for name, cell in cells.items())
    return f"<tr>{''.join(columns)}</tr>"


def _sockets(report: Mapping[str, Any]) -> str:
    """Which device is behind which socket, and who has it."""
    tables = "".join(_node_sockets(node) for node in report["nodes"] if node.get("socket_map"))
    return f"<h2>Sockets</h2>{tables}" if tables else ""


def _node_sockets(node: Mapping[str, Any]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in SOCKET_COLUMNS)
    rows = "".join(f"<tr>{_socket_cells(entry)}</tr>" for entry in node["socket_map"])
    return (
        f'<details class="card"><summary>{_text(node["node"])} '
        f'<span class="count">{many(len(node["socket_map"]), "socket")}</span></summary><div class="wide">'
        f'<table class="checks"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _socket_cells(entry: Mapping[str, Any]) -> str:
    has = f"{entry.get('pod')} {entry.get('interface') or ''}".strip() if entry.get("pod") else "nobody"
    vf = "" if entry.get("vf_index") is None else f" (VF {entry['vf_index']} of {entry.get('pf')})"
    state = f"{entry.get('state')}: {entry['reason']}" if entry.get("reason") else entry.get("state")
    cells = (f"{entry.get('device')}{vf}", entry.get("pool"), entry.get("backend"), state, has, entry.get("socket"))
    return "".join(
        f'<td data-label="{name}">{_value(cell or "none")}</td>' for name, cell in zip(SOCKET_COLUMNS, cells)
    )


def _facts(report: Mapping[str, Any]) -> str:
    tables = "".join(
        f'<details class="card"><summary>{_text(node["node"])}</summary><div class="wide"><table><tbody>'
        f"{''.join(_fact(name, value) for name, value in node['facts'].items())}</tbody></table></div></details>"
        for node in report["nodes"]
        if node["facts"]
    )
    return f"<h2>What was used</h2>{tables}" if tables else ""


def _fact(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {inner}" for key, inner in value.items() if inner not in (None, [], False))
    return f'<tr><th scope="row">{_text(FACT_NAMES.get(name, name))}</th><td>{_value(value)}</td></tr>'


def _footer(report: Mapping[str, Any]) -> str:
    schema = _text(report["schema"])
    return f"<footer>The same data for machines is in <code>report.json</code> beside this page ({schema}).</footer>"
