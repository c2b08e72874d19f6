# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whether a VFIO group can really be used.

A function that is bound to vfio-pci proves little: without interrupt remapping the first program that sets
the IOMMU is turned away. So this does what such a program does first, and closes everything again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

USABLE = "usable"
# linux/vfio.h: _IO(';', 100 + n)
SET_IOMMU, GROUP_GET_STATUS, GROUP_SET_CONTAINER = 0x3B66, 0x3B67, 0x3B68
TYPE1V2_IOMMU, NOIOMMU_IOMMU = 3, 8
GROUP_VIABLE = 1
_STATUS = struct.Struct("=II")

Ioctl = Callable[[int, int, Any], Any]


def check_group(host: Host, group: int, ioctl: Ioctl = fcntl.ioctl) -> str:
    """``usable``, or one sentence that says why not. A group that somebody uses is proof enough."""
    noiommu = host.exists(f"/dev/vfio/noiommu-{group}")
    path = f"/dev/vfio/noiommu-{group}" if noiommu else f"/dev/vfio/{group}"
    opened: list[int] = []
    try:
        opened.append(os.open(host.path(path), os.O_RDWR))
        status = _STATUS.unpack(ioctl(opened[0], GROUP_GET_STATUS, _STATUS.pack(_STATUS.size, 0)))
        if not status[1] & GROUP_VIABLE:
            return f"group {group} is not viable: another function in it has a driver of the kernel"
        opened.append(os.open(host.path("/dev/vfio/vfio"), os.O_RDWR))
        ioctl(opened[0], GROUP_SET_CONTAINER, struct.pack("=i", opened[1]))
        ioctl(opened[1], SET_IOMMU, NOIOMMU_IOMMU if noiommu else TYPE1V2_IOMMU)
    except OSError as error:
        return USABLE if error.errno == errno.EBUSY else _reason(path, error, len(opened))
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return USABLE


def _reason(path: str, error: OSError, opened: int) -> str:
    if opened < 1 and error.errno == errno.ENOENT:
        return f"there is no {path}"
    if opened == 2 and error.errno == errno.EPERM:
        return "the IOMMU refuses: it has no interrupt remapping, without which a device could inject interrupts"
    return f"{path}: {error.strerror}"
