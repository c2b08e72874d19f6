# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log that a network configuration asks for with ``logFile`` and ``logLevel``, beside the agent's own."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from datetime import datetime, timezone

from fastpath_agent.cni.files import Files

LEVELS = ("panic", "error", "warning", "info", "debug", "verbose")
DEFAULT_LEVEL = "warning"
MAX_LINE = 4000
_AGENT_LEVELS = {
    "panic": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "verbose": logging.DEBUG,
}
_agent = logging.getLogger("fastpath.cni")


def is_log_name(path: str, plugin: str) -> bool:
    """A log of this plugin and of nothing else: a configuration must not append to other logs of the node."""
    return re.fullmatch(rf"(?:.*/)?{plugin}[A-Za-z0-9_.-]*", path) is not None


class Log:
    """Lines as the first plugins wrote them: time, level in brackets, text. None of it is worth a failure."""

    def __init__(self, files: Files, path: str = "", level: str = DEFAULT_LEVEL) -> None:
        self._files = files
        self._path = path
        self._least = LEVELS.index(level)

    def error(self, text: str) -> None:
        self._line("error", text)

    def warning(self, text: str) -> None:
        self._line("warning", text)

    def info(self, text: str) -> None:
        self._line("info", text)

    def debug(self, text: str) -> None:
        self._line("debug", text)

    def _line(self, level: str, text: str) -> None:
        clean = "".join(character if character.isprintable() else " " for character in text)[:MAX_LINE]
        _agent.log(_AGENT_LEVELS[level], "%s", clean)
        if self._path and LEVELS.index(level) <= self._least:
            stamp = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
            with contextlib.suppress(OSError):
                self._append(f"{stamp} [{level}] {clean}\n".encode("utf-8", "backslashreplace"))

    def _append(self, line: bytes) -> None:
        with self._files.opened_parent(self._path) as (folder, name):
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, 0o640, dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                    os.write(descriptor, line)
            finally:
                os.close(descriptor)
