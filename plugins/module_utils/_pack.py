# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Packs what was built: the same files are always the same archive."""

from __future__ import annotations

import fnmatch
import lzma
import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterable, Sequence

ELF = b"\x7fELF"
# A program that a user of the bundle calls; Python's and shell's as well.
_GLIBC = re.compile(rb"GLIBC_(2\.[0-9]+(?:\.[0-9]+)?)\x00")
_PRESET = 3


def drop(prefix: str, globs: Sequence[str]) -> None:
    """Remove what no node needs. A glob matches within one folder."""
    for pattern in globs:
        folder = os.path.join(prefix, os.path.dirname(pattern))
        names = os.listdir(folder) if os.path.isdir(folder) else []
        for name in fnmatch.filter(names, os.path.basename(pattern)):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


def files_below(prefix: str) -> list[str]:
    """All files and links, relative, sorted."""
    found = []
    for folder, names, files in os.walk(prefix):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        found += [os.path.relpath(os.path.join(folder, name), prefix) for name in [*files, *links]]
    return sorted(found)


def newest_glibc(paths: Iterable[str]) -> str:
    """The newest version of the C library's symbols that programs and libraries ask for; empty: none asks."""
    versions: set[bytes] = set()
    for path in paths:
        content = _elf(path)
        if content:
            versions.update(_GLIBC.findall(content))
    newest = max(versions, key=lambda version: [int(part) for part in version.split(b".")], default=b"")
    return newest.decode()


def commands_in(prefix: str) -> tuple[str, ...]:
    """What users run: executable files in ``bin`` and ``sbin``."""
    found = set()
    for folder in ("bin", "sbin"):
        path = os.path.join(prefix, folder)
        for name in os.listdir(path) if os.path.isdir(path) else []:
            if os.access(os.path.join(path, name), os.X_OK):
                found.add(f"{folder}/{name}")
    return tuple(sorted(found))


def _elf(path: str) -> bytes:
    if os.path.islink(path) or not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        if file.read(4) != ELF:
            return b""
        return ELF + file.read()


def is_elf(path: str) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) == ELF


def pack(prefix: str, archive: str) -> None:
    """Everything below ``prefix`` into a compressed archive, with no trace of when, where and by whom."""
    with lzma.open(archive, "wb", preset=_PRESET) as stream, tarfile.open(fileobj=stream, mode="w") as target:
        for name in files_below(prefix):
            path = os.path.join(prefix, name)
            item = target.gettarinfo(path, arcname=name)
            if item.islnk():
                # A hard link is packed as a file of its own, whatever came first.
                item.type, item.linkname = tarfile.REGTYPE, ""
                item.size = os.stat(path).st_size
            item.mtime = item.uid = item.gid = 0
            item.uname = item.gname = "root"
            item.mode = 0o777 if item.issym() else _plain_mode(item.mode)
            if item.isreg():
                with open(path, "rb") as file:
                    target.addfile(item, file)
            else:
                target.addfile(item)


def _plain_mode(mode: int) -> int:
    return 0o755 if mode & stat.S_IXUSR else 0o644
