# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder for each pod, below one that no pod ever sees whole.

The folder lives as long as the pod has a lease: a pod has it mounted, so it is never removed and made anew under the
same name meanwhile. A pod that is to make the socket itself can write to its folder; whatever it puts there, nothing
that the agent does in that folder follows a link.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

from fastpath_agent.config import Access
from fastpath_agent.model import Mode, NotPossible, PodOwner, SocketError, SocketLease
from fastpath_agent.unix_sockets import MAX_PATH

PODS = "pods"
SELINUX = "security.selinux"
SELINUX_FS = "/sys/fs/selinux/enforce"
NO_LINKS = "nosymfollow"

# Of a folder that has not got its owner yet.
UNFINISHED = 0o700
# A pod's, as a UUID or, for pods that the kubelet has from a file, as a hash.
_UID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


class PodFolders:
    """``base``: the agent's directory; pods' folders are in ``base/pods``.

    ``links``: whether folders that pods write to may be on a mount that follows links, which lets a pod send the node's
    process to another pod's socket. ``kubelet``: its directory, which has a folder for each pod of the node.
    """

    def __init__(self, host: Host, base: str, links: bool = False, kubelet: str = "/var/lib/kubelet") -> None:
        self._host = host
        self.root = f"{base}/{PODS}"
        self._links = links
        self._kubelet = kubelet
        # Two interfaces of a pod may come at the same time.
        self._making = threading.Lock()

    def lease(self, backend: str, device: str, name: str, owner: PodOwner, mode: Mode) -> SocketLease:
        """The lease of a socket with this name in the owner's folder; nothing is made."""
        pod = owner.uid or owner.container_id
        if not _NAME.match(pod) or not _NAME.match(name):
            raise NotPossible(f"{pod!r} and {name!r} cannot be the names of a pod's folder and of a socket in it.")
        lease = SocketLease(device, backend, f"{self.root}/{pod}", name, owner, mode)
        if len(os.fsencode(lease.path)) > MAX_PATH:
            raise NotPossible(f"{lease.path} is longer than {MAX_PATH} bytes, which the kernel does not take.")
        if mode == "server" and not self._links and not self.follows_no_links():
            raise NotPossible(
                f"A pod cannot be the server on this node: {self.root} has to be a mount with {NO_LINKS}, or a pod "
                "could send the node's process to another pod's socket by a link."
            )
        return lease

    def make(self, lease: SocketLease, access: Access) -> None:
        """The pod's folder, with its owner, mode and label before anything is in it."""
        with self._making:
            self._make(lease, access)

    def _make(self, lease: SocketLease, access: Access) -> None:
        self._make_root()
        writable = lease.mode == "server"
        with suppress(FileExistsError):
            os.mkdir(lease.directory, UNFINISHED)
        status = os.lstat(lease.directory)
        if not stat.S_ISDIR(status.st_mode):
            raise SocketError(f"{lease.directory} is there and is no folder.")
        if stat.S_IMODE(status.st_mode) != UNFINISHED:
            # Another interface of the pod has it already: it may be given more rights, and loses none.
            if writable:
                os.chmod(lease.directory, stat.S_IMODE(status.st_mode) | 0o070)
            return
        self._label(lease.directory, access)
        os.chown(lease.directory, access.user, access.group)
        os.chmod(lease.directory, 0o770 if writable else 0o750)

    def place(self, socket: str, lease: SocketLease, access: Access) -> None:
        """Move a listening socket into the pod's folder: where it is bound does not change, and who connects finds it.

        Owner and mode are set before, in a folder where no pod can put something else in its place.
        """
        self._label(socket, access)
        os.chown(socket, access.user, access.group, follow_symlinks=False)
        os.chmod(socket, 0o660)
        try:
            os.rename(socket, lease.path)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise SocketError(f"{socket} and {lease.directory} have to be on one mount.") from error
            raise

    def remove_socket(self, lease: SocketLease) -> None:
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            os.unlink(lease.path)

    def drop(self, folder: str) -> None:
        """Remove a pod's folder if nothing is in it: a CNI plugin may have put a socket of its own there."""
        with suppress(OSError):
            os.rmdir(folder)

    def sweep(self, leases: Sequence[SocketLease], starting: bool = False) -> None:
        """Remove folders of pods that the kubelet does not know any more, with all that the pods left in them.

        ``starting``: nobody is at work yet, so empty folders without a lease go too; what fails is left to the next
        time. Otherwise the first failure is raised after all have had their turn.
        """
        wanted = {os.path.basename(lease.directory) for lease in leases}
        known = set(self._host.listdir(f"{self._kubelet}/pods"))
        failures: list[OSError] = []
        for name in sorted(set(_names(self.root)) - wanted):
            if known and _UID.match(name) and name not in known:
                try:
                    shutil.rmtree(f"{self.root}/{name}")
                except FileNotFoundError:
                    pass
                except OSError as failure:
                    failures.append(failure)
            elif starting:
                self.drop(f"{self.root}/{name}")
        if failures and not starting:
            raise failures[0]

    def _make_root(self) -> None:
        """Passing through by a known name is allowed, looking around is not."""
        os.makedirs(os.path.dirname(self.root), mode=0o755, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.root, 0o700)
            os.chmod(self.root, 0o711)

    def _label(self, path: str, access: Access) -> None:
        if access.label and self._host.exists(SELINUX_FS):
            os.setxattr(path, SELINUX, access.label.encode() + b"\0", follow_symlinks=False)

    def follows_no_links(self) -> bool:
        """Whether the mount with the pods' folders refuses links, as the kernel's list of mounts says."""
        best, flags = "", ""
        root = os.path.realpath(self.root)
        for line in (self._host.read("/proc/self/mountinfo") or "").splitlines():
            fields = line.split()
            if len(fields) > 5 and len(fields[4]) >= len(best) and f"{root}/".startswith(f"{fields[4].rstrip('/')}/"):
                best, flags = fields[4], fields[5]
        return NO_LINKS in flags.split(",")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
