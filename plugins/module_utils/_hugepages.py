# -*- coding: utf-8 -*-
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Hugepages: what is to be done, no I/O."""

from __future__ import annotations

from typing import Any, Collection, Mapping, Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import GIGANTIC_KB, Pool, size_name

BOOT = "boot"
RUNTIME = "runtime"


def promoted_sizes(record: Mapping[str, Any]) -> tuple[int, ...]:
    """Sizes in kB that were asked for at run time and could not be had there, out of the record of hugepages."""
    return tuple(record.get("promoted", ()))


def classify(pool: Pool, promoted: Collection[int] = ()) -> str:
    """``boot`` or ``runtime``: where the pages of a pool come from."""
    if pool.at == RUNTIME:
        return BOOT if pool.size_kb in promoted else RUNTIME
    if pool.at == BOOT:
        return BOOT
    return BOOT if pool.size_kb >= GIGANTIC_KB else RUNTIME


def boot_arguments(pools: Sequence[Pool], promoted: Collection[int] = ()) -> tuple[tuple[str, str], ...]:
    """The kernel's arguments in the order in which they must stand: each count belongs to the size before it."""
    arguments = []
    default = next((pool.size_kb for pool in pools if pool.default), None)
    if default is not None:
        arguments.append(("default_hugepagesz", size_name(default)))
    at_boot: dict[int, list[Pool]] = {}
    for pool in pools:
        if classify(pool, promoted) == BOOT and (pool.count or pool.at == BOOT):
            at_boot.setdefault(pool.size_kb, []).append(pool)
    for size_kb in sorted(at_boot, key=lambda size: (size != default, -size)):
        arguments.append(("hugepagesz", size_name(size_kb)))
        arguments.append(("hugepages", _boot_count(at_boot[size_kb])))
    return tuple(arguments)


def _boot_count(pools: Sequence[Pool]) -> str:
    if pools[0].numa_node is None:
        return str(pools[0].count)
    per_node = sorted((pool.numa_node or 0, pool.count) for pool in pools)
    return ",".join(f"{node}:{count}" for node, count in per_node)
