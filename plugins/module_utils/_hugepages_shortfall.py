# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Why a kernel could not make as many hugepages as it was asked for."""

from __future__ import annotations

import re
import resource
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Place, place_name
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_sysfs import meminfo


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
