# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of a VFIO group: the order of what a program does, and what each refusal means."""

from __future__ import annotations

import errno
import os
import struct

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vfio
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._vfio import USABLE, check_group


class Kernel:
    """Answers ioctls; ``fails`` by request with an errno."""

    def __init__(self, flags: int = 1, **fails: int) -> None:
        self.flags = flags
        self.fails = {getattr(_vfio, name): code for name, code in fails.items()}
        self.asked: list[tuple[int, object]] = []

    def __call__(self, descriptor, request, argument):
        os.fstat(descriptor)
        self.asked.append((request, argument))
        if request in self.fails:
            raise OSError(self.fails[request], os.strerror(self.fails[request]))
        return struct.pack("=II", 8, self.flags)


@pytest.fixture
def host(tmp_path):
    (tmp_path / "dev/vfio").mkdir(parents=True)
    for name in ("vfio", "13", "noiommu-7"):
        (tmp_path / "dev/vfio" / name).touch()
    return Host(root=str(tmp_path))


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize(("group", "iommu"), [(13, _vfio.TYPE1V2_IOMMU), (7, _vfio.NOIOMMU_IOMMU)])
def test_a_group_that_works(host, group, iommu):
    kernel, before = Kernel(), opened()
    assert check_group(host, group, kernel) == USABLE
    requests = [request for request, _argument in kernel.asked]
    assert requests == [_vfio.GROUP_GET_STATUS, _vfio.GROUP_SET_CONTAINER, _vfio.SET_IOMMU]
    assert kernel.asked[2][1] == iommu
    assert opened() == before


@pytest.mark.parametrize(
    ("kernel", "told"),
    [
        (Kernel(flags=0), "not viable"),
        (Kernel(SET_IOMMU=errno.EPERM), "no interrupt remapping"),
        (Kernel(SET_IOMMU=errno.ENODEV), "No such device"),
        (Kernel(GROUP_SET_CONTAINER=errno.EINVAL), "Invalid argument"),
    ],
)
def test_a_group_that_does_not_work(host, kernel, told):
    before = opened()
    assert told in check_group(host, 13, kernel)
    assert opened() == before


def test_a_group_that_somebody_uses_works(host):
    assert check_group(host, 13, Kernel(GROUP_SET_CONTAINER=errno.EBUSY)) == USABLE


def test_a_group_without_a_device_file(host):
    assert check_group(host, 99, Kernel()) == "there is no /dev/vfio/99"
