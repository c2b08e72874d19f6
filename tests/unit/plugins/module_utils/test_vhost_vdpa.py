# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of a vhost-vdpa device file: opened, asked, closed; and what each refusal means."""

from __future__ import annotations

import errno
import os
import struct
import threading

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vhost_vdpa
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import (
    GET_DEVICE_ID,
    GET_FEATURES,
    USABLE,
    Answer,
    check_node,
    held,
)


class Kernel:
    """Answers ioctls of a device of a kind; ``fails`` by request with an errno."""

    def __init__(self, kind: int = 1, features: int = 0x300000020, **fails: int) -> None:
        self.answers = {GET_DEVICE_ID: struct.pack("=I", kind), GET_FEATURES: struct.pack("=Q", features)}
        self.fails = {getattr(_vhost_vdpa, name): code for name, code in fails.items()}
        self.asked: list[int] = []

    def __call__(self, descriptor, request, argument):
        os.fstat(descriptor)
        self.asked.append(request)
        if request in self.fails:
            raise OSError(self.fails[request], os.strerror(self.fails[request]))
        assert len(argument) == len(self.answers[request])
        return self.answers[request]


@pytest.fixture
def host(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vhost-vdpa-0").touch()
    return Host(root=str(tmp_path))


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_requests_are_those_of_the_kernel():
    read = 2 << 30
    assert read | 4 << 16 | 0xAF << 8 | 0x70 == GET_DEVICE_ID
    assert read | 8 << 16 | 0xAF << 8 | 0x00 == GET_FEATURES


def test_a_device_that_works(host):
    kernel, before = Kernel(), opened()
    assert check_node(host, "vhost-vdpa-0", ioctl=kernel) == Answer(USABLE, 0x300000020)
    assert kernel.asked == [GET_DEVICE_ID, GET_FEATURES]
    assert opened() == before


def test_a_device_of_another_kind(host):
    assert check_node(host, "vhost-vdpa-0", ioctl=Kernel(2)).seen.endswith("is no network device: its virtio id is 2")
    assert check_node(host, "vhost-vdpa-0", network=False, ioctl=Kernel(2)).seen == USABLE


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.EBUSY, USABLE),
        (_vhost_vdpa.ENOTSUPP, "behind no IOMMU that keeps caches coherent"),
        (errno.ENXIO, "belongs to no device any more"),
        (errno.EACCES, "/dev/vhost-vdpa-0: Permission denied"),
    ],
)
def test_a_device_that_does_not_open(host, monkeypatch, code, told):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(_vhost_vdpa.os, "open", refuse)
    answer = check_node(host, "vhost-vdpa-0", ioctl=Kernel())
    assert told in answer.seen and answer.features is None


def test_a_device_that_does_not_answer_right(host):
    before = opened()
    assert "Input/output error" in check_node(host, "vhost-vdpa-0", ioctl=Kernel(GET_DEVICE_ID=errno.EIO)).seen
    assert opened() == before


@pytest.fixture
def device(host, tmp_path):
    """The entry of a device's file on the bus."""
    entry = tmp_path / "sys/bus/vdpa/devices/one/vhost-vdpa-0"
    entry.mkdir(parents=True)
    return entry


def test_a_file_is_ours_until_it_is_gone(host, device):
    before = opened()
    with held(host, ["one"]):
        assert opened() == before + 1
        device.rmdir()
        host.wait_for(lambda: opened() == before, 5, "the file to be let go")
    assert opened() == before


@pytest.mark.parametrize("names", [["one"], [], ["none"]])
def test_what_stays_is_let_go_too(host, device, names):
    before = opened()
    with pytest.raises(OSError, match="the kernel says no"), held(host, names):
        raise OSError("the kernel says no")
    assert opened() == before


def test_who_has_it_open_is_not_waited_for(host, device, tmp_path, monkeypatch):
    (tmp_path / "sys/bus/vdpa/devices/two/vhost-vdpa-1").mkdir(parents=True)
    (tmp_path / "dev/vhost-vdpa-1").touch()
    before, real = opened(), os.open

    def busy(path, *more):
        if path.endswith("vhost-vdpa-1"):
            raise OSError(errno.EBUSY, "busy")
        return real(path, *more)

    monkeypatch.setattr(_vhost_vdpa.os, "open", busy)
    told = "two stays as it is: somebody has /dev/vhost-vdpa-1 open"
    with pytest.raises(FastpathError, match=told), held(host, ["one", "two"]):
        raise AssertionError
    monkeypatch.undo()
    assert opened() == before


def test_a_file_that_nobody_can_open_holds_nobody_up(host, device, tmp_path):
    (tmp_path / "dev/vhost-vdpa-0").unlink()
    before = opened()
    with held(host, ["one"]):
        assert opened() == before


def test_a_device_without_a_file(host):
    assert check_node(host, "vhost-vdpa-9", ioctl=Kernel()) == Answer("there is no /dev/vhost-vdpa-9")


def test_a_device_whose_program_is_dead(host):
    released = threading.Event()

    def never(*_):
        released.wait(5)
        raise OSError(errno.EIO, "late")

    assert check_node(host, "vhost-vdpa-0", ioctl=never, seconds=0.05).seen.endswith("has not answered for 0.05 s")
    released.set()
