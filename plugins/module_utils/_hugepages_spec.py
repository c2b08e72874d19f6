# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The hugepages part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import size_name

SMALLEST_KB = 64
LARGEST_KB = 16 * 1024 * 1024
GIGANTIC_KB = 1024 * 1024

PLACES = ("auto", "boot", "runtime")
POOL_KEYS = ("size", "count", "numa_node", "default", "at", "mount")
MOUNT_KEYS = ("path", "options")

_SIZE = re.compile(r"([0-9]+) ?([kKmMgG])(?:i?[bB])?\Z")
_UNIT_KB = {"k": 1, "m": 1024, "g": 1024 * 1024}
_OPTION = re.compile(r"[A-Za-z_]+(=[A-Za-z0-9_:%.-]+)?\Z")
_PATH = re.compile(r"(/[A-Za-z0-9_.:@-]+)+\Z")


@dataclass(frozen=True)
class Mount:
    """Where a pool is mounted. ``options`` are further ones of hugetlbfs, e.g. ``mode=0770,gid=64055``."""

    path: str
    options: str = ""


@dataclass(frozen=True)
class Pool:
    """Pages of one size. ``numa_node`` None: the kernel spreads them over all nodes.

    ``at``: ``boot``, ``runtime``, or ``auto`` (boot for sizes of 1 GiB and up, which can rarely be had later).
    """

    size_kb: int
    count: int
    numa_node: int | None = None
    default: bool = False
    at: str = "auto"
    mount: Mount | None = None


def parse_size(value: Any) -> int | None:
    """``2M``, ``2MB``, ``2MiB``, ``2048kB`` in kB; None for what is no page size."""
    match = _SIZE.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    size_kb = int(match.group(1)) * _UNIT_KB[match.group(2).lower()]
    power_of_two = size_kb & (size_kb - 1) == 0
    return size_kb if power_of_two and SMALLEST_KB <= size_kb <= LARGEST_KB else None


def parse_hugepages(spec: Any, variable: str = "fastpath_hugepages") -> tuple[tuple[Pool, ...], list[Problem]]:
    """Validate ``fastpath_hugepages``; all problems at once. The pools are only of use where there is no problem."""
    if spec is None:
        return (), []
    if not isinstance(spec, list):
        return (), [Problem(variable, spec, "must be a list of pools, e.g. [{size: 1G, count: 2, numa_node: 0}].")]
    problems: list[Problem] = []
    pools = []
    for index, item in enumerate(spec):
        pool = _parse_pool(item, f"{variable}[{index}]", problems)
        if pool is not None:
            pools.append((f"{variable}[{index}]", pool))
    _check_together(pools, variable, problems)
    return tuple(pool for _where, pool in pools), problems


def _parse_pool(item: Any, where: str, problems: list[Problem]) -> Pool | None:
    if not isinstance(item, dict):
        problems.append(Problem(where, item, "must be a mapping with the keys size and count."))
        return None
    found = len(problems)
    problems += unknown_keys(item, POOL_KEYS, where)
    size_kb = parse_size(item.get("size"))
    if size_kb is None:
        problems.append(
            Problem(f"{where}.size", item.get("size"), "must be a page size with its unit, e.g. 2M, 1G, 64K, 512M.")
        )
    count = _whole_number(item.get("count"))
    if count is None:
        problems.append(Problem(f"{where}.count", item.get("count"), "must be a number of pages, 0 or more."))
    node = item.get("numa_node")
    if node is not None and _whole_number(node) is None:
        problems.append(
            Problem(f"{where}.numa_node", node, "must be the number of a NUMA node; leave it out to spread the pages.")
        )
    default = item.get("default", False)
    if not isinstance(default, bool):
        problems.append(Problem(f"{where}.default", default, "must be true or false."))
    place = item.get("at", "auto")
    if place not in PLACES:
        problems.append(Problem(f"{where}.at", place, f"must be one of {', '.join(PLACES)}."))
    mount = _parse_mount(item.get("mount"), f"{where}.mount", problems)
    if len(problems) > found or size_kb is None or count is None:
        return None
    return Pool(size_kb, count, None if node is None else _whole_number(node), default, place, mount)


def _parse_mount(value: Any, where: str, problems: list[Problem]) -> Mount | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = {"path": value}
    if not isinstance(value, dict):
        problems.append(Problem(where, value, "must be a path, or a mapping with the keys path and options."))
        return None
    problems += unknown_keys(value, MOUNT_KEYS, where)
    path = value.get("path")
    if not isinstance(path, str) or not _PATH.match(path) or posixpath.normpath(path) != path:
        problems.append(
            Problem(f"{where}.path", path, "must be an absolute path of letters, digits and _.:@- with no final slash.")
        )
        return None
    options = value.get("options", "")
    parts = options.split(",") if isinstance(options, str) and options else []
    if not isinstance(options, str) or not all(_OPTION.match(part) for part in parts):
        problems.append(Problem(f"{where}.options", options, "must be mount options, e.g. mode=0770,gid=64055."))
        return None
    if any(part.split("=")[0] == "pagesize" for part in parts):
        problems.append(Problem(f"{where}.options", options, "must not name pagesize: it follows from the pool."))
        return None
    return Mount(path, options)


def _whole_number(value: Any) -> int | None:
    """Also a string of digits: that is what templating leaves of a number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    return int(value) if isinstance(value, str) and re.match(r"[0-9]+\Z", value) else None


def _check_together(pools: list[tuple[str, Pool]], variable: str, problems: list[Problem]) -> None:
    """What each pool may say alone, but not all of them together."""
    nodes_of_size: dict[int, dict[int | None, str]] = {}
    mounts: dict[str, tuple[int, Mount]] = {}
    for where, pool in pools:
        name = size_name(pool.size_kb)
        nodes = nodes_of_size.setdefault(pool.size_kb, {})
        if pool.numa_node in nodes:
            there = "without a NUMA node" if pool.numa_node is None else f"of NUMA node {pool.numa_node}"
            problems.append(
                Problem(where, name, f"is the second pool of {name} {there}, after {nodes[pool.numa_node]}: write one.")
            )
        elif (pool.numa_node is None and nodes) or None in nodes:
            problems.append(
                Problem(where, name, f"mixes pools of {name} with and without numa_node: give each of them a node.")
            )
        nodes.setdefault(pool.numa_node, where)
        if pool.mount is not None and mounts.setdefault(pool.mount.path, (pool.size_kb, pool.mount)) != (
            pool.size_kb,
            pool.mount,
        ):
            problems.append(
                Problem(f"{where}.mount", pool.mount.path, "is mounted already by a pool of another size or options.")
            )
    defaults = sorted({pool.size_kb for _where, pool in pools if pool.default})
    if len(defaults) > 1:
        names = ", ".join(size_name(size_kb) for size_kb in defaults)
        problems.append(Problem(variable, names, "has several default page sizes: only one size can be the default."))
