# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compares the node agent's pages, which people write, with what its sources say: keys, defaults, names of metrics.

The sources are parsed and not imported: they need the collection around them.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Heading of each table of keys, and the classes whose fields it has to have.
TABLES = {
    "# The node agent's configuration": ("Config",),
    "## Pools": ("Pool", "Access"),
    "## Programs": ("Program",),
    "## CNI": ("Cni",),
}
# Further keys of a table, and fields that are no keys of the file.
MORE, HIDDEN = {"Config": {"pools"}}, {"Pool": {"access"}}
CONFIGURATION, PROTOCOLS = "configuration.md", "protocols.md"
UNKNOWN = object()


def problems(agent: Path, pages: Path) -> list[str]:
    """``agent``: folder of the package. ``pages``: folder of the pages. Sentences; none where all is right."""
    return [*_configuration(agent, pages / CONFIGURATION), *_metrics(agent, pages / PROTOCOLS), *_status(agent, pages)]


def _configuration(agent: Path, page: Path) -> Iterator[str]:
    fields = fields_of(agent / "config.py")
    tables = tables_of(page.read_text())
    for heading, classes in TABLES.items():
        written = tables.get(heading, {})
        known: dict[str, Any] = {}
        for name in classes:
            known.update(fields[name])
            known.update(dict.fromkeys(MORE.get(name, ()), UNKNOWN))
            known = {field: default for field, default in known.items() if field not in HIDDEN.get(name, ())}
        for key in sorted(set(known) - set(written)):
            yield f"{page.name}, {heading}: the key {key} is missing"
        for key in sorted(set(written) - set(known)):
            yield f"{page.name}, {heading}: there is no key {key}"
        for key in sorted(set(written) & set(known)):
            told = shown(known[key])
            if told and told not in written[key]:
                yield f"{page.name}, {heading}: the default of {key} is {told}, and the page says {written[key]}"


def _metrics(agent: Path, page: Path) -> Iterator[str]:
    text = page.read_text()
    for name in sorted(metric_names(agent)):
        if f"`{name}`" not in text and f"`{name.removeprefix('fastpath_agent')}`" not in text:
            yield f"{page.name}: the metric {name} is missing"


def _status(agent: Path, pages: Path) -> Iterator[str]:
    """The example has the keys that the document has."""
    text = (pages / PROTOCOLS).read_text().partition("## Status")[2]
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    model = fields_of(agent / "model.py")
    expected = {
        "devices": set(model["DeviceState"]),
        "leases": set(model["SocketLease"]) | {"socket"},
    }
    for key, names in expected.items():
        if set(example[key][0]) != names:
            yield f"{PROTOCOLS}: {key} of the status have {', '.join(sorted(names ^ set(example[key][0])))} wrong"


def fields_of(source: Path) -> dict[str, dict[str, Any]]:
    """Default by field by class; UNKNOWN where there is none, or none that stands there as it is."""
    found: dict[str, dict[str, Any]] = {}
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ClassDef):
            lines = [
                line for line in node.body if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            ]
            found[node.name] = {line.target.id: _default(line.value) for line in lines}
    return found


def _default(value: ast.expr | None) -> Any:
    try:
        return UNKNOWN if value is None else ast.literal_eval(value)
    except ValueError:
        return UNKNOWN


def shown(default: Any) -> str:
    """A default as a page has it; empty where a page may say it in words."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, str) and default else ""


def tables_of(text: str) -> dict[str, dict[str, str]]:
    """The column before the last by the keys of the first column, by heading."""
    found: dict[str, dict[str, str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| `") else []
        for key in re.findall(r"`(\w+)`", cells[0]) if cells else ():
            found.setdefault(heading, {})[key] = cells[-2]
    return found


def metric_names(agent: Path) -> set[str]:
    """Names in full, and those that are put together from a counter's name."""
    found: set[str] = set()
    for name in ("metrics.py", "status.py"):
        for node in ast.walk(ast.parse((agent / name).read_text())):
            if isinstance(node, ast.Constant) and re.fullmatch(r"fastpath_agent_\w+[a-z]", str(node.value)):
                found.add(str(node.value))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COUNTERS":
                found |= {f"fastpath_agent_{key}" for key in ast.literal_eval(node.value)}
    return found
