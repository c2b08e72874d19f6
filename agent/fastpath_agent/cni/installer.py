# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the shim into the host's folder of CNI plugins, under its three names, and takes it out again.

A plugin is replaced by a rename, so that a runtime finds the former one or the new one, whole. A plugin of somebody
else with such a name is kept beside it and put back at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from fastpath_agent.protocol import PLUGINS, SOCKET
from fastpath_agent.version import VERSION

SOURCE = Path(__file__).with_name("shim.py")
MARK = "# nfv.fastpath CNI shim "
PREFIX = ".fastpath-"
SAVED = f"{PREFIX}saved-"
NEW = f"{PREFIX}new-"
INTERPRETER = "/usr/bin/python3"
BIN_DIR = "/opt/cni/bin"


def render(version: str, socket: str, interpreter: str = INTERPRETER, source: str | None = None) -> bytes:
    """The shim as it is installed. Isolated and without site: neither the environment nor packages can change it."""
    text = SOURCE.read_text(encoding="utf-8") if source is None else source
    lines = []
    replaced = {"SOCKET = ": f"SOCKET = {socket!r}", "VERSION = ": f"VERSION = {version!r}"}
    for line in text.splitlines():
        start = next((key for key in replaced if line.startswith(key)), None)
        lines.append(replaced.pop(start) if start else line)
    if replaced:
        raise ValueError(f"the shim's source has no line {sorted(replaced)}")
    return "\n".join([f"#!{interpreter} -IS", f"{MARK}{version}", *lines, ""]).encode()


class Installer:
    """``folder``: the host's folder of CNI plugins as the agent sees it."""

    def __init__(self, folder: str, content: bytes, names: Sequence[str] = PLUGINS) -> None:
        self._folder = folder
        self._content = content
        self._names = tuple(names)

    def install(self) -> list[str]:
        """Names that were written: none where all is as it should be."""
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        self._clean()
        return [name for name in self._names if self._install(name)]

    def remove(self) -> list[str]:
        """Names that are gone or are the former plugin again. What is not the shim any more stays."""
        self._clean()
        return [name for name in self._names if self._remove(name)]

    def _install(self, name: str) -> bool:
        target = self._path(name)
        present = _read(target)
        if present == self._content and _mode(target) == 0o755:
            return False
        if present is not None and not is_shim(present):
            saved = self._path(f"{SAVED}{name}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(saved)
            # A second name for the same file: the plugin is there all the time.
            os.link(target, saved, follow_symlinks=False)
        self._write(name)
        return True

    def _write(self, name: str) -> None:
        partial = self._path(f"{NEW}{name}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._content)
                file.flush()
                os.fchmod(descriptor, 0o755)
                os.fsync(descriptor)
            os.rename(partial, self._path(name))
        except BaseException:
            os.unlink(partial)
            raise
        self._sync()

    def _remove(self, name: str) -> bool:
        target, saved = self._path(name), self._path(f"{SAVED}{name}")
        present = _read(target)
        if present is not None and not is_shim(present):
            return False
        if os.path.lexists(saved):
            os.rename(saved, target)
        elif present is not None:
            os.unlink(target)
        else:
            return False
        self._sync()
        return True

    def _clean(self) -> None:
        """What an installer that was killed left."""
        for name in self._names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(f"{NEW}{name}"))

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    def _sync(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_shim(content: bytes) -> bool:
    """Whether a file is a shim of any version."""
    return MARK.encode() in content[:200]


def _read(path: str) -> bytes | None:
    """A file's content; of something that is no plain file, nothing that could be the shim."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Installs or removes the CNI plugins of nfv.fastpath.")
    parser.add_argument("action", choices=("install", "remove"))
    parser.add_argument("--folder", default=BIN_DIR, help="the host's folder of CNI plugins, as it is mounted here")
    parser.add_argument("--socket", default=SOCKET, help="the agent's socket on the host")
    parser.add_argument("--interpreter", default=INTERPRETER, help="Python 3.9 or newer on the host")
    parser.add_argument("--version", default=VERSION, help="what the plugins say they are")
    given = parser.parse_args(argv)
    installer = Installer(given.folder, render(given.version, given.socket, given.interpreter))
    names = installer.install() if given.action == "install" else installer.remove()
    sys.stdout.write(f"{given.action}: {', '.join(names) or 'nothing to do'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
