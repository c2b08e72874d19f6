# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Hugepages as the kernel's files show them."""

from __future__ import annotations

import re
import resource
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages, Place, place_name
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_size

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


def boot_request(command_line: str, default_kb: int) -> tuple[int | None, dict[Place, int]]:
    """Default size and counts that a kernel command line asks for."""
    asked_default: int | None = None
    counts: dict[Place, int] = {}
    size_kb: int | None = None
    for word in command_line.split():
        key, _equals, value = word.partition("=")
        if key == "default_hugepagesz":
            asked_default = parse_size(value)
            size_kb = asked_default
        elif key == "hugepagesz":
            size_kb = parse_size(value)
        elif key == "hugepages":
            counts.update(_boot_counts(value, size_kb or asked_default or default_kb))
    return asked_default, counts


def _boot_counts(value: str, size_kb: int) -> dict[Place, int]:
    counts: dict[Place, int] = {}
    for part in value.split(","):
        node, colon, count = part.rpartition(":")
        if count.isdigit() and (not colon or node.isdigit()):
            counts[(size_kb, int(node) if colon else None)] = int(count)
    return counts


@dataclass(frozen=True)
class Shortfall:
    """Why pages could not be had. ``blocks``: how many pages could be cut out of what is free in one piece.

    ``unmovable``: page blocks with memory that cannot be moved away; None where the kernel does not say.
    """

    size_kb: int
    numa_node: int | None
    wanted: int
    got: int
    free_kb: int
    blocks: int
    unmovable: int | None

    def __str__(self) -> str:
        pages = max(self.free_kb // self.size_kb, 0)
        text = (
            f"{place_name((self.size_kb, self.numa_node))}: wanted {self.wanted}, got {self.got}; "
            f"{self.free_kb // 1024} MiB are free, which would be {pages} more, "
            f"but in whole pieces there are {self.blocks}"
        )
        return text if self.unmovable is None else f"{text}; {self.unmovable} blocks hold memory that cannot move"

    def result(self) -> dict[str, Any]:
        return asdict(self)


def shortfall(host: Host, place: Place, wanted: int, got: int) -> Shortfall:
    size_kb, node = place
    free_kb = meminfo(host, node).get("MemFree", 0)
    blocks = whole_pieces(host.read("/proc/buddyinfo") or "", place)
    unmovable = unmovable_blocks(host.read("/proc/pagetypeinfo"), node)
    return Shortfall(size_kb, node, wanted, got, free_kb, blocks, unmovable)


def whole_pieces(buddyinfo: str, place: Place) -> int:
    """Pages that fit into the free blocks of the buddy allocator.

    Blocks of gigantic size do not exist there: the kernel joins the largest ones if they are neighbours,
    which this file does not tell, so this is the most that could be had without moving anything.
    """
    size_kb, wanted_node = place
    page_kb = resource.getpagesize() // 1024
    pieces = 0
    joined_kb = 0
    for match in re.finditer(r"^Node (\d+), zone\s+\S+\s+([\d ]+?)\s*$", buddyinfo, re.MULTILINE):
        if wanted_node is not None and int(match.group(1)) != wanted_node:
            continue
        counts = [int(number) for number in match.group(2).split()]
        for order, count in enumerate(counts):
            block_kb = page_kb << order
            pieces += count * (block_kb // size_kb)
        if counts and page_kb << (len(counts) - 1) < size_kb:
            joined_kb += counts[-1] * (page_kb << (len(counts) - 1))
    return pieces + joined_kb // size_kb


def unmovable_blocks(pagetypeinfo: str | None, wanted_node: int | None) -> int | None:
    """The column Unmovable of ``Number of blocks type``, over the zones of a node; None: cannot be read."""
    if not pagetypeinfo:
        return None
    columns: list[str] = []
    blocks = 0
    for line in pagetypeinfo.splitlines():
        if line.startswith("Number of blocks type"):
            columns = line.split()[4:]
            continue
        match = re.match(r"Node (\d+), zone\s+\S+\s+([\d ]+)$", line)
        if columns and match and wanted_node in (None, int(match.group(1))):
            numbers = dict(zip(columns, match.group(2).split()))
            blocks += int(numbers.get("Unmovable", 0))
    return blocks if columns else None


def _sizes(host: Host, folder: str) -> list[int]:
    names = (re.match(r"hugepages-([0-9]+)kB\Z", name) for name in host.listdir(folder))
    return sorted(int(match.group(1)) for match in names if match)


def _number(host: Host, path: str) -> int | None:
    value = host.read_value(path)
    return int(value) if value and value.isdigit() else None
