# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only door to files of the host. Every path that a configuration names has to lie below allowed folders.

Below an allowed folder each component is opened without following links, so that neither ``..`` nor a link that
somebody put there leads out. The allowed folder itself belongs to the node and may be reached through links
(``/var/run`` is one).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from fastpath_agent.cni.errors import from_os_error, refuse_field
from fastpath_agent.unix_sockets import MAX_PATH

TEMPORARY = ".fastpath-"
# Mode of a pod's folder that has not got its owner yet.
UNFINISHED = 0o700
_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Files:
    """``root``: where the host's root lies for this process. Paths are absolute as the host sees them."""

    def __init__(self, allowed: Sequence[str], root: str = "/") -> None:
        self.allowed = tuple(folder.rstrip("/") for folder in allowed)
        self.root = root.rstrip("/")

    def real(self, path: str) -> str:
        return self.root + path

    def allowed_base(self, path: str) -> str | None:
        """The allowed folder that a path lies in; the longest where they lie in each other."""
        if not path.startswith("/") or ".." in path.split("/") or "\x00" in path:
            return None
        fitting = [base for base in self.allowed if path == base or path.startswith(f"{base}/")]
        return max(fitting, key=len, default=None)

    def require(self, field: str, path: str) -> str:
        """The path, or the error that names the field it came from."""
        if self.allowed_base(path) is None:
            raise refuse_field(field, path, f"must lie below one of {', '.join(self.allowed)}")
        return path

    def is_socket(self, path: str) -> bool:
        """Whether a socket is there, itself and not through a link."""
        try:
            return stat.S_ISSOCK(os.lstat(self.real(path)).st_mode)
        except OSError:
            return False

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.real(path))

    def read(self, path: str, limit: int) -> bytes:
        """A regular file's content, of at most ``limit`` bytes."""
        with self.opened_parent(path) as (folder, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(22, "no regular file", path)
            content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(27, f"larger than {limit} bytes", path)
        return content

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Replace a file whole. Not flushed: what is lost in a power cut belongs to pods that are gone then."""
        with self.opened_parent(path) as (folder, name):
            temporary = f"{TEMPORARY}{name}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fchmod(descriptor, mode)
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise

    def make_folder(self, path: str, mode: int = 0o755) -> bool:
        """Make a folder and those above it up to the allowed one; whether the last one is new."""
        base = self._base(path)
        os.makedirs(self.real(base), mode=0o755, exist_ok=True)
        with contextlib.ExitStack() as open_folders:
            folder = self._open(open_folders, self.real(base))
            new = False
            for part in path[len(base) :].split("/"):
                if part:
                    new = _make(part, mode, folder)
                    folder = self._open(open_folders, part, folder)
        return new

    def hand_over(self, path: str, uid: int, gid: int, writable: bool) -> None:
        """Give a folder that was just made to a pod (-1: the number stays as it is).

        Another interface of the pod may have it already: then it can get more rights, and loses none.
        """
        with self.opened_parent(path) as (folder, name):
            descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
            if mode == UNFINISHED:
                os.fchown(descriptor, uid, gid)
                mode = 0o750
            os.fchmod(descriptor, mode | 0o070 if writable else mode)
        finally:
            os.close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """Move within one file system; both below allowed folders."""
        with self.opened_parent(source) as (source_folder, old), self.opened_parent(target) as (target_folder, new):
            os.rename(old, new, src_dir_fd=source_folder, dst_dir_fd=target_folder)

    def link(self, path: str, target: str) -> None:
        """Make or replace a symbolic link."""
        with self.opened_parent(path) as (folder, name):
            temporary = f"{TEMPORARY}{name}"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            os.symlink(target, temporary, dir_fd=folder)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)

    def remove(self, path: str) -> None:
        """Remove a file, a socket or a link. What is gone, or was replaced by something else, is no error."""
        with contextlib.suppress(*_NOT_THERE), self.opened_parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def remove_folder(self, path: str) -> None:
        """Remove a folder if it is empty; never an allowed folder itself."""
        if self.allowed_base(path) in (None, path):
            return
        with contextlib.suppress(OSError), self.opened_parent(path) as (folder, name):
            os.rmdir(name, dir_fd=folder)

    def _base(self, path: str) -> str:
        base = self.allowed_base(path)
        if base is None:
            raise PermissionError(1, "outside of the allowed folders", path)
        return base

    @contextlib.contextmanager
    def opened_parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The opened folder of a path, and the path's last part."""
        base = self._base(path)
        parts = [part for part in path[len(base) :].split("/") if part]
        if not parts:
            raise PermissionError(1, "is an allowed folder itself", path)
        with contextlib.ExitStack() as open_folders:
            folder = self._open(open_folders, self.real(base), follow=True)
            for part in parts[:-1]:
                folder = self._open(open_folders, part, folder)
            yield folder, parts[-1]

    @staticmethod
    def _open(open_folders: contextlib.ExitStack, name: str, folder: int | None = None, follow: bool = False) -> int:
        flags = _FOLDER & ~os.O_NOFOLLOW if follow or folder is None else _FOLDER
        descriptor = os.open(name, flags, dir_fd=folder)
        open_folders.callback(os.close, descriptor)
        return descriptor


def _make(name: str, mode: int, folder: int) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=folder)
    except FileExistsError:
        return False
    # What the umask took away.
    os.chmod(name, mode, dir_fd=folder)
    return True


def check_socket_path(path: str, whose: str) -> str:
    """Refuse what no process could bind or connect to."""
    length = len(path.encode("utf-8", "surrogateescape"))
    if length > MAX_PATH:
        raise refuse_field(
            whose,
            path,
            f"is {length} bytes long; a Unix socket's path can have {MAX_PATH}: use a shorter folder",
        )
    return path


@contextlib.contextmanager
def told_as(what: str) -> Iterator[None]:
    """Turn a failed file operation into an error of the right code."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, what) from error
