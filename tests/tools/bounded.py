# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command that ends in time, with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

SECONDS_TO_TIDY_UP = 120
_running: set[subprocess.Popen] = set()
_interrupted = threading.Event()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within it, an interrupt or a request to end reaches all commands that run, and none is started any more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        _interrupted.set()
        for child in tuple(_running):
            os.killpg(child.pid, signal.SIGINT)
        raise


def run(
    command: Sequence[str], folder: Path, output: TextIO, seconds: float, environment: Mapping[str, str] | None = None
) -> int:
    """Return the exit code, 1 where time ran out. Whoever is interrupted has ``SECONDS_TO_TIDY_UP``."""
    if _interrupted.is_set():
        return 1
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    _running.add(child)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        output.write(f"\n{' '.join(command)}: not finished within {seconds:g} s\n")
        return 1
    finally:
        if child.poll() is None:
            _end(child)
        _running.discard(child)


def _heed_interrupts() -> None:
    """Whatever a shell starts in the background ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(child: subprocess.Popen) -> None:
    os.killpg(child.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(SECONDS_TO_TIDY_UP)
    # What does not heed an interrupt, or was started in the background and never hears one.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
