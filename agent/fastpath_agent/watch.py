# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follows files of one folder through the kernel's inotify.

The folder is watched and not the files: a file that is replaced by a rename, or that does not exist yet, is followed
all the same. Whoever uses this sets the watch first and reads the files then, so that nothing falls in between.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from contextlib import suppress

# linux/inotify.h
IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x008, 0x040, 0x080, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF, IN_ONLYDIR = 0x400, 0x800, 0x01000000
IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED = 0x2000, 0x4000, 0x8000
EVENTS = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF
FOLDER_GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED

_EVENT = struct.Struct("iIII")
_READ_SIZE = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class FolderWatch:
    """Changes of some files in a folder. The folder may be absent, go and come back."""

    def __init__(self, folder: str, names: tuple[str, ...]) -> None:
        self._folder = folder
        self._names = frozenset(names)
        self._watch: int | None = None
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        self._set()

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    def changed(self) -> set[str]:
        """Names that may have changed since the last call: all of them where the kernel lost count.

        Never blocks. A folder that cannot be watched is tried again at the next call.
        """
        found: set[str] = set()
        while content := self._read():
            found |= self._names_in(content)
        with suppress(OSError):
            if self._watch is None and self._set():
                found |= self._names
        return found

    def _set(self) -> bool:
        watch = _libc.inotify_add_watch(self._descriptor, os.fsencode(self._folder), EVENTS | IN_ONLYDIR)
        self._watch = None if watch < 0 else watch
        if watch < 0 and ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):
            _checked(watch, f"inotify_add_watch {self._folder}")
        return bool(watch >= 0)

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return b""

    def _names_in(self, content: bytes) -> set[str]:
        found: set[str] = set()
        place = 0
        while place + _EVENT.size <= len(content):
            watch, mask, _cookie, length = _EVENT.unpack_from(content, place)
            place += _EVENT.size
            name = os.fsdecode(content[place : place + length].rstrip(b"\0"))
            place += length
            if mask & IN_Q_OVERFLOW:
                found |= self._names
            elif watch != self._watch:
                continue
            elif mask & FOLDER_GONE:
                self._forget()
                found |= self._names
            elif name in self._names:
                found.add(name)
        return found

    def _forget(self) -> None:
        """The folder is another one now, or none; the watch on a moved one would follow it."""
        if self._watch is not None:
            _libc.inotify_rm_watch(self._descriptor, self._watch)
        self._watch = None


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
