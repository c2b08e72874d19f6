# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only door to programs: argument lists, a time-out for each, and nothing left running after it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAX_OUTPUT = 1 << 20


@dataclass(frozen=True)
class Completed:
    """What a program left: exit code and both outputs."""

    rc: int
    out: bytes
    err: bytes


class TimedOut(Exception):
    """The program did not end in time and was killed with all that it started."""


class Run(Protocol):
    def __call__(
        self, argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], timeout: float
    ) -> Completed: ...


def run(argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], timeout: float) -> Completed:
    """Run a program in a process group of its own. OSError where it cannot be started."""
    process = subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": SEARCHED, "LC_ALL": "C", **environment},
        start_new_session=True,
    )
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise TimedOut(f"{argv[0]} did not end within {timeout:g} s") from None
    except BaseException:
        _kill(process)
        raise
    return Completed(process.returncode, out[:MAX_OUTPUT], err[:MAX_OUTPUT])


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
