# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A content-addressed store of built things, shared by all labs of a user.

An entry is a directory ``KIND-DIGEST`` whose digest covers everything it was made of.
It is built in a temporary directory beside it, flushed to disk and renamed, under a lock
per entry: two runs never build the same thing twice, and a build that was cut off leaves
only a temporary directory that nobody reads and the next run removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .progress import say

MANIFEST = "manifest.json"
_HASH_LIMIT = 16 * 1024 * 1024


def digest(inputs: Any) -> str:
    """Return a short digest of any JSON-able value."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def default_root() -> Path:
    """Return the folder of the cache, outside of any checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "fastpath" / "lab"


@contextlib.contextmanager
def locked(path: Path, waiting: str = "", shared: bool = False) -> Iterator[None]:
    """Hold an advisory lock on a file; it goes away with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with open(path, "ab") as handle:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                say(waiting)
            fcntl.flock(handle, mode)
        yield


def file_digest(path: Path) -> str:
    """Digest of a file's size and of its first and last 8 MiB (all of a small file)."""
    size = path.stat().st_size
    result = hashlib.sha256(str(size).encode())
    with open(path, "rb") as handle:
        for offset in sorted({0, max(0, size - _HASH_LIMIT // 2)}):
            handle.seek(offset)
            result.update(handle.read(_HASH_LIMIT // 2))
    return result.hexdigest()


def _fsync_tree(path: Path) -> None:
    """Flush the file system that holds ``path``, all of it: one call for many files."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.sync()


class Cache:
    """The store in one folder. Safe for any number of processes and threads."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or default_root()
        self.root.mkdir(parents=True, exist_ok=True)

    def path(self, kind: str, key: str) -> Path:
        """Return where an entry is or would be."""
        return self.root / f"{kind}-{key}"

    def find(self, kind: str, key: str) -> Path | None:
        """Return a complete entry whose files are as they were built, else None."""
        entry = self.path(kind, key)
        try:
            manifest = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            if manifest["key"] != key:
                return None
            for name, expected in manifest["files"].items():
                if file_digest(entry / name) != expected:
                    return None
        except (OSError, ValueError, KeyError):
            return None
        with contextlib.suppress(OSError):
            os.utime(entry / MANIFEST)
        return entry

    def get(self, kind: str, inputs: Any, build: Callable[[Path], None]) -> Path:
        """Return the entry made of ``inputs``, calling ``build(directory)`` when absent.

        ``build`` fills the directory and raises when it cannot; the entry then stays
        absent. Files at the top of the directory are recorded in the manifest.
        """
        key = digest(inputs)
        entry = self.find(kind, key)
        if entry:
            return entry
        with locked(self.root / "locks" / f"{kind}-{key}", f"waiting for another run: {kind}"):
            entry = self.find(kind, key)
            if entry:
                return entry
            return self._build(kind, key, inputs, build)

    def _build(self, kind: str, key: str, inputs: Any, build: Callable[[Path], None]) -> Path:
        entry = self.path(kind, key)
        for stale in [entry, *self.root.glob(f".{kind}-{key}.*")]:
            remove(stale)
        work = self.root / f".{kind}-{key}.{os.getpid()}"
        work.mkdir(mode=0o755)
        try:
            build(work)
            self._seal(work, kind, key, inputs)
            os.rename(work, entry)
            _fsync_tree(self.root)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        return entry

    @staticmethod
    def _seal(work: Path, kind: str, key: str, inputs: Any) -> None:
        files = {path.name: file_digest(path) for path in sorted(work.iterdir()) if path.is_file()}
        manifest = {
            "kind": kind,
            "key": key,
            "inputs": inputs,
            "files": files,
            "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        _fsync_tree(work)
        target = work / MANIFEST
        target.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        _fsync_tree(work)

    def prune(self, keep: set[Path], older_than: float) -> list[Path]:
        """Remove entries not in ``keep`` and unused for ``older_than`` seconds.

        An entry that is being built is left alone: its lock is taken first.
        """
        removed = []
        limit = time.time() - older_than
        for entry in sorted(self.root.iterdir()):
            if not entry.is_dir() or entry.name == "locks" or entry in keep:
                continue
            name = entry.name.lstrip(".").split(".")[0]
            with _try_lock(self.root / "locks" / name) as held:
                stamp = entry / MANIFEST
                used = stamp if stamp.exists() else entry
                if held and used.exists() and used.stat().st_mtime < limit:
                    shutil.rmtree(entry)
                    removed.append(entry)
        return removed


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it. One that is not there is no error; one that cannot be removed is."""
    if folder.exists():
        shutil.rmtree(folder)


@contextlib.contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
