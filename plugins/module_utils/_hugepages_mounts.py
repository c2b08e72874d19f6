# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Mounts of hugepages as systemd mount units of ours, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import size_name
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Mount, Pool, parse_size
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

UNIT_FOLDER = "/etc/systemd/system"
WANTED_BY = "local-fs.target"
OURS = "# Made by nfv.fastpath (hugepages); the teardown removes it."
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")


@dataclass(frozen=True)
class MountState:
    """A path as the node has it. ``unit``: text of the unit below /etc; ``mounted_kb``: page size if mounted.

    ``filesystem``: what is mounted there, e.g. ``hugetlbfs`` or ``ext4``; empty where nothing is.
    """

    unit: str | None = None
    enabled: bool = False
    mounted_kb: int | None = None
    filesystem: str = ""

    @property
    def ours(self) -> bool:
        return self.unit is not None and self.unit.startswith(OURS)

    def summary(self) -> dict[str, Any] | None:
        if self == MountState():
            return None
        size = None if self.mounted_kb is None else size_name(self.mounted_kb)
        return {"unit": self.unit, "enabled": self.enabled, "mounted": size}


def unit_name(path: str) -> str:
    """The name that systemd demands of the mount unit of a path (``systemd-escape --path``)."""
    plain = path.strip("/")
    escaped = "".join(
        "-" if char == "/" else char if char in _PLAIN and not (char == "." and index == 0) else f"\\x{ord(char):02x}"
        for index, char in enumerate(plain)
    )
    return f"{escaped}.mount"


def unit_path(path: str) -> str:
    return f"{UNIT_FOLDER}/{unit_name(path)}"


def unit_text(size_kb: int, mount: Mount) -> str:
    options = ",".join(part for part in (f"pagesize={size_name(size_kb)}", mount.options) if part)
    return (
        f"{OURS}\n"
        f"[Unit]\n"
        f"Description=Hugepages of {size_name(size_kb)}\n"
        f"\n"
        f"[Mount]\n"
        f"What=hugetlbfs\n"
        f"Where={mount.path}\n"
        f"Type=hugetlbfs\n"
        f"Options={options}\n"
        f"\n"
        f"[Install]\n"
        f"WantedBy={WANTED_BY}\n"
    )


def parse_mounts(text: str, default_kb: int) -> dict[str, tuple[str, int | None]]:
    """/proc/self/mounts: file system and, for hugetlbfs, page size in kB by path. The last mount on a path counts."""
    found: dict[str, tuple[str, int | None]] = {}
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) < 4:
            continue
        path, filesystem, options = words[1], words[2], words[3].split(",")
        size_kb = None
        if filesystem == "hugetlbfs":
            named = next((option[len("pagesize=") :] for option in options if option.startswith("pagesize=")), None)
            size_kb = parse_size(named) if named else default_kb
        found[path] = (filesystem, size_kb)
    return found


def mount_problems(mounts: Mapping[str, MountState], pools: Sequence[Pool]) -> list[Problem]:
    """Paths that belong to somebody else."""
    problems = []
    for index, pool in enumerate(pools):
        if pool.mount is None:
            continue
        state = mounts.get(pool.mount.path, MountState())
        if state.ours or state.mounted_kb == pool.size_kb:
            continue
        if state.filesystem:
            size = f" of {size_name(state.mounted_kb)}" if state.mounted_kb else ""
            message = f"is a mount of {state.filesystem}{size} already: choose another path."
        elif state.unit is not None:
            message = f"has a unit of somebody else, {unit_path(pool.mount.path)}: choose another path or remove it."
        else:
            continue
        problems.append(Problem(f"fastpath_hugepages[{index}].mount.path", pool.mount.path, message))
    return problems


def plan_mounts(
    mounts: Mapping[str, MountState], pools: Sequence[Pool], offered_kb: Collection[int], made: Collection[str]
) -> tuple[Operation, ...]:
    """A mount that is there already, whoever made it, is enough. Mounts of ours that nobody asks for go."""
    wanted = {pool.mount.path: (pool.size_kb, pool.mount) for pool in pools if pool.mount is not None}
    gone = plan_unmounts(mounts, [path for path in made if path not in wanted])
    steps = (
        _plan_mount(path, mounts.get(path, MountState()), size_kb, mount, size_kb in offered_kb)
        for path, (size_kb, mount) in sorted(wanted.items())
    )
    return gone + tuple(step for step in steps if step is not None)


def _plan_mount(path: str, state: MountState, size_kb: int, mount: Mount, offered: bool) -> Operation | None:
    if state.mounted_kb == size_kb and not state.ours:
        return None
    after = MountState(unit_text(size_kb, mount), True, size_kb if offered else None)
    if state.summary() == after.summary():
        return None
    remount = state.mounted_kb is not None and state.unit != after.unit
    reason = "the mount is made anew with other options, which fails while files in it are open" if remount else ""
    return Operation("mount", path, state.summary(), after.summary(), remount, reason)


def plan_unmounts(mounts: Mapping[str, MountState], made: Collection[str]) -> tuple[Operation, ...]:
    """Units of ours go, with their mounts; a unit that somebody put in its place stays."""
    return tuple(
        Operation("unmount", path, mounts[path].summary() if path in mounts else None, None)
        for path in sorted(made)
        if path not in mounts or mounts[path].ours or mounts[path].unit is None
    )
