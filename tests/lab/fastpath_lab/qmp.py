# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of QEMU's monitor protocol."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import LabError


class Monitor:
    """A connection to one machine's monitor socket; use it as a context manager."""

    def __init__(self, socket_path: Path, timeout: float = 120.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        # The address of a socket is short (108 bytes); this way any folder will do.
        folder = os.open(socket_path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{folder}/{socket_path.name}")
        except OSError:
            self._socket.close()
            raise
        finally:
            os.close(folder)
        self._stream = self._socket.makefile("rw", encoding="utf-8")
        self._read()
        self.call("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def _read(self) -> dict[str, Any]:
        line = self._stream.readline()
        if not line:
            raise LabError("the machine's monitor closed the connection")
        return json.loads(line)

    def call(self, command: str, **arguments: Any) -> Any:
        """Run a command and return its result. Raises LabError when it fails."""
        self._stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"monitor: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def human(self, line: str) -> str:
        """Run a command of the human monitor. Raises LabError when it prints an error."""
        text = self.call("human-monitor-command", **{"command-line": line})
        if text.lower().startswith("error"):
            raise LabError(f"monitor: {line}: {text.strip()}")
        return text
