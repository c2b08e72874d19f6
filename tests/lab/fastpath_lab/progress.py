# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what takes long, and how long it took. Everything goes to standard error."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

_LOCK = threading.Lock()
_START = time.monotonic()


def say(text: str) -> None:
    """Print one line with the seconds since the program started."""
    with _LOCK:
        print(f"[{time.monotonic() - _START:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str, every: float = 15.0, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Announce a step, repeat its elapsed time every ``every`` seconds, say when it ends.

    ``detail`` says how far the step has come.
    """
    done = threading.Event()
    start = time.monotonic()

    def remind() -> None:
        while not done.wait(every):
            said = f", {detail()}" if detail else ""
            say(f"{text}: {time.monotonic() - start:.0f} s so far{said}")

    say(f"{text} ...")
    watcher = threading.Thread(target=remind, daemon=True)
    watcher.start()
    try:
        yield
    except BaseException:
        say(f"{text}: FAILED after {time.monotonic() - start:.1f} s")
        raise
    else:
        say(f"{text}: done in {time.monotonic() - start:.1f} s")
    finally:
        done.set()
        watcher.join()
