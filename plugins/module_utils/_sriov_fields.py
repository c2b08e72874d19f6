# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Single values of the SR-IOV spec as users write them in YAML.

Every reader returns the value or raises ``Wrong`` with one sentence that says what would be right.
YAML 1.1 turns ``0000:18:00.0`` into the number 1080.0 and ``52:54:00:12:34:56`` into an integer before
anybody sees the text, so what must be text is refused when it is not.
"""

from __future__ import annotations

import re
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem

ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
SHORT_ADDRESS = re.compile(r"[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
NETDEV = re.compile(r"[^\s/:]{1,15}")
PCI_ID = re.compile(r"[0-9a-f]{4}")
DRIVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
POOL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
NUMBER = re.compile(r"0|[1-9][0-9]*")
RANGE = re.compile(r"(0|[1-9][0-9]*)-(0|[1-9][0-9]*)")
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
MAX_INDEX = 65535


class Wrong(ValueError):
    """A value that cannot be taken; the text says what would be right."""


def value(reader: Callable[[Any], Any], given: Any, variable: str, problems: list[Problem]) -> Any:
    """What a reader makes of it; a further problem, and None, where it cannot be taken."""
    try:
        return reader(given)
    except Wrong as wrong:
        problems.append(Problem(variable, given, str(wrong)))
        return None


def integer(value: Any, low: int, high: int) -> int:
    """A whole number; digits in quotes too, since templates give text."""
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"must be a whole number from {low} to {high}")
    if not low <= value <= high:
        raise Wrong(f"must be from {low} to {high}")
    return value


def boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise Wrong("must be true or false")


def address(value: Any) -> str:
    """A full PCI address in lower case."""
    if not isinstance(value, str):
        raise Wrong(_unquoted(value, "a PCI address", _likely_address(value)))
    text = value.strip().lower()
    if SHORT_ADDRESS.fullmatch(text):
        raise Wrong(f'lacks the domain: write "0000:{text}"')
    if not ADDRESS.fullmatch(text):
        raise Wrong('must be a full PCI address such as "0000:81:00.0"')
    return text


def mac(value: Any) -> str:
    """A unicast MAC address in lower case."""
    if not isinstance(value, str):
        raise Wrong(_unquoted(value, "a MAC address", _likely_mac(value)))
    text = value.strip().lower()
    if not MAC.fullmatch(text):
        raise Wrong('must be a MAC address such as "02:00:00:00:00:01"')
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise Wrong("must be a unicast address, neither multicast nor all zeros")
    return text


def pci_id(value: Any) -> str:
    """Four hex digits. ``8086`` without quotes is an integer whose digits are the id."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str):
        text = text.strip().lower()
        text = text[2:] if text.startswith("0x") else text
        if PCI_ID.fullmatch(text):
            return text
    raise Wrong('must be four hex digits in quotes, such as "8086"')


def netdev(value: Any) -> str:
    if isinstance(value, str) and value not in (".", "..") and NETDEV.fullmatch(value):
        return value
    raise Wrong("must be the name of a network interface, such as ens1f0")


def driver(value: Any) -> str | None:
    """A PCI driver's name, ``kernel``, or null for none."""
    if value is None:
        return None
    if not isinstance(value, str) or not DRIVER.fullmatch(value):
        raise Wrong('must be the name of a driver, "kernel" or null')
    spelled = {"vfio_pci": "vfio-pci", "uio-pci-generic": "uio_pci_generic", "igb-uio": "igb_uio", "none": "null"}
    if value.lower() in spelled:
        raise Wrong(f"is written {spelled[value.lower()]}")
    return value


def pool(value: Any) -> str | None:
    """The part of a Kubernetes resource name after the slash; the SR-IOV device plugin takes no dot in it."""
    if value is None or (isinstance(value, str) and POOL.fullmatch(value)):
        return value
    raise Wrong(
        "must be the name of a Kubernetes resource without its prefix: 1 to 63 letters, digits, '_' or '-', "
        "the first and the last a letter or digit"
    )


def link_state(value: Any) -> str:
    if value in ("auto", "enable", "disable") and isinstance(value, str):
        return value
    raise Wrong("must be auto, enable or disable")


def indexes(value: Any) -> tuple[int, ...]:
    """VF indexes: ``3``, ``"3"``, ``0-2``, ``"0,4-6"`` or a list of these; ascending, each once."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    found: list[int] = []
    for part in parts:
        found += _some_indexes(part)
    if not found:
        raise Wrong("names no VF: write such as 0-3, or leave the group out")
    twice = sorted({index for index in found if found.count(index) > 1})
    if twice:
        raise Wrong(f"names VF {', '.join(map(str, twice))} more than once")
    return tuple(sorted(found))


def _some_indexes(part: Any) -> list[int]:
    shape = Wrong('must be VF indexes counted from 0, such as 3, 0-2, "0,4-6" or [0, 2]')
    if isinstance(part, int) and not isinstance(part, bool):
        if 0 <= part <= MAX_INDEX:
            return [part]
        raise shape
    if not isinstance(part, str):
        raise shape
    found: list[int] = []
    for piece in part.replace(" ", "").split(","):
        span = RANGE.fullmatch(piece)
        if span:
            first, last = int(span.group(1)), int(span.group(2))
            if first > last or last > MAX_INDEX:
                raise Wrong(f"has the range {piece}, which must ascend: {last}-{first}" if first > last else str(shape))
            found += range(first, last + 1)
        elif NUMBER.fullmatch(piece) and int(piece) <= MAX_INDEX:
            found.append(int(piece))
        else:
            raise shape
    return found


def _likely_address(value: Any) -> str:
    """What a number came from: YAML 1.1 reads colons as base 60."""
    if isinstance(value, float) and 0 <= value < 256 * 60:
        minutes, seconds = divmod(int(value), 60)
        function = round((value - int(value)) * 10)
        if seconds < 32 and function < 8:
            return f'"0000:{minutes:02d}:{seconds:02d}.{function}"'
    return '"0000:81:00.0"'


def _likely_mac(value: Any) -> str:
    parts: list[int] = []
    rest = value if isinstance(value, int) and value >= 0 else 0
    for _place in range(5):
        rest, part = divmod(rest, 60)
        parts.insert(0, part)
    if 0 < rest < 100:
        return '"' + ":".join(f"{part:02d}" for part in [rest, *parts]) + '"'
    return '"02:00:00:00:00:01"'


def _unquoted(value: Any, what: str, example: str) -> str:
    kind = "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__
    return (
        f"must be {what} in quotes, such as {example}: YAML reads it without quotes as the {kind} {value}: "
        "put quotes around it"
    )
