# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A bound for what the kernel may not return from: it cannot be taken back, but it can be told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NoAnswer(Exception):
    """The work goes on without end, in a thread that nobody waits for."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. NoAnswer where it does neither in time."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failure:
            failures.append(failure)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise NoAnswer
    return results[0]
