# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Hugepages as the kernel's files show them."""

from __future__ import annotations

import re

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages, Place

NODES = "/sys/devices/system/node"
GLOBAL = "/sys/kernel/mm/hugepages"
X86_SIZES = {"pse": 2048, "pdpe1gb": 1048576}


def pool_folder(place: Place) -> str:
    size_kb, node = place
    parent = GLOBAL if node is None else f"{NODES}/node{node}/hugepages"
    return f"{parent}/hugepages-{size_kb}kB"


def read_pages(host: Host, place: Place) -> Pages | None:
    folder = pool_folder(place)
    total = _number(host, f"{folder}/nr_hugepages")
    if total is None:
        return None
    return Pages(
        total,
        _number(host, f"{folder}/free_hugepages") or 0,
        _number(host, f"{folder}/surplus_hugepages") or 0,
        _number(host, f"{folder}/resv_hugepages") or 0,
    )


def all_pages(host: Host) -> dict[Place, Pages]:
    """Counters by size and NUMA node, and of the whole machine."""
    places: list[Place] = [(size_kb, None) for size_kb in _sizes(host, GLOBAL)]
    for node in numa_nodes(host):
        places += [(size_kb, node) for size_kb in _sizes(host, f"{NODES}/node{node}/hugepages")]
    found = {place: read_pages(host, place) for place in places}
    return {place: pages for place, pages in found.items() if pages is not None}


def numa_nodes(host: Host) -> list[int]:
    names = (re.match(r"node([0-9]+)\Z", name) for name in host.listdir(NODES))
    return sorted(int(match.group(1)) for match in names if match)


def memory(host: Host) -> dict[int | None, int]:
    """MemTotal in kB by NUMA node with memory; None: the whole machine."""
    found: dict[int | None, int] = {None: meminfo(host, None).get("MemTotal", 0)}
    for node in numa_nodes(host):
        total = meminfo(host, node).get("MemTotal", 0)
        if total:
            found[node] = total
    return found


def meminfo(host: Host, node: int | None) -> dict[str, int]:
    """Numbers by name; kB where the kernel says kB. A node's file has ``Node N`` before each name."""
    text = host.read("/proc/meminfo" if node is None else f"{NODES}/node{node}/meminfo") or ""
    return {match.group(1): int(match.group(2)) for match in re.finditer(r"(\S+):\s+([0-9]+)", text)}


def bootable_sizes(host: Host) -> frozenset[int]:
    """What an x86 processor can do; elsewhere the kernel offers all sizes from the start."""
    match = re.search(r"^flags\s*:(.*)$", host.read("/proc/cpuinfo") or "", re.MULTILINE)
    flags = match.group(1).split() if match else []
    return frozenset(size_kb for flag, size_kb in X86_SIZES.items() if flag in flags)


def _sizes(host: Host, folder: str) -> list[int]:
    names = (re.match(r"hugepages-([0-9]+)kB\Z", name) for name in host.listdir(folder))
    return sorted(int(match.group(1)) for match in names if match)


def _number(host: Host, path: str) -> int | None:
    value = host.read_value(path)
    return int(value) if value and value.isdigit() else None
