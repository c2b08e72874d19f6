# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The kernel's command line as pairs: parsed as the kernel parses it, compared as it compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HUGEPAGE_NAMES = ("default_hugepagesz", "hugepagesz", "hugepages")

# Each occurrence adds to the ones before it; of every other name the kernel heeds one occurrence only.
REPEATABLE_NAMES = frozenset(
    [
        "console",
        "earlycon",
        "memmap",
        "pci",
        "initcall_blacklist",
        "module_blacklist",
        "modprobe.blacklist",
        "systemd.mask",
        "systemd.wants",
        "systemd.setenv",
        "ip",
    ]
)
REPEATABLE_PREFIXES = ("rd.",)

# A value is a list of options: ``intel_iommu=on,sm_on`` says ``intel_iommu=on`` too.
OPTION_LIST_NAMES = frozenset(("intel_iommu", "amd_iommu", "iommu"))


@dataclass(frozen=True)
class Argument:
    """One boot argument; ``value`` None: a bare name."""

    name: str
    value: str | None = None

    @property
    def key(self) -> str:
        """The name as the kernel compares it: ``-`` and ``_`` are the same."""
        return self.name.replace("-", "_")

    @property
    def is_hugepage(self) -> bool:
        return self.key in HUGEPAGE_NAMES

    @property
    def is_repeatable(self) -> bool:
        return self.name in REPEATABLE_NAMES or self.name.startswith(REPEATABLE_PREFIXES)

    def same(self, other: Argument) -> bool:
        return self.key == other.key and self.value == other.value

    def says(self, wanted: Argument) -> bool:
        """Whether this argument has the effect of ``wanted``."""
        if self.key != wanted.key:
            return False
        if self.value == wanted.value:
            return True
        if wanted.key not in OPTION_LIST_NAMES or self.value is None or wanted.value is None:
            return False
        return set(wanted.value.split(",")) <= set(self.value.split(","))

    def __str__(self) -> str:
        if self.value is None:
            return self.name
        return f'{self.name}="{self.value}"' if " " in self.value else f"{self.name}={self.value}"


def split_words(line: str) -> list[str]:
    """Words of a command line. Double quotes keep white space together, as in the kernel; there is no escape."""
    words: list[str] = []
    word = ""
    quoted = started = False
    for character in line:
        if character == '"':
            quoted = not quoted
            started = True
        elif character.isspace() and not quoted:
            if started or word:
                words.append(word)
            word, started = "", False
        else:
            word += character
    if started or word:
        words.append(word)
    return words


def as_argument(word: str) -> Argument:
    """A word without its quotes as name and value."""
    name, equals, value = word.partition("=")
    return Argument(name, value if equals else None)


def as_word(argument: Argument) -> str:
    """The opposite of ``as_argument``."""
    return argument.name if argument.value is None else f"{argument.name}={argument.value}"


def parse_line(line: str) -> tuple[Argument, ...]:
    """A kernel command line such as the text of /proc/cmdline. What follows ``--`` belongs to init."""
    words = split_words(line)
    if "--" in words:
        words = words[: words.index("--")]
    return tuple(as_argument(word) for word in words)


def parse_words(words: Iterable[str]) -> tuple[Argument, ...]:
    """Arguments out of a list of texts, one argument each (a record, an operation)."""
    return tuple(argument for word in words for argument in parse_line(word))


def as_texts(arguments: Iterable[Argument]) -> list[str]:
    return [str(argument) for argument in arguments]


def as_line(arguments: Iterable[Argument]) -> str:
    return " ".join(as_texts(arguments))


def count(arguments: Iterable[Argument], wanted: Argument) -> int:
    return sum(argument.same(wanted) for argument in arguments)


def contains(arguments: Iterable[Argument], wanted: Argument) -> bool:
    return any(argument.same(wanted) for argument in arguments)


def without(arguments: Sequence[Argument], taken: Sequence[Argument]) -> tuple[Argument, ...]:
    """``arguments`` less ``taken``, occurrence by occurrence."""
    return split_off(arguments, taken)[1]


def split_off(
    arguments: Sequence[Argument], taken: Sequence[Argument]
) -> tuple[tuple[Argument, ...], tuple[Argument, ...]]:
    """Those of ``arguments`` that are in ``taken`` and the rest; both in the order of ``arguments``."""
    left = list(taken)
    found = []
    rest = []
    for argument in arguments:
        match = next((index for index, other in enumerate(left) if other.same(argument)), None)
        if match is None:
            rest.append(argument)
        else:
            found.append(argument)
            del left[match]
    return tuple(found), tuple(rest)


def union(*lists: Sequence[Argument]) -> tuple[Argument, ...]:
    """Each argument as often as in the list that has it most."""
    result: tuple[Argument, ...] = ()
    for arguments in lists:
        result += without(arguments, result)
    return result


def matches_any(argument: Argument, patterns: Iterable[Argument]) -> bool:
    """Whether one of ``patterns`` means this argument; a bare name means it with any value."""
    return any(
        argument.key == pattern.key and (pattern.value is None or argument.value == pattern.value)
        for pattern in patterns
    )


def hugepage_part(arguments: Iterable[Argument]) -> tuple[Argument, ...]:
    """The arguments whose meaning hangs on their order: each count belongs to the size before it."""
    return tuple(argument for argument in arguments if argument.is_hugepage)


def same_sequence(one: Sequence[Argument], other: Sequence[Argument]) -> bool:
    return len(one) == len(other) and all(left.same(right) for left, right in zip(one, other))


def missing_in(line: Sequence[Argument], wanted: Sequence[Argument]) -> tuple[Argument, ...]:
    """Those of ``wanted`` that have no effect on a kernel started with ``line``.

    Of a name that does not add up, the last occurrence is heeded. Hugepage arguments have their effect
    in their order only, so they are there all together or not at all.
    """
    pages = hugepage_part(wanted)
    pages_missing = bool(pages) and not same_sequence(hugepage_part(line), pages)
    repeated = {argument.key for argument in wanted if sum(other.key == argument.key for other in wanted) > 1}
    missing = []
    for argument in wanted:
        if argument.is_hugepage:
            absent = pages_missing
        else:
            same_name = [other for other in line if other.key == argument.key]
            heeded = same_name if argument.is_repeatable or argument.key in repeated else same_name[-1:]
            absent = not any(other.says(argument) for other in heeded)
        if absent:
            missing.append(argument)
    return tuple(missing)
