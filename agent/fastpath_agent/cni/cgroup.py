# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CPUs of a pod's cgroup, for runtimes that say where it is (capability ``cgroupPath``).

Readers in containers that only know the first version of cgroups find nothing on today's nodes; this is the same fact
by another way. Version 2 has one tree, version 1 a tree for each controller.
"""

from __future__ import annotations

import re

from fastpath_agent.cni.settings import Settings

FILES = ("cpuset.cpus.effective", "cpuset.cpus")
_CPU_LIST = re.compile(r"\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*")


def cpus_of(path: str, settings: Settings) -> str:
    """A list such as ``2-3,6``; empty where it cannot be known."""
    if not path:
        return ""
    for tree in ("", "/cpuset"):
        for name in FILES:
            try:
                with open(
                    f"{settings.root.rstrip('/')}{settings.cgroups}{tree}{path}/{name}", encoding="ascii"
                ) as file:
                    text = file.read(4096).strip()
            except (OSError, UnicodeDecodeError):
                continue
            if _CPU_LIST.fullmatch(text):
                return text
    return ""
