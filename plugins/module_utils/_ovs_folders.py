# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Folders of Open vSwitch that a teardown takes away where they were not there before. No I/O.

Debian keeps the database in the second one and a link to it in the first, and leaves it there when packages are purged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

FOLDERS = ("/etc/openvswitch", "/var/lib/openvswitch")
# Copies of the database from before something else started with it.
BACKUPS = "/var/lib/fastpath/openvswitch"
REMOVE_FOLDER = "remove_folder"
# In a record: the folders that were not there before.
MADE = "made"


def made(there: Collection[str], by_us: Collection[str] = ()) -> list[str]:
    """Folders that are not there yet, or that are there since ``by_us``."""
    return [folder for folder in FOLDERS if folder not in there or folder in by_us]


def removals(there: Collection[str], record: Mapping[str, Any]) -> list[Operation]:
    return [Operation(REMOVE_FOLDER, folder, True, None) for folder in record.get(MADE, ()) if folder in there]
