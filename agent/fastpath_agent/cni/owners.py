# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Group names, as the host knows them and not the agent's image."""

from __future__ import annotations

from fastpath_agent.cni.errors import refuse_field

GROUP_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}"
MAX_ID = 2**31 - 1


def group_id(name: str, root: str, field: str = "host.vhost.group") -> int:
    """A group's number; -1 for an empty name."""
    if not name:
        return -1
    if name.isdecimal() and int(name) <= MAX_ID:
        return int(name)
    try:
        with open(f"{root.rstrip('/')}/etc/group", encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = line.split(":")
                if len(entry) >= 3 and entry[0] == name and entry[2].isdecimal():
                    return int(entry[2])
    except OSError:
        pass
    raise refuse_field(field, name, "is no group of this node")
