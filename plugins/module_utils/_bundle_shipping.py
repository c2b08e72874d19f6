# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Concerns with a bundle: every refusal comes first, then the archive is asked for, then the work is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge


def ship(concern: Any, request: Request, archive: str | None, warn: Callable[[str], None]) -> dict[str, Any]:
    """Carry out, or answer ``archive_needed`` with nothing changed."""
    plan = None
    shipped = request.present and bool((request.spec or {}).get("bundle"))
    if request.dry_run or (shipped and not archive):
        plan = converge(concern, replace(request, dry_run=True))
        if concern.needs_archive(plan) and not request.dry_run:
            return {**plan.result(), "changed": False, "archive_needed": True}
    if plan is None or not request.dry_run:
        plan = converge(concern, request)
    for warning in plan.warnings:
        warn(warning)
    return {**plan.result(), "archive_needed": False}
