# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases on disk. They hold for one boot: a reboot ends every pod's sandbox, and so every lease."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id

from fastpath_agent.model import SocketError, SocketLease

VERSION = 1


class LeaseFile:
    def __init__(self, host: Host, path: str) -> None:
        self._host = host
        self._path = path

    def read(self) -> list[SocketLease]:
        """Empty where there is none, where it is of another boot, or where it is none of ours."""
        try:
            content = json.loads(self._host.read(self._path) or "{}")
            if content.get("version") != VERSION or content.get("boot_id") != boot_id(self._host):
                return []
            return [SocketLease.from_dict(entry) for entry in content["leases"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return []

    def write(self, leases: Sequence[SocketLease]) -> None:
        content: dict[str, Any] = {
            "version": VERSION,
            "boot_id": boot_id(self._host),
            "leases": [lease.as_dict() for lease in leases],
        }
        try:
            self._host.write_file(self._path, json.dumps(content, sort_keys=True) + "\n", mode=0o600)
        except OSError as error:
            raise SocketError(f"Leases cannot be written to {self._path}: {error.strerror}.") from error
