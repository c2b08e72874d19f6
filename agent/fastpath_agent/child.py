# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One DPDK program that is spoken to through its prompt, and that outlives the agent.

Its input and output are two named pipes which the program itself holds open for both directions. So it never reads an
end of file (which would end it, or make it flood its output) and never writes to a closed pipe, and an agent that was
killed and started again goes on talking to it. A pipe that nobody reads is full after 64 KiB, and so bounds a flood.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from fastpath_agent.model import NotReady

KEPT_LINES = 100
KEPT_LENGTH = 500
# The answer to one command is a few lines for each device; more is no answer.
MAX_ANSWER = 256 * 1024
FLOOD_BYTES, FLOOD_SECONDS = 1024 * 1024, 1.0
KILL_SECONDS = 5.0
_READ_SIZE = 65536

# Kept from the garbage collector, which would complain that they run.
_left_running: list[subprocess.Popen[bytes]] = []


class Ended(NotReady):
    """The program is not running any more."""


class Flood(NotReady):
    """The program writes without end."""


class Child:
    """A running program. ``folder`` has its pipes and its identity, and is its alone."""

    def __init__(self, folder: str, prompt: str, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.folder = folder
        self.pid = pid
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._prompt = prompt.encode()
        self._process = process
        self._pidfd = os.pidfd_open(pid)
        self._in = os.open(f"{folder}/in", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._out = os.open(f"{folder}/out", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._pending = b""
        self._window = (0.0, 0)

    @classmethod
    def start(cls, argv: Sequence[str], folder: str, prompt: str, umask: int) -> Child:
        """Raises OSError where the program cannot be started."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        pipes = []
        try:
            for name in ("in", "out"):
                with suppress(FileNotFoundError):
                    os.unlink(f"{folder}/{name}")
                os.mkfifo(f"{folder}/{name}", 0o600)
                pipes.append(os.open(f"{folder}/{name}", os.O_RDWR | os.O_CLOEXEC))
            process = subprocess.Popen(
                list(argv), stdin=pipes[0], stdout=pipes[1], stderr=pipes[1], start_new_session=True, umask=umask
            )
            return cls(folder, prompt, process.pid, process)
        finally:
            for descriptor in pipes:
                os.close(descriptor)

    @classmethod
    def adopt(cls, folder: str, prompt: str) -> Child | None:
        """The program that a former agent left running with this folder's pipes; None where there is none."""
        adopted: Child | None = None
        for pid in _readers_of(f"{folder}/in"):
            try:
                child = cls(folder, prompt, pid)
            except OSError:
                continue
            # Its number may have gone to another process while it was opened.
            if adopted is None and _reads(pid, os.path.realpath(f"{folder}/in")):
                adopted = child
            else:
                child.close()
        return adopted

    @property
    def running(self) -> bool:
        return not select.select([self._pidfd], [], [], 0)[0]

    def fileno(self) -> int:
        """Readable when the program wrote something."""
        return self._out

    @property
    def ended_fileno(self) -> int:
        """Readable when the program has ended."""
        return self._pidfd

    def greet(self, timeout: float) -> None:
        """Wait for the first prompt of a program that was just started."""
        self._until_prompt(timeout)

    def ask(self, command: str, timeout: float) -> list[str]:
        """The lines that one command gives. The program prints one prompt for each command that it has carried out.

        Raises NotReady where it does not answer in time, has ended, or floods.
        """
        if not command.isprintable():
            raise ValueError(f"{command!r} is no command")
        self.drain()
        self._pending = b""
        self._write(f"{command}\n".encode())
        text = self._until_prompt(timeout).decode("utf-8", "replace")
        lines = [line.strip("\r") for line in text.split("\n")]
        return [line for line in lines if line.strip() and line.strip() != command]

    def drain(self) -> None:
        """Take what the program wrote by itself. Raises Flood where that never ends."""
        while content := self._read():
            self._pending = (self._pending + content)[-MAX_ANSWER:]

    def _until_prompt(self, timeout: float) -> bytes:
        deadline = time.monotonic() + timeout
        while self._prompt not in self._pending:
            if len(self._pending) >= MAX_ANSWER:
                raise Flood(f"It wrote more than {MAX_ANSWER} bytes instead of an answer.")
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotReady(f"It did not answer within {timeout:g} s. {self.last_words()}".strip())
            readable = select.select([self._out, self._pidfd], [], [], left)[0]
            content = self._read() if self._out in readable else b""
            self._pending += content
            if not content and self._pidfd in readable:
                raise Ended(self.exit_reason())
        answer, _prompt, self._pending = self._pending.partition(self._prompt)
        return answer

    def _read(self) -> bytes:
        try:
            content = os.read(self._out, _READ_SIZE)
        except BlockingIOError:
            return b""
        self._count(len(content))
        for line in content.decode("utf-8", "replace").splitlines():
            if line.strip():
                self.lines.append(line.strip()[:KEPT_LENGTH])
        return content

    def _count(self, size: int) -> None:
        start, total = self._window
        now = time.monotonic()
        if now - start > FLOOD_SECONDS:
            start, total = now, 0
        self._window = (start, total + size)
        if total + size > FLOOD_BYTES:
            raise Flood(f"It wrote more than {FLOOD_BYTES} bytes within {FLOOD_SECONDS:g} s.")

    def _write(self, content: bytes) -> None:
        try:
            os.write(self._in, content)
        except BlockingIOError as full:
            raise NotReady("It does not read its input.") from full
        except BrokenPipeError as gone:
            raise Ended(self.exit_reason()) from gone

    def exit_reason(self) -> str:
        """How it ended and what it said last. Reaps it if it is ours."""
        with suppress(NotReady):
            self.drain()
        how = "It ended"
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(KILL_SECONDS)
                how = f"It was ended by {signal.Signals(-code).name}" if code < 0 else f"It ended with exit code {code}"
        return f"{how}. {self.last_words()}".strip()

    def last_words(self) -> str:
        """The lines that most likely say why; the last ones where none stands out."""
        telling = [line for line in self.lines if "rror" in line or "annot" in line or "ail" in line or "panic" in line]
        kept = list(dict.fromkeys(telling or list(self.lines)))[-3:]
        return f"It said: {' | '.join(kept)}" if kept else ""

    def interrupt(self) -> None:
        """Ask it to end, without waiting. For another thread than the one that waits for its answer."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def end(self) -> None:
        """Ask it to end, and kill it where it does not; then let go of it."""
        for number, seconds in ((signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)
            if self._ends_within(seconds):
                break
        self.close()

    def _ends_within(self, seconds: float) -> bool:
        """Reads on meanwhile: a program with a full pipe could not end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable = select.select([self._out, self._pidfd], [], [], left)[0]
            if self._pidfd in readable:
                return True
            with suppress(NotReady):
                self._read()
        return False

    def close(self) -> None:
        """Let go of it; what runs, runs on."""
        if self._process is not None and self._process.poll() is None:
            _left_running.append(self._process)
        for descriptor in (self._pidfd, self._in, self._out):
            os.close(descriptor)


def _readers_of(pipe: str) -> list[int]:
    """Processes whose input is this pipe. What the kernel says of them cannot be out of date, as a file could."""
    path = os.path.realpath(pipe)
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _reads(int(name), path)]


def _reads(pid: int, path: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/0") == path
    except OSError:
        return False
