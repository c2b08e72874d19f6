# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, find and end processes. Only ever those that the lab itself started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .errors import LabError

MARK = "FASTPATH_LAB_DAEMON"
STOP = threading.Event()  # set while work in other threads is being given up


def bound(argv: Sequence[str]) -> list[str]:
    """Wrap a command so that it dies with this program, whatever ends that."""
    return ["setpriv", "--pdeathsig", "KILL", "--", *argv]


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    log: Path | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; with ``log`` its output goes to that file.

    The command dies with this program, whatever ends it. Raises LabError with the end
    of the output when the command fails or takes longer than ``timeout`` seconds.
    """
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(open(log, "ab")) if log else None
        try:
            done = subprocess.run(
                bound(argv),
                input=stdin,
                timeout=timeout,
                env=env,
                check=False,
                stdin=None if stdin is not None else subprocess.DEVNULL,
                stdout=sink or subprocess.PIPE,
                stderr=sink or subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise LabError(f"{argv[0]}: not installed") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{argv[0]}: no end after {timeout:.0f} s{_tail(log)}") from error
    if done.returncode:
        text = _tail(log) or (done.stderr or b"").decode(errors="replace").strip()
        raise LabError(f"{' '.join(argv[:6])}: failed with {done.returncode}: {text}")
    return done


def output(argv: Sequence[str], timeout: float = 30.0) -> str:
    """Return the standard output of a command that must succeed."""
    return run(argv, timeout=timeout).stdout.decode(errors="replace")


def _tail(log: Path | None, lines: int = 12) -> str:
    if log is None or not log.exists():
        return ""
    text = log.read_bytes()[-8192:].decode(errors="replace").splitlines()
    return f" (end of {log}):\n" + "\n".join(text[-lines:])


def isolated(argv: Sequence[str]) -> list[str]:
    """Wrap a command so that its mounts and all its descendants end with it."""
    return [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
        *argv,
    ]


def spawn(argv: Sequence[str], owner: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this program, marked as the lab's own."""
    with open(log, "ab") as sink:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={"PATH": os.environ["PATH"], MARK: owner},
            cwd="/",
        )


def owned(owner: str) -> list[int]:
    """Return the ids of all live processes that carry the mark of ``owner``."""
    wanted = f"{MARK}={owner}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.append(int(entry))
    return found


def ancestors() -> set[int]:
    """Return this process and all its parents."""
    found, pid = set(), os.getpid()
    while pid > 1 and pid not in found:
        found.add(pid)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def end(pids: Sequence[int], still_ours: Callable[[int], bool], timeout: float = 15.0) -> None:
    """Kill processes and wait until they are gone.

    A process handle is taken before ``still_ours`` is asked, so a number that was given
    to somebody else's process in between is never hit. Raises LabError on the time-out.
    """
    handles = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            handles.append(handle)
            if still_ours(pid):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    deadline = time.monotonic() + timeout
    try:
        for handle in handles:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
                raise LabError("a process of the lab does not end")
    finally:
        for handle in handles:
            os.close(handle)


def end_children() -> None:
    """Kill all processes that this program started and that have not ended yet."""

    def child(pid: int) -> bool:
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            state, parent = stat.rpartition(")")[2].split()[:2]
            return state not in "ZX" and int(parent) == os.getpid()
        return False

    end([int(name) for name in os.listdir("/proc") if name.isdigit() and child(int(name))], child)


def wait_until(condition: Callable[[], bool], timeout: float, what: str, interval: float = 0.1) -> None:
    """Ask ``condition`` until it holds. Raises LabError(what) after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if STOP.is_set():
            raise LabError(f"{what}: given up")
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout:.0f} s")
        time.sleep(interval)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that clean-up runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
