# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Levels of the x86-64 instruction set, as compilers name them (psABI), by the kernel's names of CPU flags."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Each level needs the flags of those before it, too.
LEVELS: dict[str, tuple[str, ...]] = {
    "x86-64": ("cmov", "cx8", "fpu", "fxsr", "lm", "mmx", "sse", "sse2", "syscall"),
    "x86-64-v2": ("cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"),
    "x86-64-v3": ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"),
    "x86-64-v4": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
}
NAMES = tuple(LEVELS)
# The least that DPDK runs on (SSE 4.2); what its own platform "generic" stands for.
DPDK_LEAST = "x86-64-v2"


def flags_of(level: str) -> tuple[str, ...]:
    """All flags that a CPU must have for code of this level, sorted."""
    upto = NAMES[: NAMES.index(level) + 1]
    return tuple(sorted(flag for name in upto for flag in LEVELS[name]))


def level_of(flags: Collection[str]) -> str | None:
    """The highest level that a CPU does; None: not even the first."""
    best = None
    for name in NAMES:
        if not set(LEVELS[name]) <= set(flags):
            break
        best = name
    return best


def common_level(flags_of_nodes: Iterable[Collection[str]]) -> str | None:
    """The highest level that every CPU of a group does; None: there is none."""
    levels = [level_of(flags) for flags in flags_of_nodes]
    if not levels or None in levels:
        return None
    return min((level for level in levels if level), key=NAMES.index)
