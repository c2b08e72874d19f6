# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A node's ABI, read from the node."""

from __future__ import annotations

import platform
import re
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import NodeAbi
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


def discover_abi(host: Host) -> NodeAbi:
    """Architecture, CPU flags that all CPUs have, C library and release."""
    release = os_release(host)
    said = host.run(["getconf", "GNU_LIBC_VERSION"]).out.split()
    return NodeAbi(
        node=platform.node(),
        architecture=platform.machine(),
        cpu_flags=common_flags(host.read("/proc/cpuinfo") or ""),
        glibc=said[-1] if said[:1] == ["glibc"] else "",
        os_id=release.get("ID", ""),
        release=release.get("VERSION_CODENAME", ""),
    )


def common_flags(cpuinfo: str) -> tuple[str, ...]:
    """Sorted flags that every CPU of the machine has (``Features`` on Arm)."""
    lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)
    sets = [set(line.split()) for line in dict.fromkeys(lines)]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def os_release(host: Host) -> dict[str, str]:
    text = host.read("/etc/os-release") or host.read("/usr/lib/os-release") or ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def parse_abi(value: Any, variable: str) -> NodeAbi:
    """What ``abi_info`` returned on another machine."""
    try:
        return NodeAbi(**{**value, "cpu_flags": tuple(value["cpu_flags"])})
    except (TypeError, KeyError) as wrong:
        message = f"must be what abi_info returned for a node ({wrong})."
        raise Refused([Problem(variable, value, message)]) from wrong
