# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The words for hugepages that planners and readers share: a place and its counters. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

Place = tuple[int, Optional[int]]
"""Size in kB and NUMA node; None for the node is the whole machine."""


@dataclass(frozen=True)
class Pages:
    """The kernel's counters of one size in one place.

    Pages that were given up while in use stay behind as surplus and go when their user ends, so it
    is ``persistent`` that answers to what was asked for.
    """

    total: int
    free: int
    surplus: int = 0
    reserved: int = 0

    @property
    def persistent(self) -> int:
        return self.total - self.surplus

    @property
    def in_use(self) -> int:
        return self.total - self.free + self.reserved


def size_name(size_kb: int) -> str:
    """A page size as users and the kernel's command line write it: ``64K``, ``2M``, ``1G``."""
    for unit, factor in (("G", 1024 * 1024), ("M", 1024)):
        if size_kb % factor == 0:
            return f"{size_kb // factor}{unit}"
    return f"{size_kb}K"


def place_name(place: Place) -> str:
    size_kb, node = place
    return f"{size_name(size_kb)} on all nodes" if node is None else f"{size_name(size_kb)} on NUMA node {node}"
