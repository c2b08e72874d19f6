# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The only door to the node: files below a root, and commands.

Everything that reads or changes a node takes a ``Host``, so that tests hand in a tree of their own
and a transcript of commands.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, TypeVar

from ansible_collections.nfv.fastpath.plugins.module_utils import _zip_imports
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

# Whatever does something on a node loads this file early.
_zip_imports.quicken(__spec__.loader if __spec__ else None)

T = TypeVar("T")
POLL_SECONDS = 0.05
KERNEL_FOLDERS = ("/sys/", "/proc/")
# include/uapi/linux/ext4.h: _IOW('f', 43, __u32), writes all of the journal to its place.
EXT4_IOC_CHECKPOINT = 0x4004662B
# include/uapi/linux/fs.h: _IOWR('X', 119, int) and 120. A frozen XFS has its log in place, a synced one has not.
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
# What a shell says of a program that is not there.
NOT_FOUND = 127
# include/uapi/linux/sockios.h and ethtool.h: what is asked for, driver, three versions, bus, and what nobody asks for.
SIOCETHTOOL, ETHTOOL_GDRVINFO = 0x8946, 3
DRVINFO = struct.Struct("=I32s32s32s32s32s32x")
# Another file system, or an ext4 without a journal.
NOT_SUPPORTED = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENODEV)


@dataclass(frozen=True)
class Completed:
    """What a command left: exit code and both outputs as text."""

    rc: int
    out: str
    err: str


def _run(argv: Sequence[str], timeout: float, stdin: str) -> Completed:
    environment = {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}
    try:
        done = subprocess.run(
            list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, env=environment, check=False
        )
    except FileNotFoundError:
        return Completed(NOT_FOUND, "", f"{argv[0]}: not found")
    except subprocess.TimeoutExpired as late:
        raise FastpathError(f"{' '.join(argv)} did not end within {timeout:g} s.") from late
    return Completed(done.returncode, done.stdout, done.stderr)


def _supports(descriptor: int, request: int) -> bool:
    """Make a request to a file system that needs no more than a zero; False where it does not know it."""
    try:
        fcntl.ioctl(descriptor, request, struct.pack("I", 0))
    except OSError as error:
        if error.errno in NOT_SUPPORTED:
            return False
        raise
    return True


def _freeze_for_a_moment(descriptor: int) -> None:
    """Never for the root's file system: whoever is stopped between the two calls has stopped the node."""
    if _supports(descriptor, FIFREEZE):
        fcntl.ioctl(descriptor, FITHAW, struct.pack("I", 0))


class Host:
    """Files and commands of one node. Paths are absolute as the node sees them."""

    def __init__(
        self, root: str = "/", run: Callable[[Sequence[str], float, str], Completed] = _run, sysfs_root: str = "/sys"
    ) -> None:
        self.root = root.rstrip("/")
        self._run = run
        self.sysfs_root = sysfs_root.rstrip("/")

    def path(self, path: str) -> str:
        """Where a path of the node lies for this process."""
        if self.sysfs_root != "/sys" and (path == "/sys" or path.startswith("/sys/")):
            return self.sysfs_root + path[4:]
        return self.root + path

    def exists(self, path: str) -> bool:
        return os.path.exists(self.path(path))

    def listdir(self, path: str) -> list[str]:
        """Sorted names; empty where there is no such directory."""
        try:
            return sorted(os.listdir(self.path(path)))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def link_target(self, path: str) -> str | None:
        """What a symbolic link points to; None where there is none, as in ``read``."""
        return self._unless_absent(path, lambda: self._read_link(path))

    def link_name(self, path: str) -> str | None:
        """The last part of what a symbolic link points to; None where there is none."""
        target = self.link_target(path)
        return None if target is None else os.path.basename(target)

    def read(self, path: str) -> str | None:
        """A file's text as it is; None where there is none.

        Many attributes of the kernel cannot be read, and a process may end meanwhile: None as well. Another file that
        cannot be read is an OSError, lest it be taken for absent and written anew.
        """
        return self._unless_absent(path, lambda: self._read_text(path))

    def read_bytes(self, path: str) -> bytes | None:
        """A file's content as it is; None where there is none, as in ``read``."""
        return self._unless_absent(path, lambda: self._read_content(path))

    def mode(self, path: str) -> int | None:
        """A file's permission bits; None where it is absent, as in ``read``."""
        status = self._unless_absent(path, lambda: os.stat(self.path(path)))
        return None if status is None else status.st_mode & 0o7777

    def owner(self, path: str) -> tuple[int, int] | None:
        """A file's user and group; None where it is absent, as in ``read``."""
        status = self._unless_absent(path, lambda: os.stat(self.path(path)))
        return None if status is None else (status.st_uid, status.st_gid)

    def _read_text(self, path: str) -> str:
        with open(self.path(path), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    def _read_content(self, path: str) -> bytes:
        with open(self.path(path), "rb") as file:
            return file.read()

    def _read_link(self, path: str) -> str | None:
        try:
            return os.readlink(self.path(path))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    def _unless_absent(self, path: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError:
            if path.startswith(KERNEL_FOLDERS):
                return None
            raise

    def read_value(self, path: str) -> str | None:
        """A sysfs attribute without white space around it."""
        text = self.read(path)
        return None if text is None else text.strip()

    def write_attribute(self, path: str, value: str) -> None:
        """One ``write()`` to an attribute that exists; OSError says what the kernel answered."""
        descriptor = os.open(self.path(path), os.O_WRONLY)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    def write_file(self, path: str, text: str | bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        """Replace a file whole: a reader, or a power cut, sees the former or the new text."""
        content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        target = self.path(path)
        folder = os.path.dirname(target)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".fastpath-", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if owner is not None:
                    os.fchown(file.fileno(), *owner)
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
        self._sync_folder(folder)

    def link(self, path: str, target: str) -> None:
        """Make or replace a symbolic link in one step, so that it is never missing in between."""
        partial = self.path(f"{path}.fastpath-new")
        if os.path.lexists(partial):
            os.unlink(partial)
        os.makedirs(os.path.dirname(partial), mode=0o755, exist_ok=True)
        os.symlink(target, partial)
        os.replace(partial, self.path(path))

    def remove(self, path: str) -> None:
        """Remove a file; no error where it is gone already."""
        target = self.path(path)
        try:
            os.unlink(target)
        except FileNotFoundError:
            return
        self._sync_folder(os.path.dirname(target))

    def remove_folder(self, path: str) -> None:
        """Remove a folder with all that is in it; no error where it is gone already."""
        target = self.path(path)
        if os.path.lexists(target):
            shutil.rmtree(target)
            self._sync_folder(os.path.dirname(target))

    def remove_empty_folder(self, path: str) -> bool:
        """Whether the folder is gone: False where something is in it."""
        try:
            os.rmdir(self.path(path))
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def flush_for_boot_loader(self, folder: str) -> None:
        """Bring a file system to where a boot loader sees it too: it reads blocks and replays no journal.

        Without this, a power cut soon after the boot loader's files were written boots by the former ones. A tree
        below another root has no boot loader.
        """
        if self.root:
            return
        os.sync()
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not _supports(descriptor, EXT4_IOC_CHECKPOINT) and os.stat(folder).st_dev != os.stat("/").st_dev:
                _freeze_for_a_moment(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _sync_folder(folder: str) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def run(self, argv: Sequence[str], timeout: float = 60, stdin: str = "") -> Completed:
        """Run a command (never through a shell) in the C locale; FastpathError past ``timeout`` seconds."""
        return self._run(argv, timeout, stdin)

    def must_run(self, argv: Sequence[str], timeout: float = 60, stdin: str = "") -> str:
        """Run a command that has to succeed and return its standard output."""
        done = self.run(argv, timeout, stdin)
        if done.rc != 0:
            said = (done.err.strip() or done.out.strip())[-2000:]
            raise FastpathError(f"{' '.join(argv)} failed with exit code {done.rc}: {said}")
        return done.out

    def connect(self, path: str, timeout: float) -> socket.socket:
        """Connect to a Unix socket; OSError says why not.

        Its folder goes by its descriptor, since the kernel takes no path of more than 107 bytes.
        """
        folder, name = os.path.split(self.path(path))
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(timeout)
            stream.connect(f"/proc/self/fd/{descriptor}/{name}")
        except BaseException:
            stream.close()
            raise
        finally:
            os.close(descriptor)
        return stream

    def bus_info(self, interface: str) -> str | None:
        """What a network interface says that it stands on; None where it is not here or does not say."""
        answer = array.array("B", DRVINFO.pack(ETHTOOL_GDRVINFO, b"", b"", b"", b"", b""))
        request = struct.pack("16sP16x", interface.encode(), answer.buffer_info()[0])
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                fcntl.ioctl(asker, SIOCETHTOOL, request)
        except OSError:
            return None
        text: bytes = DRVINFO.unpack(answer.tobytes())[4]
        return text.rstrip(b"\0").decode(errors="replace") or None

    def wait_for(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until ``condition`` holds; FastpathError naming ``what`` past ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise FastpathError(f"Waited {timeout:g} s in vain for {what}.")
            time.sleep(POLL_SECONDS)
