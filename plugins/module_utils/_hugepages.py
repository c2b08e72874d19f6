# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Hugepages: what is there, what is to be done, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_mounts import (
    MountState,
    mount_problems,
    plan_mounts,
    plan_unmounts,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages, Place, place_name, size_name
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import GIGANTIC_KB, Pool
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

BOOT = "boot"
RUNTIME = "runtime"
# Not a recommendation: with less than this a node can no longer be logged in to, and not be helped from afar.
SPARED_KB = 256 * 1024


@dataclass(frozen=True)
class HugepagesState:
    """What a node has. ``memory_kb`` by NUMA node, None: the whole machine.

    ``available_kb``: what could be taken now without swapping; None where the kernel does not say.
    ``bootable_kb``: sizes that the processor can do, whether or not the kernel offers them in this boot.
    ``boot_counts``: what this boot's command line asked for. ``record``: see ``HugepagesConcern.record``.
    """

    pages: Mapping[Place, Pages]
    memory_kb: Mapping[int | None, int]
    default_kb: int
    available_kb: int | None = None
    bootable_kb: frozenset[int] = frozenset()
    boot_counts: Mapping[Place, int] = field(default_factory=dict)
    boot_default_kb: int | None = None
    mounts: Mapping[str, MountState] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def offered_kb(self) -> tuple[int, ...]:
        return tuple(sorted({size_kb for size_kb, _node in self.pages}))

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(sorted(node for node in self.memory_kb if node is not None))

    def places(self, size_kb: int) -> tuple[Place, ...]:
        """Where pages of a size are counted apart: the NUMA nodes, or the machine where it has none."""
        per_node = tuple((size_kb, node) for node in self.nodes if (size_kb, node) in self.pages)
        return per_node or ((size_kb, None),)


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


def plan(current: HugepagesState, pools: Sequence[Pool]) -> Plan:
    """Shrink first, which makes room; then grow, the largest pages first, as they need the largest gaps."""
    possible = [pool for pool in pools if _is_offered(current, pool) and _has_node(current, pool)]
    problems = _size_problems(current, pools) + _memory_problems(current, possible)
    problems += mount_problems(current.mounts, pools)
    if problems:
        raise Refused(problems)
    steps = [_set_pages(current, place, count) for place, count in _given_back(current, pools)]
    waits = _default_reason(current, pools)
    for pool in pools:
        step, wait = _plan_pool(current, pool)
        steps.extend(step)
        waits.extend(wait)
    pages = [step for step in steps if step is not None]
    pages.sort(key=lambda step: (step.after > step.before, _size_of(step)))
    problems = _available_problems(current, pages)
    if problems:
        raise Refused(problems)
    mounts = plan_mounts(current.mounts, pools, current.offered_kb, current.record.get("mounts", ()))
    operations = tuple(pages) + mounts + tuple(_forgotten(current, pools))
    return Plan(
        operations=operations,
        before=_state(current, pools, ()),
        after=_state(current, pools, operations),
        reboot_reason="; ".join(waits),
        warnings=tuple(current.record.get("shortfall", {}).values()) if waits else (),
    )


def plan_teardown(current: HugepagesState) -> Plan:
    """Former counts are given back, mounts of ours go."""
    steps = [_set_pages(current, place, count) for place, count in _given_back(current, ())]
    pages = sorted((step for step in steps if step is not None), key=lambda step: step.after > step.before)
    operations = tuple(pages) + plan_unmounts(current.mounts, current.record.get("mounts", ()))
    return Plan(operations=operations, before=_state(current, (), ()), after=_state(current, (), operations))


def checks(current: HugepagesState, pools: Sequence[Pool]) -> list[Check]:
    """Per size and node, and per mount, what was asked for against what the kernel has."""
    found = []
    for pool in pools:
        place = (pool.size_kb, pool.numa_node)
        pages = current.pages.get(place)
        found.append(
            Check(
                id="hugepages.pages",
                layer="hugepages",
                target=place_name(place),
                expected=pool.count,
                seen=pages.persistent if pages else None,
                remedy=_remedy(current, pool),
            )
        )
        if pool.mount is not None:
            mount = current.mounts.get(pool.mount.path, MountState())
            seen = None if mount.mounted_kb is None else size_name(mount.mounted_kb)
            remedy = f"See systemctl status {pool.mount.path}, and mount it or apply the role hugepages again."
            found.append(Check("hugepages.mount", "hugepages", pool.mount.path, size_name(pool.size_kb), seen, remedy))
    default = next((pool.size_kb for pool in pools if pool.default), None)
    if default is not None:
        remedy = "Apply the role kernel_args and reboot: the default page size is a boot argument."
        seen = size_name(current.default_kb)
        found.append(Check("hugepages.default_size", "hugepages", "default size", size_name(default), seen, remedy))
    return found


def _remedy(current: HugepagesState, pool: Pool) -> str:
    if classify(pool, promoted_sizes(current.record)) == BOOT:
        if not _asked_at_boot(current, pool):
            return "These pages are reserved at boot: apply the role kernel_args and reboot."
        return "The boot arguments are there, but the memory was not: ask for fewer pages, or for another node."
    return "Apply the role hugepages again (it says what is short), or look at journalctl -u fastpath-hugepages."


def _is_offered(current: HugepagesState, pool: Pool) -> bool:
    late = classify(pool, promoted_sizes(current.record)) == BOOT and pool.size_kb in current.bootable_kb
    return pool.size_kb in current.offered_kb or late


def _has_node(current: HugepagesState, pool: Pool) -> bool:
    return pool.numa_node is None or pool.numa_node in current.nodes


def _size_problems(current: HugepagesState, pools: Sequence[Pool]) -> list[Problem]:
    """Sizes and nodes that this machine does not have."""
    problems = []
    for index, pool in enumerate(pools):
        where = f"fastpath_hugepages[{index}]"
        if not _is_offered(current, pool):
            offered = ", ".join(size_name(size) for size in current.offered_kb) or "none"
            message = f"is not offered by the kernel; it offers: {offered}."
            if pool.size_kb in current.bootable_kb:
                message += " The processor can do it: ask for it with at: boot."
            problems.append(Problem(f"{where}.size", size_name(pool.size_kb), message))
        if not _has_node(current, pool):
            nodes = ", ".join(str(node) for node in current.nodes) or "none"
            message = f"is no NUMA node with memory of this machine; there are: {nodes}."
            problems.append(Problem(f"{where}.numa_node", pool.numa_node, message))
    return problems


def _memory_problems(current: HugepagesState, pools: Sequence[Pool]) -> list[Problem]:
    """More than a node has, counting the pages of other sizes and nodes that stay as they are."""
    problems: list[Problem] = []
    asked: dict[int | None, int] = {}
    counts = {(pool.size_kb, pool.numa_node): pool.count for pool in pools}
    stays = dict(_staying(current, pools))
    for (size_kb, node), count in {**stays, **counts}.items():
        asked[node] = asked.get(node, 0) + size_kb * count
        if node is not None:
            asked[None] = asked.get(None, 0) + size_kb * count
    for node, asked_kb in sorted(asked.items(), key=str):
        has_kb = current.memory_kb.get(node, 0)
        spared_kb = SPARED_KB if node is None else 0
        if asked_kb > has_kb - spared_kb and not (node is None and problems):
            where = "the machine" if node is None else f"NUMA node {node}"
            message = f"is more than {where} has: {asked_kb // 1024} MiB of pages in {has_kb // 1024} MiB of memory"
            message += f", of which {spared_kb // 1024} MiB stay for everything else." if spared_kb else "."
            shown = [f"{pool.count} x {size_name(pool.size_kb)}" for pool in pools if pool.numa_node in (node, None)]
            problems.append(Problem("fastpath_hugepages", ", ".join(shown) or asked_kb, message))
    return problems


def _available_problems(current: HugepagesState, steps: Sequence[Operation]) -> list[Problem]:
    """What is to be taken at once must be there at once: trying would starve all that runs on the node."""
    taken_kb = sum((step.after - step.before) * target_place(step.target)[0] for step in steps)
    if current.available_kb is None or taken_kb <= 0 or taken_kb <= current.available_kb - SPARED_KB:
        return []
    shown = ", ".join(f"{step.after - step.before:+d} x {step.target}" for step in steps)
    message = (
        f"takes {taken_kb // 1024} MiB at once, but only {current.available_kb // 1024} MiB are available, of which "
        f"{SPARED_KB // 1024} MiB stay for everything else: ask for fewer pages, or reserve them with at: boot."
    )
    return [Problem("fastpath_hugepages", shown, message)]


def _staying(current: HugepagesState, pools: Sequence[Pool]) -> Iterator[tuple[Place, int]]:
    given_back = dict(_given_back(current, pools))
    for size_kb in current.offered_kb:
        if (size_kb, None) in {(pool.size_kb, pool.numa_node) for pool in pools}:
            continue
        for place in current.places(size_kb):
            yield place, given_back.get(place, current.pages[place].persistent)


def _given_back(current: HugepagesState, pools: Sequence[Pool]) -> list[tuple[Place, int]]:
    """Former counts of places that nobody asks for any longer."""
    wanted = {(pool.size_kb, pool.numa_node) for pool in pools}
    return [
        (place, count)
        for place, count in former_counts(current.record).items()
        if place not in wanted and (place[0], None) not in wanted and place in current.pages
    ]


def former_counts(record: Mapping[str, Any]) -> dict[Place, int]:
    """The counts before the first change, out of the record."""
    return {
        (int(size_kb), None if node == "all" else int(node)): count
        for size_kb, nodes in record.get("pages", {}).items()
        for node, count in nodes.items()
    }


def _forgotten(current: HugepagesState, pools: Sequence[Pool]) -> Iterator[Operation]:
    """What was given back must not be given back a second time: by then it is somebody else's."""
    wanted = {(pool.size_kb, pool.numa_node) for pool in pools}
    for place, count in former_counts(current.record).items():
        if place not in wanted and (place[0], None) not in wanted:
            yield Operation("forget_former", place_name(place), count, None)
    asked = {pool.size_kb for pool in pools if pool.at == RUNTIME}
    for size_kb in promoted_sizes(current.record):
        if size_kb not in asked:
            yield Operation("forget_promotion", size_name(size_kb), BOOT, None)


def _plan_pool(current: HugepagesState, pool: Pool) -> tuple[list[Operation | None], list[str]]:
    place = (pool.size_kb, pool.numa_node)
    pages = current.pages.get(place)
    there = pages.persistent if pages else 0
    at_boot = classify(pool, promoted_sizes(current.record)) == BOOT
    if at_boot and there < pool.count and not _asked_at_boot(current, pool):
        return [], [f"{there} of {pool.count} pages of {place_name(place)} are there, the others are reserved at boot"]
    promotable = not at_boot and pool.size_kb >= GIGANTIC_KB and there < pool.count
    return [_set_pages(current, place, pool.count, "try_pages" if promotable else "set_pages")], []


def _asked_at_boot(current: HugepagesState, pool: Pool) -> bool:
    return current.boot_counts.get((pool.size_kb, pool.numa_node), 0) >= pool.count


def _default_reason(current: HugepagesState, pools: Sequence[Pool]) -> list[str]:
    default = next((pool.size_kb for pool in pools if pool.default), None)
    if default is None or default in (current.default_kb, current.boot_default_kb):
        return []
    now = size_name(current.default_kb)
    return [f"the default page size is {now} and becomes {size_name(default)} at boot"]


def _set_pages(current: HugepagesState, place: Place, count: int, action: str = "set_pages") -> Operation | None:
    pages = current.pages.get(place, Pages(0, 0))
    if pages.persistent == count:
        return None
    taken = pages.in_use > count
    reason = f"{pages.in_use} of {pages.total} pages of {place_name(place)} are in use" if taken else ""
    return Operation(action, place_name(place), pages.persistent, count, taken, reason)


def _size_of(step: Operation) -> int:
    return -target_place(step.target)[0]


def target_place(target: str) -> Place:
    """The place that ``place_name`` wrote into an operation."""
    words = target.split()
    size_kb = int(words[0][:-1]) * {"K": 1, "M": 1024, "G": 1024 * 1024}[words[0][-1]]
    return size_kb, None if words[-1] == "nodes" else int(words[-1])


def _state(current: HugepagesState, pools: Sequence[Pool], operations: Sequence[Operation]) -> dict[str, Any]:
    """The diff's view: places that are asked for or were changed, and the mounts of ours."""
    places = [(pool.size_kb, pool.numa_node) for pool in pools]
    places += [place for place in former_counts(current.record) if place not in places]
    counts = {place_name(place): current.pages[place].persistent for place in places if place in current.pages}
    mounts: dict[str, Any] = {}
    for pool in pools:
        if pool.mount is not None:
            mounts[pool.mount.path] = current.mounts.get(pool.mount.path, MountState()).summary()
    for path in current.record.get("mounts", ()):
        mounts[path] = current.mounts.get(path, MountState()).summary()
    for step in operations:
        if step.action in ("set_pages", "try_pages"):
            counts[step.target] = step.after
        elif step.action in ("mount", "unmount"):
            mounts[step.target] = step.after
    return {"pages": counts, "mounts": mounts}
