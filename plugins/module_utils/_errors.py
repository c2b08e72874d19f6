# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Errors that users see.

Every error is one message that names what was asked for, where, and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class FastpathError(Exception):
    """A failure to be shown to the user; ``details`` become further keys of the module's result."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def take_back(self, undo: Callable[[], object]) -> None:
        """Run ``undo`` after this failure, which then also says what could not be taken back."""
        try:
            undo()
        except (FastpathError, OSError) as also:
            self.message += f" This could not be taken back: {also}"
            self.args = (self.message,)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request.

    ``variable``: path in the user's own terms, e.g. ``sriov[0].vfs[1].indexes``.
    ``value``: what stands there. ``message``: what is wrong and what would be right.
    """

    variable: str
    value: Any
    message: str

    def __str__(self) -> str:
        return f"{self.variable} = {self.value!r}: {self.message}"


class InUse(Problem):
    """Something that somebody uses stands in the way: no problem any more once its users have moved away."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`` Did you mean x?`` or nothing."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]}?" if close else ""


def unknown_keys(given: Mapping[Any, Any], known: Iterable[str], variable: str, more: str = "") -> list[Problem]:
    """Keys of a mapping that nobody would read. ``more``: what else may help the user."""
    names = list(known)
    return [
        Problem(
            f"{variable}.{key}",
            value,
            f"is no known key.{nearest(str(key), names)} Known are {', '.join(names)}.{more}",
        )
        for key, value in given.items()
        if key not in names
    ]


class Refused(FastpathError):
    """Raised before anything is changed; carries every problem found, not only the first."""

    def __init__(self, problems: Sequence[Problem], node: str = "") -> None:
        self.problems = tuple(problems)
        where = f" on {node}" if node else ""
        text = "; ".join(str(problem) for problem in self.problems)
        super().__init__(
            f"Refused{where}, nothing was changed: {text}",
            problems=[vars(problem) for problem in self.problems],
        )
