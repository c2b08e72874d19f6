# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first process of the container: it starts the agent, and starts it again when it ends.

When the first process of a container ends, the kernel kills all others in it, and with the processes behind the sockets
the traffic of all pods. So the first process is one that does almost nothing. An agent that crashed, or was killed,
comes back to processes that have gone on meanwhile.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
GOOD_SECONDS = 60.0
POLL_SECONDS = 0.1
# linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36

log = logging.getLogger(__name__)


class Keeper:
    """``argv``: the agent's command. SIGTERM is handed on, and then what ends is not started again."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._pid = 0
        self._stopping = False

    def run(self) -> int:
        """The agent's exit code once it was told to end; for a signal what a shell would say."""
        # In a pod whose containers share their processes it is not the first one, and adopts orphans all the same.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            code = self._one_life()
            if self._stopping:
                return _exit_code(code)
            pause = FIRST_PAUSE if time.monotonic() - began > GOOD_SECONDS else pause
            log.error("The agent ended with %s; it is started again in %g s.", _told(code), pause)
            self._rest(pause)
            if self._stopping:
                return _exit_code(code)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _rest(self, seconds: float) -> None:
        """A sleep that a signal ends: the container is to be gone before the kubelet's patience is."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        if self._pid:
            # It may have ended just now.
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)

    def _one_life(self) -> int:
        """Also reaps what the agent's processes left, which is the first process's duty."""
        # What this process can import, the agent can, however this one was started.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._pid = os.posix_spawn(self._argv[0], self._argv, environment)
        if self._stopping:
            os.kill(self._pid, signal.SIGTERM)
        while True:
            pid, status = os.wait()
            if pid == self._pid:
                self._pid = 0
                return os.waitstatus_to_exitcode(status)


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
