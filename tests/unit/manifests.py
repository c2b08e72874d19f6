# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders a role's manifests as Ansible would, from its defaults and what a test says otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.plugins.filter.core import FilterModule as CoreFilters

CHECKOUT = Path(__file__).resolve().parents[2]
GOLDEN = CHECKOUT / "tests/unit/golden/cluster"
HEADER = """# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""


def plain_defaults(role: str) -> dict[str, Any]:
    """Defaults that are no templates."""
    values = yaml.safe_load((CHECKOUT / f"roles/{role}/defaults/main.yml").read_text())
    return {name: value for name, value in values.items() if not (isinstance(value, str) and "{{" in value)}


def rendered(role: str, template: str, **variables: Any) -> list[dict[str, Any]]:
    """The objects of one template, in their order. A variable that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(CHECKOUT / f"roles/{role}/templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(CoreFilters().filters())
    text = environment.get_template(template).render(**{**plain_defaults(role), **variables})
    return [item for item in yaml.safe_load_all(text) if item]


class _Indented(yaml.SafeDumper):
    """As yamllint wants it, and without anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def golden(name: str, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is recorded; with FASTPATH_RECORD=1 in the environment it is recorded anew, to be looked at as a diff."""
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("FASTPATH_RECORD"):
        text = yaml.dump(items, Dumper=_Indented, explicit_start=True, sort_keys=False, width=150)
        path.write_text(HEADER + text)
    return list(yaml.safe_load(path.read_text()))
