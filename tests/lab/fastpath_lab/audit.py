# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts what was written to the cluster, from the API server's own log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Write:
    """A request that changed something, or would have if there had been something to change."""

    user: str
    verb: str
    path: str
    code: int


def _write(event: dict[str, Any]) -> Write | None:
    """Return what an event of the log says; nothing for one that is not over, was refused or was only tried."""
    path, _question, query = event.get("requestURI", "").partition("?")
    code = int(event.get("responseStatus", {}).get("code", 0))
    if event.get("stage") != "ResponseComplete" or code >= 400 or "dryRun=All" in query.split("&"):
        return None
    return Write(event["user"]["username"], event["verb"], path, code)


def position(log: Path) -> int:
    """Return where the log ends now, for ``writes``."""
    return log.stat().st_size if log.exists() else 0


def writes(log: Path, since: int = 0, user: str = "") -> Iterator[Write]:
    """Yield the writes after a position, of one user where that is given. A line that is not whole yet is left out."""
    with open(log, "rb") as handle:
        handle.seek(since)
        for line in handle:
            found = _write(json.loads(line)) if line.endswith(b"\n") else None
            if found and user in ("", found.user):
                yield found
