# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report import build_report, summarize_report
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report_page import page
from ansible_collections.nfv.fastpath.plugins.plugin_utils._run_record import (
    build_record,
    registered_results,
    summarize_record,
    with_cluster,
)
from ansible_collections.nfv.fastpath.plugins.plugin_utils._version import collection_version

FILES = {"verify": "report.json", "plan": "plan.json", "apply": "run.json", "teardown": "teardown.json"}


class ActionModule(ActionBase):
    """Reads what the roles registered on every node and writes it down on the controller.

    An action and not a module: the results are already here, so nothing travels and no node is asked.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        _result, arguments = self.validate_argument_spec(
            {
                "kind": {"type": "str", "choices": list(FILES), "required": True},
                "folder": {"type": "path", "required": True},
                "nodes": {"type": "list", "elements": "str", "default": []},
            }
        )
        result: dict[str, Any] = super().run(tmp, task_vars)
        hostvars = (task_vars or {}).get("hostvars", {})
        collect = _verification if arguments["kind"] == "verify" else _record
        texts, summary = collect(arguments, hostvars)
        for name, text in texts.items():
            _write(os.path.join(arguments["folder"], name), text)
        written = [os.path.abspath(os.path.join(arguments["folder"], name)) for name in texts]
        result.update(changed=False, msg="\n".join([*summary, *written]), files=written)
        # As debug does: the summary is what the task is for.
        result["_ansible_verbose_always"] = True
        return result


# Text by file name, and lines for the terminal.
Outcome = tuple[dict[str, str], list[str]]


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _verification(arguments: Mapping[str, Any], hostvars: Mapping[str, Any]) -> Outcome:
    results = {node: hostvars[node]["__verify_result"] for node in hostvars if "__verify_result" in hostvars[node]}
    results.update(_of_the_cluster(hostvars))
    report = build_report(results, arguments["nodes"], _now(), collection_version())
    texts = {"report.json": _json(report), "index.html": page(report)}
    return texts, summarize_report(report)


def _of_the_cluster(hostvars: Mapping[str, Any]) -> dict[str, Any]:
    """Looked at once, and registered on every node."""
    for node in hostvars:
        result = hostvars[node].get("__verify_cluster_result") or {}
        if "report_as" in result:
            return {result["report_as"]: result}
    return {}


def _record(arguments: Mapping[str, Any], hostvars: Mapping[str, Any]) -> Outcome:
    results = with_cluster({node: registered_results(hostvars[node]) for node in hostvars})
    given = {node: concerns for node, concerns in results.items() if concerns or node in arguments["nodes"]}
    record = build_record(arguments["kind"], given, _now(), collection_version())
    return {FILES[arguments["kind"]]: _json(record)}, summarize_record(record, arguments["nodes"])


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _write(path: str, text: str) -> None:
    """Whole or not at all: someone may be looking at the page."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
