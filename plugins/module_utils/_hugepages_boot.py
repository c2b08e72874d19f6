# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Hugepages that a kernel command line asks for. No I/O."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Place
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_size


def boot_request(command_line: str, default_kb: int) -> tuple[int | None, dict[Place, int]]:
    """Default size and counts that a kernel command line asks for."""
    asked_default: int | None = None
    counts: dict[Place, int] = {}
    size_kb: int | None = None
    for word in command_line.split():
        key, _equals, value = word.partition("=")
        if key == "default_hugepagesz":
            asked_default = parse_size(value)
            size_kb = asked_default
        elif key == "hugepagesz":
            size_kb = parse_size(value)
        elif key == "hugepages":
            counts.update(_boot_counts(value, size_kb or asked_default or default_kb))
    return asked_default, counts


def _boot_counts(value: str, size_kb: int) -> dict[Place, int]:
    counts: dict[Place, int] = {}
    for part in value.split(","):
        node, colon, count = part.rpartition(":")
        if count.isdigit() and (not colon or node.isdigit()):
            counts[(size_kb, int(node) if colon else None)] = int(count)
    return counts
