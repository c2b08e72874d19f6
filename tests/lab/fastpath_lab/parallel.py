# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same work for several things at once; where one fails, the others are given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from typing import TypeVar

from . import process

T = TypeVar("T")


def for_each(work: Callable[[T], None], things: Sequence[T]) -> None:
    """Do the work for all things and wait for them. Raises what the first that failed raised."""
    with ThreadPoolExecutor(max_workers=max(1, len(things))) as pool:
        futures = [pool.submit(work, thing) for thing in things]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            # Nobody waits for the others: what they wait for is taken away.
            process.STOP.set()
            while not all(future.done() for future in futures):
                process.end_children()
                wait(futures, timeout=0.2)
            process.STOP.clear()
            raise
