# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whole files of ours among those of a node: written, changed, given back. No I/O.

A record is ``{path: {"former": text or None, "mode": bits, "owner": [user, group], "written": [sha256, ...]}}``. A
file that somebody changed since is theirs, and stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

WRITE, RESTORE, REMOVE, RELEASE = "write_file", "restore_file", "remove_file", "release"
ACTIONS = (WRITE, RESTORE, REMOVE, RELEASE)
Record = Mapping[str, Mapping[str, Any]]
Files = Mapping[str, "str | None"]


def digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def plan_files(there: Files, wanted: Mapping[str, str], record: Record) -> list[Operation]:
    """Operations name checksums and not contents, some of which are secrets."""
    writes = [
        Operation(WRITE, path, digest(there.get(path)), digest(text))
        for path, text in sorted(wanted.items())
        if there.get(path) != text
    ]
    return writes + give_back(there, {path: kept for path, kept in record.items() if path not in wanted})


def give_back(there: Files, record: Record) -> list[Operation]:
    operations = []
    for path, kept in sorted(record.items()):
        now, former = digest(there.get(path)), kept["former"]
        if now is not None and now not in kept["written"] and now != digest(former):
            operations.append(Operation(RELEASE, path, now, now))
        elif former is not None:
            operations.append(Operation(RESTORE, path, now, digest(former)))
        else:
            operations.append(Operation(REMOVE, path, now, None))
    return operations


def changed_since(there: Files, record: Record) -> list[str]:
    """Files of ours that somebody else has written since."""
    return [
        path
        for path, kept in sorted(record.items())
        if there.get(path) is not None and digest(there[path]) not in (*kept["written"], digest(kept["former"]))
    ]


def record_files(host: Host, record: Record, there: Files, operations: Any) -> dict[str, Any]:
    """What was there before the first write, and every text of ours since."""
    kept = {path: dict(entry) for path, entry in record.items()}
    for step in operations:
        if step.action == WRITE:
            path = step.target
            access = {"mode": host.mode(path), "owner": host.owner(path)}
            entry = kept.setdefault(path, {"former": there.get(path), **access, "written": []})
            entry["written"] = [*entry["written"], *([] if step.after in entry["written"] else [step.after])]
    return kept


def perform_file(host: Host, step: Operation, contents: Mapping[str, str], record: Record) -> None:
    """``contents``: what is to be written, by path. Who may read a file that is there is somebody else's to say."""
    if step.action == WRITE:
        _write(host, step.target, contents[step.target], host.mode(step.target), host.owner(step.target))
    elif step.action == RESTORE:
        kept = record[step.target]
        _write(host, step.target, kept["former"], kept.get("mode"), kept.get("owner"))
    elif step.action == REMOVE:
        host.remove(step.target)


def _write(host: Host, path: str, text: str, mode: int | None, owner: Any) -> None:
    host.write_file(path, text, 0o644 if mode is None else mode, None if owner is None else tuple(owner))


def read_files(host: Host, paths: Any) -> dict[str, str | None]:
    return {path: host.read(path) for path in sorted(set(paths))}
