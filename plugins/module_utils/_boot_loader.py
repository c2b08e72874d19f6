# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the planner needs to know of a boot loader, and what each loader has to do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import Argument, as_texts, parse_words
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

# Kernels of x86 and ARM cut off without a word what is beyond 2047; the loader puts BOOT_IMAGE= in front.
LINE_LIMIT = 1940


@dataclass(frozen=True)
class BootConfig:
    """What the boot loader's files say now.

    ``entries``: arguments of each normal entry. ``own_text``: the file of our own, and ``own`` what it adds.
    ``files``: path and text of what users and other tools may edit, in the order in which it is read.
    """

    entries: tuple[tuple[Argument, ...], ...]
    own: tuple[Argument, ...] = ()
    own_text: str | None = None
    files: tuple[tuple[str, str], ...] = ()

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.files).encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class BootChange:
    """``own`` in order and ``removes`` are what shall hold; ``delete`` and ``append`` the way there."""

    own: tuple[Argument, ...] = ()
    removes: tuple[Argument, ...] = ()
    delete: tuple[Argument, ...] = ()
    append: tuple[Argument, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {name: as_texts(getattr(self, name)) for name in ("own", "removes", "delete", "append")}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> BootChange:
        return cls(**{name: parse_words(value[name]) for name in ("own", "removes", "delete", "append")})


class BootRules:
    """The pure side of a boot loader."""

    name = ""
    where = ""
    keeps_own_file = False

    def own_text(self, own: Sequence[Argument], removes: Sequence[Argument]) -> str | None:
        """The text of our own file; None where none is needed, or the loader has no such thing."""
        return None

    def unfit(self, argument: Argument) -> str:
        """Why this loader cannot carry an argument; empty where it can."""
        return ""

    def overrides(self, config: BootConfig) -> list[str]:
        """Files that undo ours when the entries are made, each with the reason."""
        return []

    def suspects(self, config: BootConfig, own: Sequence[Argument], carried: bool) -> list[str]:
        """Files that may be why the kernel did not get ``own``, most likely first, each with the reason.

        ``carried``: whether the entries have the arguments.
        """
        return self.overrides(config)


class BootLoader:
    """The side of a boot loader that touches the node."""

    rules = BootRules()

    def __init__(self, host: Host) -> None:
        self.host = host

    def discover(self) -> BootConfig:
        raise NotImplementedError

    def write(self, change: BootChange) -> None:
        """Make the change and see that every normal entry has it; else undo it and raise FastpathError."""
        raise NotImplementedError

    def files(self, paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Path and text of those that exist."""
        texts = ((path, self.host.read(path)) for path in paths)
        return tuple((path, text) for path, text in texts if text is not None)
