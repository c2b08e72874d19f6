# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The decision to reboot on a node, and the look after it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import CONCERNS, Concerns
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._rollout import decide, settle

# What only a reboot can bring; the rest is verified at the end of the run.
BROUGHT_BY_REBOOT = ("kernel_args",)


def decide_node(
    host: Host, params: Mapping[str, Any], dry_run: bool, concerns: Concerns | None = None
) -> dict[str, Any]:
    """The module's result; FastpathError where a reboot did not bring what it was for."""
    if not dry_run:
        settle(host)
    if params["after_reboot"]:
        _confirm(host, CONCERNS if concerns is None else concerns)
    decision = decide(reasons(host), params["results"], params["reboot_ok"])
    return {**decision.result(platform.node()), "dry_run": dry_run}


def _confirm(host: Host, concerns: Concerns) -> None:
    """Plan again what waited for the reboot: the planner itself knows for what, and what stands in its way."""
    for name in BROUGHT_BY_REBOOT:
        concern = concerns[name](host)
        spec = concern.store.desired()
        if spec is None:
            continue
        left = concern.plan(concern.discover(), concern.parse(spec)).reboot_reason
        if left:
            raise FastpathError(
                f"{platform.node()} was rebooted, and still {left}. It is not rebooted again: "
                "look at the boot loader's configuration, or run the playbook again."
            )
