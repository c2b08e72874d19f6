# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whether a vhost-vdpa device file can really be used, and how one is taken away that nobody uses.

That the file is there proves little: only when it is opened does the kernel reset the device and take an IOMMU
domain for it. So this does what a program does first, asks the device what it is, and closes it again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._bounded import NoAnswer, within
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import VDPA_DEVICES

USABLE = "usable"
# linux/vhost.h: _IOR(0xAF, 0x70, __u32) and _IOR(0xAF, 0x00, __u64)
GET_DEVICE_ID, GET_FEATURES = 0x8004AF70, 0x8008AF00
NETWORK_ID = 1
# The kernel's own ENOTSUPP, which it does not translate for programs.
ENOTSUPP = 524
OPEN_SECONDS = 45.0
HELD_POLL_SECONDS = 0.01
_U32, _U64 = struct.Struct("=I"), struct.Struct("=Q")

Ioctl = Callable[[int, int, Any], Any]


@dataclass(frozen=True)
class Answer:
    """``seen``: ``usable``, or one sentence that says why not. ``features``: None where it could not be asked."""

    seen: str
    features: int | None = None


def check_node(
    host: Host, node: str, network: bool = True, ioctl: Ioctl = fcntl.ioctl, seconds: float = OPEN_SECONDS
) -> Answer:
    """A device that somebody has open is proof enough. A program behind VDUSE may be dead, and is not waited for."""
    try:
        return within(seconds, lambda: _ask(host, f"/dev/{node}", network, ioctl))
    except NoAnswer:
        return Answer(f"/dev/{node} has not answered for {seconds:g} s")


@contextmanager
def held(host: Host, names: Iterable[str]) -> Iterator[None]:
    """Take vDPA devices away inside of this: their device files are ours meanwhile, so nobody else comes in between.

    The kernel lets in one at a time. It takes a file away first and then waits, without end, for who has it open; that
    is us, and we let go as soon as the file is gone. FastpathError where somebody has one open: the kernel knows users
    that no process table shows.
    """
    doors: dict[str, int] = {}
    over = threading.Event()
    keeper = threading.Thread(target=_let_go, args=(host, doors, over), daemon=True)
    try:
        for name in names:
            doors.update(_taken(host, name))
        if doors:
            keeper.start()
        yield
    finally:
        over.set()
        if keeper.ident is not None:
            keeper.join()
        for descriptor in doors.values():
            os.close(descriptor)


def _taken(host: Host, name: str) -> dict[str, int]:
    """Descriptor by the entry that goes with the device file. Who cannot open it is kept out by something else."""
    folder = f"{VDPA_DEVICES}/{name}"
    for node in (child for child in host.listdir(folder) if child.startswith("vhost-vdpa-")):
        try:
            return {f"{folder}/{node}": os.open(host.path(f"/dev/{node}"), os.O_RDWR)}
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise FastpathError(
                    f"vDPA device {name} stays as it is: somebody has /dev/{node} open, though no process of this node "
                    "shows it. Move its users away first."
                ) from error
    return {}


def _let_go(host: Host, doors: dict[str, int], over: threading.Event) -> None:
    while doors and not over.is_set():
        for entry in [entry for entry in doors if not host.exists(entry)]:
            os.close(doors.pop(entry))
        over.wait(HELD_POLL_SECONDS)


def _ask(host: Host, path: str, network: bool, ioctl: Ioctl) -> Answer:
    try:
        descriptor = os.open(host.path(path), os.O_RDWR)
    except OSError as error:
        return Answer(USABLE if error.errno == errno.EBUSY else _reason(path, error))
    try:
        (kind,) = _U32.unpack(ioctl(descriptor, GET_DEVICE_ID, _U32.pack(0)))
        if network and kind != NETWORK_ID:
            return Answer(f"{path} is no network device: its virtio id is {kind}")
        (features,) = _U64.unpack(ioctl(descriptor, GET_FEATURES, _U64.pack(0)))
        return Answer(USABLE, features)
    except OSError as error:
        return Answer(_reason(path, error))
    finally:
        os.close(descriptor)


def _reason(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"there is no {path}"
    if error.errno == ENOTSUPP:
        return f"{path}: its device is behind no IOMMU that keeps caches coherent, so no program may have it"
    if error.errno == errno.ENXIO:
        return f"{path} belongs to no device any more"
    return f"{path}: {error.strerror}"
