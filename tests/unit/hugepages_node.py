# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node whose kernel and systemd behave as far as hugepages see them, below a folder."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host

NODES = "sys/devices/system/node"
UNITS = "etc/systemd/system"
WANTS = f"{UNITS}/local-fs.target.wants"

BUDDYINFO = """\
Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      2
Node 0, zone    DMA32      3      3      3      3      3      2      2      2      2      3    450
Node 1, zone   Normal   4000   3000   2000   1000    500    100     20      5      2      1      3
"""

PAGETYPEINFO = """\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10
Node    0, zone      DMA, type    Unmovable      0      0      0      0      0      0      0      0      1      0      0
Node    1, zone   Normal, type    Unmovable     13     11     10      9      8      7      6      5      4      3      2

Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate
Node 0, zone      DMA            3            5            0            0            0
Node 0, zone    DMA32           12         1000            4            0            0
Node 1, zone   Normal           37          900           11            0            0
"""


class HugepagesNode(Host):
    """``limits``: how many pages of (size, node) the memory gives; ``compacted``: how many after compaction."""

    def __init__(self, root: Path, nodes: tuple[int, ...] = (0, 1), sizes: tuple[int, ...] = (2048, 1048576)) -> None:
        super().__init__(str(root), self._systemd)
        self.tree = root
        self.nodes, self.sizes = nodes, sizes
        self.limits: dict[tuple[int, int], int] = {}
        self.compacted: dict[tuple[int, int], int] = {}
        self.refuses_gigantic = False
        self.calls: list[tuple[str, ...]] = []
        self.writes: list[tuple[str, str]] = []
        self.mount_busy = False
        self.former_mounts = "proc /proc proc rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw,nosuid,pagesize=2M 0 0\n"
        self._build()

    def _build(self) -> None:
        total = 0
        for node in self.nodes:
            total += 2 * 1024 * 1024
            self._put(
                f"{NODES}/node{node}/meminfo",
                f"Node {node} MemTotal:       2097152 kB\nNode {node} MemFree:        1572864 kB\n",
            )
            self._put(f"{NODES}/node{node}/compact", "")
            for size in self.sizes:
                self._counters(f"{NODES}/node{node}/hugepages/hugepages-{size}kB", 0, 0, 0)
        for size in self.sizes:
            self._counters(f"sys/kernel/mm/hugepages/hugepages-{size}kB", 0, 0, 0)
            self._put(f"sys/kernel/mm/hugepages/hugepages-{size}kB/resv_hugepages", "0\n")
        self._put(
            "proc/meminfo",
            f"MemTotal: {total} kB\nMemFree: {total // 2} kB\nMemAvailable: {total - 307200} kB\n"
            "Hugepagesize:       2048 kB\n",
        )
        self._put("proc/cpuinfo", "processor: 0\nflags\t\t: fpu vme de pse tsc pdpe1gb lm\n")
        self._put("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/vda2 ro quiet\n")
        self._put("proc/self/mounts", self.former_mounts)
        self._put("proc/sys/vm/compact_memory", "")
        self._put("proc/buddyinfo", BUDDYINFO)
        self._put("proc/pagetypeinfo", PAGETYPEINFO)
        self._put("proc/sys/kernel/random/boot_id", "boot-1\n")
        (self.tree / WANTS).mkdir(parents=True)
        (self.tree / "mnt").mkdir()

    def _put(self, path: str, text: str) -> None:
        target = self.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def _counters(self, folder: str, total: int, free: int, surplus: int) -> None:
        self._put(f"{folder}/nr_hugepages", f"{total}\n")
        self._put(f"{folder}/free_hugepages", f"{free}\n")
        self._put(f"{folder}/surplus_hugepages", f"{surplus}\n")

    def counters(self, size: int, node: int) -> tuple[int, int, int]:
        folder = self.tree / NODES / f"node{node}/hugepages/hugepages-{size}kB"
        total, free, surplus = (int((folder / f"{name}_hugepages").read_text()) for name in ("nr", "free", "surplus"))
        return total, free, surplus

    def pages(self, size: int) -> dict[int, int]:
        """Persistent pages by node."""
        return {node: self.counters(size, node)[0] - self.counters(size, node)[2] for node in self.nodes}

    def have(self, size: int, node: int, total: int, used: int = 0, surplus: int = 0) -> None:
        self._counters(f"{NODES}/node{node}/hugepages/hugepages-{size}kB", total, total - used, surplus)
        sums = [sum(column) for column in zip(*(self.counters(size, each) for each in self.nodes))]
        self._counters(f"sys/kernel/mm/hugepages/hugepages-{size}kB", *sums)

    def reboot(self, command_line: str, boot_pages: dict[tuple[int, int], int] | None = None) -> None:
        """Run-time pages and mounts are gone, those of the command line are there."""
        for size in self.sizes:
            for node in self.nodes:
                self.have(size, node, (boot_pages or {}).get((size, node), 0))
        self._put("proc/cmdline", f"{command_line}\n")
        self._put("proc/sys/kernel/random/boot_id", "boot-2\n")

    # What the kernel does

    def write_attribute(self, path: str, value: str) -> None:
        self.writes.append((path, value))
        match = re.search(r"(?:node(\d+)/hugepages|kernel/mm/hugepages)/hugepages-(\d+)kB/nr_hugepages", path)
        if path.endswith(("/compact", "/compact_memory")):
            self.limits.update(self.compacted)
            return
        if match is None:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        size, wanted = int(match.group(2)), int(value)
        if match.group(1) is not None:
            node = int(match.group(1))
            elsewhere = sum(self.counters(size, other)[2] for other in self.nodes if other != node)
            self._resize(size, node, wanted + elsewhere)
            return
        for node in self.nodes:
            share = wanted // len(self.nodes) + (1 if node < wanted % len(self.nodes) else 0)
            self._resize(size, node, share)

    def _resize(self, size: int, node: int, wanted: int) -> None:
        total, free, surplus = self.counters(size, node)
        used = total - free
        persistent = total - surplus
        if wanted > persistent and size >= 1048576 and self.refuses_gigantic:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if wanted > persistent:
            limit = max(self.limits.get((size, node), 1 << 20), persistent)
            wanted = min(wanted, limit)
        self.have(size, node, max(wanted, used), used, max(used - wanted, 0))

    # What systemd does

    def _systemd(self, argv, timeout: float, stdin: str) -> Completed:
        self.calls.append(tuple(argv))
        assert argv[0] == "systemctl", argv
        if argv[1:] == ["daemon-reload"]:
            return Completed(0, "", "")
        unit = argv[-1]
        path = self.tree / UNITS / unit
        link = self.tree / WANTS / unit
        where = re.search(r"^Where=(.+)$", path.read_text(), re.MULTILINE).group(1)
        options = re.search(r"^Options=(.+)$", path.read_text(), re.MULTILINE).group(1)
        if argv[1] == "enable" and not link.is_symlink():
            link.symlink_to(path)
        if argv[1] == "disable":
            link.unlink(missing_ok=True)
        if "--now" in argv or argv[1] == "restart":
            if self.mount_busy and argv[1] != "enable":
                return Completed(1, "", f"umount: {where}: target is busy.")
            kept = [line for line in self.mounts().splitlines() if f" {where} " not in line]
            if argv[1] != "disable":
                kept.append(f"hugetlbfs {where} hugetlbfs rw,relatime,{options} 0 0")
                (self.tree / where.lstrip("/")).mkdir(parents=True, exist_ok=True)
            self._put("proc/self/mounts", "".join(f"{line}\n" for line in kept))
        return Completed(0, "", "")

    def mounts(self) -> str:
        return (self.tree / "proc/self/mounts").read_text()

    def snapshot(self) -> dict[str, str]:
        """All files and links, without what only tells of the run."""
        found = {}
        for folder, _folders, files in os.walk(self.tree):
            for name in [*files, *_folders]:
                path = Path(folder) / name
                key = str(path.relative_to(self.tree))
                if key.startswith(("var/lib/fastpath", "etc/fastpath", "run")) or key in ("var", "var/lib", "run"):
                    continue
                found[key] = "link" if path.is_symlink() else "folder" if path.is_dir() else path.read_text()
        return found
