# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module dpdk does, apart from Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import PACKAGES, parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


def dpdk_result(
    host: Host, params: Mapping[str, Any], dry_run: bool, warn: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Carry out, or answer ``archive_needed`` with nothing changed: first every refusal, then the copying."""
    present = params["state"] == "present"
    spec = {"dpdk": params.get("spec"), "bundle": params.get("bundle")}
    by_packages = present and parse_dpdk(spec).provider == PACKAGES
    removes = not present and bool(params.get("remove_packages", True))
    concern = DpdkConcern(host, params.get("archive"), remove_packages=removes, refresh=by_packages)

    def request(dry: bool) -> Request:
        return Request(spec, present, dry, bool(params.get("disruption_ok")))

    plan = None
    if dry_run or (spec["bundle"] and present and not params.get("archive")):
        plan = converge(concern, request(True))
        needed = concern.needs_archive(plan)
        if needed and not dry_run:
            return {**plan.result(), "changed": False, "archive_needed": True}
    if plan is None or not dry_run:
        plan = converge(concern, request(False))
    for warning in plan.warnings:
        warn(warning)
    return {**plan.result(), "archive_needed": False}
