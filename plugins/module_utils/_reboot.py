# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Why a node has to reboot, kept on disk until it did."""

from __future__ import annotations

import json

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._store import RECORD_FOLDER, as_json

REASONS_PATH = f"{RECORD_FOLDER}/reboot.json"


def boot_id(host: Host) -> str:
    """The kernel's identifier of this boot."""
    return host.read_value("/proc/sys/kernel/random/boot_id") or ""


def reasons(host: Host) -> dict[str, str]:
    """Reason by concern, of this boot only: a reboot settles all that were written before it."""
    text = host.read(REASONS_PATH)
    kept = json.loads(text) if text else {}
    return kept.get("reasons", {}) if kept.get("boot_id") == boot_id(host) else {}


def note(host: Host, concern: str, reason: str) -> None:
    """Write down a reason, or with an empty one drop it; nothing is written where nothing changes."""
    kept = reasons(host)
    wanted = {**kept, concern: reason}
    if not reason:
        wanted.pop(concern)
    if wanted:
        if wanted != kept:
            host.write_file(REASONS_PATH, as_json({"boot_id": boot_id(host), "reasons": wanted}))
    else:
        host.remove(REASONS_PATH)
        host.remove_empty_folder(RECORD_FOLDER)
