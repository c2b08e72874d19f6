# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent's tests share: waiting, and DPDK programs that are none."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FAKE = Path(__file__).with_name("fake_dpdk.py")
SECONDS = 10.0
# Connects and says so, waits for the end of the connection and says that too.
POD = """
import contextlib, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
print("connected", flush=True)
with contextlib.suppress(ConnectionResetError):
    connection.recv(1)
print("cut off", flush=True)
"""


def wait_for(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.005)


def make_program(folder: Path) -> str:
    """A program that can be started by its path; ``behave`` says how it behaves."""
    program = folder / "dpdk-fake"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {FAKE} --behaviour {folder}/behaviour "$@"\n')
    program.chmod(0o755)
    behave(folder)
    return str(program)


def behave(folder: Path, *words: str) -> None:
    partial = folder / "behaviour.new"
    partial.write_text("\n".join(words))
    partial.replace(folder / "behaviour")


def starts(folder: Path) -> list[str]:
    path = folder / "behaviour.starts"
    return path.read_text().splitlines() if path.exists() else []


def is_socket(path: object) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(str(path)).st_mode)
    except OSError:
        return False


def connect(path: object) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def cut_off(connection: socket.socket) -> bool:
    """Waits for the other end to go, also for one that had not taken the connection yet."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@contextmanager
def connected_as_a_pod(path: object) -> Iterator[subprocess.Popen[str]]:
    """A process with a network namespace of its own that is connected to a socket."""
    argv = ["unshare", "--map-root-user", "--net", sys.executable, "-IS", "-c", POD, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as pod:
        try:
            assert pod.stdout is not None
            assert pod.stdout.readline() == "connected\n"
            yield pod
        finally:
            pod.kill()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
