# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The hugepages of a node: looked at and brought about through the Host."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _hugepages, _hugepages_sysfs
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages import HugepagesState, target_place
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_boot import boot_request
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_mounts import (
    UNIT_FOLDER,
    WANTED_BY,
    MountState,
    parse_mounts,
    unit_name,
    unit_path,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Place
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_shortfall import shortfall
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import (
    GIGANTIC_KB,
    Pool,
    parse_hugepages,
    parse_size,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan

ATTEMPTS = 4


class HugepagesConcern(Concern[HugepagesState, "tuple[Pool, ...]"]):
    """Pools and mounts of hugepages.

    ``booting``: only the pages. The mount units are systemd's own work at boot, and starting units
    out of a unit that systemd is waiting for would stall the boot.
    """

    name = "hugepages"

    def __init__(self, host: Host, booting: bool = False) -> None:
        super().__init__(host)
        self.booting = booting

    def parse(self, spec: Any) -> tuple[Pool, ...]:
        pools, problems = parse_hugepages(spec)
        if problems:
            raise Refused(problems)
        return tuple(replace(pool, mount=None) for pool in pools) if self.booting else pools

    def discover(self) -> HugepagesState:
        host = self.host
        meminfo = _hugepages_sysfs.meminfo(host, None)
        default_kb = meminfo.get("Hugepagesize", 0)
        boot_default_kb, boot_counts = boot_request(host.read("/proc/cmdline") or "", default_kb)
        record = self.store.record()
        if self.booting:
            record = {**record, "mounts": []}
        return HugepagesState(
            pages=_hugepages_sysfs.all_pages(host),
            memory_kb=_hugepages_sysfs.memory(host),
            default_kb=default_kb,
            available_kb=meminfo.get("MemAvailable"),
            bootable_kb=_hugepages_sysfs.bootable_sizes(host),
            boot_counts=boot_counts,
            boot_default_kb=boot_default_kb,
            mounts=self._mounts(default_kb),
            record=record,
        )

    def plan(self, current: HugepagesState, desired: tuple[Pool, ...]) -> Plan:
        return _hugepages.plan(current, desired)

    def plan_teardown(self, current: HugepagesState) -> Plan:
        return _hugepages.plan_teardown(current)

    def check(self, current: HugepagesState, desired: tuple[Pool, ...]) -> list[Check]:
        return _hugepages.checks(current, desired)

    def record(self, current: HugepagesState, plan: Plan) -> dict[str, Any]:
        """``pages``: former count by size and node; ``mounts``: paths with a unit of ours;
        ``folders``: mount points that were not there; ``promoted``: sizes that need boot arguments.
        """
        kept = self.store.record()
        pages = {size: dict(nodes) for size, nodes in kept.get("pages", {}).items()}
        for target in plan.after.get("pages", {}):
            size_kb, wanted_node = target_place(target)
            spread = wanted_node is None and size_kb in current.offered_kb
            for place in current.places(size_kb) if spread else ((size_kb, wanted_node),):
                node = "all" if place[1] is None else str(place[1])
                pages.setdefault(str(size_kb), {}).setdefault(node, current.pages[place].persistent)
        paths = [step.target for step in plan.operations if step.action == "mount"]
        mounts = sorted({*kept.get("mounts", ()), *paths})
        folders = sorted({*kept.get("folders", ()), *(made for path in paths for made in self._missing(path))})
        return {**kept, "pages": pages, "mounts": mounts, "folders": folders}

    def perform(self, operation: Operation) -> None:
        action = getattr(self, f"_{operation.action}")
        action(operation)

    def _set_pages(self, operation: Operation) -> None:
        place = target_place(operation.target)
        got = self._write_pages(place, operation.after)
        if got != operation.after:
            short = shortfall(self.host, place, operation.after, got)
            raise FastpathError(
                f"The kernel did not give all hugepages: {short}. Ask for fewer, free memory on that node, "
                "or reserve them at boot with at: boot.",
                shortfall=[short.result()],
            )

    def _try_pages(self, operation: Operation) -> None:
        """Gigantic pages that are short at run time are left to the boot arguments, which read the record."""
        size_kb, node = target_place(operation.target)
        got = self._write_pages((size_kb, node), operation.after)
        if got >= operation.after:
            return
        short = shortfall(self.host, (size_kb, node), operation.after, got)
        record = self.store.record()
        record["promoted"] = sorted({*record.get("promoted", ()), size_kb})
        record["shortfall"] = {**record.get("shortfall", {}), operation.target: str(short)}
        self.store.save_record(record)

    def _write_pages(self, place: Place, wanted: int) -> int:
        """Write and read back; where pages are short, let the kernel compact and write again while that helps.

        The caches are not dropped: to make room the kernel reclaims and moves them itself, and what it
        cannot move would not go with ``drop_caches`` either.
        """
        path = f"{_hugepages_sysfs.pool_folder(place)}/nr_hugepages"
        before = -1
        got = self._persistent(place)
        for attempt in range(ATTEMPTS):
            if got in (wanted, before):
                break
            if attempt:
                before = got
                self._compact(place[1])
            try:
                self.host.write_attribute(path, str(max(wanted - self._surplus_elsewhere(place), 0)))
            except OSError as error:
                if place[0] < GIGANTIC_KB:
                    raise FastpathError(f"{path}: the kernel refused {wanted} pages ({error.strerror}).") from error
                break
            got = self._persistent(place)
        return got

    def _persistent(self, place: Place) -> int:
        pages = _hugepages_sysfs.read_pages(self.host, place)
        return pages.persistent if pages else 0

    def _compact(self, node: int | None) -> None:
        path = "/proc/sys/vm/compact_memory"
        if node is not None and self.host.exists(f"{_hugepages_sysfs.NODES}/node{node}/compact"):
            path = f"{_hugepages_sysfs.NODES}/node{node}/compact"
        if self.host.exists(path):
            self.host.write_attribute(path, "1")

    def _surplus_elsewhere(self, place: Place) -> int:
        """To a count for one node the kernel adds the pages of the others, surplus and all."""
        size_kb, node = place
        if node is None:
            return 0
        here = _hugepages_sysfs.read_pages(self.host, place)
        everywhere = _hugepages_sysfs.read_pages(self.host, (size_kb, None))
        return everywhere.surplus - here.surplus if here and everywhere else 0

    def _forget_former(self, operation: Operation) -> None:
        size_kb, node = target_place(operation.target)
        record = self.store.record()
        nodes = record.get("pages", {}).get(str(size_kb), {})
        nodes.pop("all" if node is None else str(node), None)
        if not nodes:
            record.get("pages", {}).pop(str(size_kb), None)
        self.store.save_record(record)

    def _forget_promotion(self, operation: Operation) -> None:
        size_kb = parse_size(operation.target)
        record = self.store.record()
        record["promoted"] = [size for size in record.get("promoted", ()) if size != size_kb]
        record.pop("shortfall", None)
        self.store.save_record(record)

    def _mounts(self, default_kb: int) -> dict[str, MountState]:
        if self.booting:
            return {}
        mounted = parse_mounts(self.host.read("/proc/self/mounts") or "", default_kb)
        found = {path: MountState(mounted_kb=size, filesystem=kind) for path, (kind, size) in mounted.items()}
        for name in self.host.listdir(UNIT_FOLDER):
            text = self.host.read(f"{UNIT_FOLDER}/{name}") if name.endswith(".mount") else None
            where = re.search(r"^Where=(.+)$", text or "", re.MULTILINE)
            if text is not None and where:
                enabled = self.host.link_name(f"{UNIT_FOLDER}/{WANTED_BY}.wants/{name}") is not None
                state = found.get(where.group(1), MountState())
                found[where.group(1)] = replace(state, unit=text, enabled=enabled)
        return found

    def _mount(self, operation: Operation) -> None:
        path, after = operation.target, operation.after
        before = operation.before or {}
        self.host.write_file(unit_path(path), after["unit"])
        if after["mounted"] is None:
            self.host.must_run(["systemctl", "enable", unit_name(path)])
        elif before.get("mounted") is None:
            self.host.must_run(["systemctl", "enable", "--now", unit_name(path)])
        else:
            self.host.must_run(["systemctl", "enable", unit_name(path)])
            self.host.must_run(["systemctl", "restart", unit_name(path)])

    def _unmount(self, operation: Operation) -> None:
        path = operation.target
        if self.host.exists(unit_path(path)):
            self.host.must_run(["systemctl", "disable", "--now", unit_name(path)])
            self.host.remove(unit_path(path))
        self.host.must_run(["systemctl", "daemon-reload"])
        record = self.store.record()
        kept = []
        for folder in sorted(record.get("folders", ()), reverse=True):
            above = path == folder or path.startswith(f"{folder}/")
            if not (above and self.host.remove_empty_folder(folder)):
                kept.append(folder)
        record["folders"] = sorted(kept)
        record["mounts"] = [mount for mount in record.get("mounts", ()) if mount != path]
        self.store.save_record(record)

    def _missing(self, path: str) -> list[str]:
        """The mount point and the folders above it which systemd is going to make."""
        missing = []
        while path != "/" and not self.host.exists(path):
            missing.append(path)
            path = posixpath.dirname(path)
        return missing
