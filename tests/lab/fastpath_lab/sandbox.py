# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program in another root directory, in a mount namespace of its own.

Every mount made here lives in a namespace that only the started program (and its
children) holds, so the kernel drops all of them with the last process: nothing has
to be unmounted and nothing can leak, however the program ends.

Run as a script: ``python3 -I sandbox.py JSON`` with the JSON of :class:`Sandbox`.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_CLONE_NEWNS = 0x00020000
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "kvm", "net/tun", "vhost-net")


@dataclass(frozen=True)
class Sandbox:
    """What a sandboxed program sees.

    ``root`` is a directory on the host that becomes ``/``. ``binds`` are pairs of a
    host path and an absolute path in the new root. ``argv`` is looked up in ``path``
    inside the new root; ``cwd`` is a path inside it as well. ``writable`` false makes
    the new root read-only (binds stay as they are). ``netns`` is the path of a network
    namespace to enter first, or empty. ``env`` replaces the whole environment.
    """

    root: str
    argv: list[str]
    binds: list[tuple[str, str]] = field(default_factory=list)
    cwd: str = "/"
    writable: bool = True
    netns: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def command(self) -> list[str]:
        """Return the argv that starts this sandbox in a new process."""
        return [sys.executable, "-I", str(Path(__file__).resolve()), json.dumps(asdict(self))]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """Call mount(2). Raises OSError naming the target."""
    result = _libc().mount(
        source.encode(),
        target.encode(),
        fstype.encode() or None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(result, f"mount {target}")


def enter_mount_namespace() -> None:
    """Leave the caller's mount namespace; later mounts stay with this process."""
    _check(_libc().unshare(_CLONE_NEWNS), "unshare")
    mount("none", "/", flags=_MS_REC | _MS_PRIVATE)


def enter_network(path: str) -> None:
    """Enter the network namespace whose file is ``path``."""
    with open(path, "rb") as handle:
        _check(_libc().setns(handle.fileno(), 0x40000000), f"enter {path}")


def bind(source: str, target: str, recursive: bool = False) -> None:
    """Bind ``source`` to ``target`` (created when absent, a file for a file)."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    mount(source, target, flags=_MS_BIND | (_MS_REC if recursive else 0))


def _devices(root: str) -> None:
    dev = f"{root}/dev"
    os.makedirs(dev, exist_ok=True)
    mount("tmpfs", dev, "tmpfs", _MS_NOSUID, "mode=755,size=1m")
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):
            bind(f"/dev/{name}", f"{dev}/{name}")
    for name, target in (
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        os.symlink(target, f"{dev}/{name}")
    os.makedirs(f"{dev}/pts", exist_ok=True)
    os.makedirs(f"{dev}/shm", mode=0o1777, exist_ok=True)
    mount("devpts", f"{dev}/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", f"{dev}/ptmx")


def _pivot(root: str) -> None:
    os.chdir(root)
    # Stacking the old root over the new one and detaching it needs no directory in it.
    machine = os.uname().machine
    _check(_libc().syscall(_SYS_PIVOT_ROOT[machine], b".", b"."), "pivot_root")
    _check(_libc().umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def run(box: Sandbox) -> None:
    """Replace this process by the sandboxed program. Raises OSError when it cannot."""
    if box.netns:
        enter_network(box.netns)
    enter_mount_namespace()
    mount(box.root, box.root, flags=_MS_BIND)
    for name in ("proc", "dev", "sys", "run", "tmp"):
        os.makedirs(f"{box.root}/{name}", exist_ok=True)
    for source, target in box.binds:
        bind(source, box.root + target, recursive=True)
    _devices(box.root)
    mount("proc", f"{box.root}/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    if not box.writable:
        mount("none", box.root, flags=_MS_BIND | 32 | _MS_RDONLY)
    _pivot(box.root)
    os.chdir(box.cwd)
    os.execvpe(box.argv[0], box.argv, box.env)


def main() -> None:
    """Entry point of the script form."""
    fields = json.loads(sys.argv[1])
    fields["binds"] = [tuple(pair) for pair in fields["binds"]]
    run(Sandbox(**fields))


if __name__ == "__main__":
    main()
