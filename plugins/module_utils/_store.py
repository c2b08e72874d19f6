# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the collection remembers on a node.

``/etc/fastpath/<concern>.json``: what is wanted; the boot engine reads it.
``/var/lib/fastpath/<concern>.json``: what was there before the first change, and notes of the concern.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

DESIRED_FOLDER = "/etc/fastpath"
RECORD_FOLDER = "/var/lib/fastpath"


def as_json(value: Any) -> str:
    """Stable text of a JSON value: the same value is always the same text."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


class Store:
    """Desired state and records of one concern."""

    def __init__(self, host: Host, concern: str) -> None:
        self.host = host
        self.desired_path = f"{DESIRED_FOLDER}/{concern}.json"
        self.record_path = f"{RECORD_FOLDER}/{concern}.json"

    def desired(self) -> Any:
        """The spec that was last applied; None where there is none."""
        return self._load(self.desired_path)

    def record(self) -> dict[str, Any]:
        """What the concern wrote down; empty where nothing was ever changed."""
        return self._load(self.record_path) or {}

    def save_desired(self, spec: Any) -> None:
        self.host.write_file(self.desired_path, as_json(spec))

    def save_record(self, record: dict[str, Any]) -> None:
        if record != self.record():
            self.host.write_file(self.record_path, as_json(record), mode=0o600)

    def forget(self) -> None:
        """Drop the desired state and then the record: cut off in between, teardown can run again."""
        self.host.remove(self.desired_path)
        self.host.remove(self.record_path)
        self.host.remove_empty_folder(DESIRED_FOLDER)
        self.host.remove_empty_folder(RECORD_FOLDER)

    def _load(self, path: str) -> Any:
        text = self.host.read(path)
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError as broken:
            raise FastpathError(f"{path} is not JSON ({broken}). Restore it or remove it.") from broken
