# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a stream of bytes to a command on a node."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterable

from . import process
from .errors import LabError
from .node import Machine


def feed(machine: Machine, command: str, blocks: Iterable[bytes], timeout: float) -> None:
    """Run a shell command in the guest with the blocks as its input. Raises LabError when it fails or is late."""
    argv = process.bound(["ip", "netns", "exec", machine.site.netns, *machine.ssh_argv([command])])
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT) as child:
        watchdog = threading.Timer(timeout, child.kill)
        watchdog.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                for block in blocks:
                    child.stdin.write(block)
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            said = child.stdout.read().decode(errors="replace")
        finally:
            watchdog.cancel()
    if child.returncode:
        raise LabError(f"{machine.node.name}: {command}: {child.returncode}: {said[-600:]}")
