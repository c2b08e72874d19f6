# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the collection's modules share: options, results, one place where errors become messages."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan

STATE_OPTIONS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "disruption_ok": {"type": "bool", "default": False},
}
# What a module takes whose action plugin brings it a bundle.
ARCHIVE_OPTIONS: dict[str, Any] = {"bundle": {"type": "raw"}, "archive": {"type": "path"}}
# The desired state of a whole node, as the modules take it that look at all concerns in one call.
DESIRED_OPTIONS: dict[str, Any] = {
    **{name: {"type": "raw"} for name in ("kernel_args", "hugepages", "sriov", "vdpa", "dpdk", "ovs")},
    **{name: {"type": "raw"} for name in ("container_runtime", "kubernetes", "kubelet", "node_agent")},
    "ovs_provider": {"type": "str", "choices": ["packages", "source"], "default": "packages"},
    "noiommu_ok": {"type": "bool", "default": False},
}


def run_concern(
    module: AnsibleModule,
    concern: Concern[Any, Any],
    spec: Any,
    also: Callable[[Plan], dict[str, Any]] = lambda _plan: {},
) -> None:
    """Bring a concern about, or tear it down, and leave through ``exit_json`` or ``fail_json``.

    ``also``: what the result says beside what all of them do.
    """
    request = Request(
        spec=spec,
        present=module.params["state"] == "present",
        dry_run=module.check_mode,
        disruption_ok=module.params["disruption_ok"],
        forget=module.params["state"] != "left",
    )

    def work() -> dict[str, Any]:
        plan = converge(concern, request)
        for warning in plan.warnings:
            module.warn(warning)
        return {**plan.result(), **also(plan)}

    run_guarded(module, work)


def run_guarded(module: AnsibleModule, work: Callable[[], dict[str, Any]]) -> None:
    """Run ``work`` and exit with what it returns; an expected error is one message, never a traceback."""
    try:
        result = work()
    except Refused as refused:
        problems = [asdict(problem) for problem in refused.problems]
        module.fail_json(msg=Refused(refused.problems, platform.node()).message, problems=problems)
    except FastpathError as error:
        module.fail_json(msg=error.message, **error.details)
    except OSError as error:
        module.fail_json(msg=f"{error.strerror} ({error.filename}) on {platform.node()}.")
    else:
        module.exit_json(**result)
