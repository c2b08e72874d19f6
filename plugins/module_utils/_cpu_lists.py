# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Sets of CPUs: lists with ranges as people write them, masks as programs want them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

MAX_CPU = 65535
SHAPE = 'must be a list of CPUs, such as "2-5,8" or [2, 3]'

_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?\Z")
_MASK = re.compile(r"(?:0[xX])?([0-9a-fA-F]+(?:,[0-9a-fA-F]{1,8})*)\Z")


class WrongCpus(ValueError):
    """A value that is no set of CPUs; the text says what would be right."""


def parse_cpu_list(value: Any) -> tuple[int, ...]:
    """CPUs in ascending order, each once, out of ``"2-5,8"``, ``[2, "3-5"]`` or nothing.

    A number that stands alone is refused: YAML reads the mask ``0x6`` as the number 6, which as a list
    would be one CPU instead of two.
    """
    if value is None:
        return ()
    if isinstance(value, int) and not isinstance(value, bool):
        raise WrongCpus(f'{SHAPE}; for CPU {value} alone write "{value}" in quotes (a mask is not taken)')
    parts = value if isinstance(value, (list, tuple)) else [value]
    return tuple(sorted({cpu for part in parts for cpu in _some_cpus(part)}))


def _some_cpus(part: Any) -> Iterator[int]:
    if isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= MAX_CPU:
        yield part
        return
    if not isinstance(part, str):
        raise WrongCpus(SHAPE)
    for piece in part.replace(" ", "").strip().split(",") if part.strip() else ():
        yield from _range(piece)


def _range(piece: str) -> range:
    if re.match(r"0[xX]", piece):
        mask = _MASK.match(piece)
        hint = f': {piece} is "{format_cpu_list(mask_to_cpus(piece))}"' if mask else ""
        raise WrongCpus(f"is a mask, but {SHAPE}{hint}")
    match = _RANGE.match(piece)
    if match is None:
        raise WrongCpus(SHAPE)
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    if first > last:
        raise WrongCpus(f"has the range {piece}, which must ascend: {last}-{first}")
    if last > MAX_CPU:
        raise WrongCpus(f"names CPU {last}; the largest number is {MAX_CPU}")
    return range(first, last + 1)


def format_cpu_list(cpus: Iterable[int]) -> str:
    """The shortest list, as the kernel prints it: ``2-5,8``."""
    spans: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if spans and cpu == spans[-1][1] + 1:
            spans[-1][1] = cpu
        else:
            spans.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def cpus_to_mask(cpus: Iterable[int]) -> str:
    """One bit for each CPU, as hexadecimal number: ``0x13c``."""
    return hex(sum(1 << cpu for cpu in set(cpus)))


def mask_to_cpus(value: Any) -> tuple[int, ...]:
    """CPUs of a mask: ``0x13c``, ``13c``, or groups of 32 bits as sysfs prints them, ``1,00000000``."""
    match = _MASK.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise WrongCpus('must be a mask in hexadecimal digits and in quotes, such as "0x13c"')
    first, *rest = match.group(1).split(",")
    bits = int(first + "".join(group.zfill(8) for group in rest), 16)
    return tuple(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)
