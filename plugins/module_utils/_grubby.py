# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. grubby, for the RHEL family: arguments stand in the entries themselves, there is no file of our own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_line,
    as_word,
    missing_in,
    parse_line,
    split_off,
    without,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_loader import (
    BootChange,
    BootConfig,
    BootLoader,
    BootRules,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

TOOL = "grubby"
SECONDS = 120.0
BOOT_FOLDER = "/boot"
KERNEL_CMDLINE = "/etc/kernel/cmdline"
CUSTOM_CFG = "/boot/grub2/custom.cfg"
FILES = ("/etc/default/grub", KERNEL_CMDLINE, CUSTOM_CFG)

_PLAIN = re.compile(r"[A-Za-z0-9_.,:=/+@%~-]+\Z")


def parse_info(text: str) -> tuple[tuple[Argument, ...], ...]:
    """Arguments of each entry that ``grubby --info=ALL`` lists, but for those of the rescue image."""
    entries = []
    for block in re.split(r"^(?=index=)", text, flags=re.MULTILINE):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "args" not in fields or "rescue" in fields.get("id", "") or "rescue" in fields.get("kernel", ""):
            continue
        entries.append(parse_line(_unquoted(fields["args"])))
    return tuple(entries)


def _unquoted(value: str) -> str:
    """grubby puts the line between quotes and does not escape those that are in it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


class GrubbyRules(BootRules):
    name = "grubby"
    where = "the entries that grubby --info=ALL lists"

    def unfit(self, argument: Argument) -> str:
        return (
            ""
            if _PLAIN.match(as_word(argument))
            else "grubby splits at spaces and the entries expand '$': use plain characters."
        )

    def suspects(self, config: BootConfig, own: Sequence[Argument], carried: bool) -> list[str]:
        texts = dict(config.files)
        if carried:
            return [f"{CUSTOM_CFG} (read at boot on top of the entries)"] if CUSTOM_CFG in texts else []
        line = texts.get(KERNEL_CMDLINE)
        if line is not None and missing_in(parse_line(line), own):
            return [f"{KERNEL_CMDLINE} (the entries of new kernels are made from it, and it does not have them)"]
        return []


class GrubbyLoader(BootLoader):
    rules = GrubbyRules()

    def discover(self) -> BootConfig:
        return BootConfig(entries=self._entries(), files=self.files(FILES))

    def _entries(self) -> tuple[tuple[Argument, ...], ...]:
        return parse_info(self.host.must_run([TOOL, "--info=ALL"], SECONDS))

    def write(self, change: BootChange) -> None:
        before = self._entries()
        self._update(change.delete, change.append)
        after = self._entries()
        if all(_is_as_meant(old, new, change) for old, new in zip(before, after)) and len(before) == len(after):
            return
        self._update(change.append, change.delete)
        raise FastpathError(
            f"grubby did not keep the boot arguments as given ({as_line(change.append)}); the change was taken back. "
            "Some of its versions drop all but one of a repeated name: keep one hugepage size at boot, the other at "
            "run time."
        )

    def _update(self, delete: Sequence[Argument], append: Sequence[Argument]) -> None:
        # Two calls: within one, what a version of grubby removes first is not defined.
        for option, arguments in (("--remove-args", delete), ("--args", append)):
            if arguments:
                line = " ".join(as_word(argument) for argument in arguments)
                self.host.must_run([TOOL, "--update-kernel=ALL", f"{option}={line}"], SECONDS)
        self.host.flush_for_boot_loader(BOOT_FOLDER)


def _is_as_meant(old: Sequence[Argument], new: Sequence[Argument], change: BootChange) -> bool:
    """Ours is there and in order, and nothing else came or went."""
    kept = split_off(old, change.delete)[1]
    added = without(new, kept)
    return not missing_in(new, change.own) and not without(kept, new) and not without(added, change.append)
