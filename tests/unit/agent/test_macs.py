# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device's own MAC address out of its PCI configuration space, with a model of virtio's window."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from fastpath_agent import macs
from fastpath_agent.macs import mac_of
from hypothesis import given
from hypothesis import strategies as st

ADDRESS = "0000:02:00.3"
MAC = bytes.fromhex("525400123456")
BAR, OFFSET = 4, 0x2000


def space(vendor=0x1AF4, device=0x1041, kinds=(1, 4, 5)) -> bytearray:
    """A configuration space with virtio's capabilities, and one of another kind before them."""
    content = bytearray(256)
    struct.pack_into("<HH", content, 0, vendor, device)
    content[0x34] = 0x40
    content[0x40:0x42] = bytes((0x11, 0x50))
    for number, kind in enumerate(kinds):
        place = 0x50 + 0x20 * number
        following = place + 0x20 if number + 1 < len(kinds) else 0
        struct.pack_into("<BBBBB3xII", content, place, 0x09, following, 20, kind, BAR, OFFSET, 0x1000)
    return content


@pytest.fixture
def device(tmp_path, monkeypatch):
    """What is read at the end of the window is what the device has at the place that was written before."""
    path = tmp_path / f"sys/bus/pci/devices/{ADDRESS}/config"
    path.parent.mkdir(parents=True)
    memory = {BAR: bytes(OFFSET) + MAC + bytes(64)}
    real = os.pread

    def pread(descriptor, size, place):
        window = 0x50 + 0x20 * 2
        if place != window + 16:
            return real(descriptor, size, place)
        (start, length) = struct.unpack("<II", real(descriptor, 8, window + 8))
        assert length == size
        return memory[real(descriptor, 1, window + 4)[0]][start : start + size]

    monkeypatch.setattr(macs.os, "pread", pread)
    path.write_bytes(space())
    return Host(str(tmp_path)), path, memory


def test_a_virtio_device(device):
    assert mac_of(device[0], ADDRESS) == "52:54:00:12:34:56"


@pytest.mark.parametrize(
    "content",
    [
        space(vendor=0x8086, device=0x10CA),
        space(device=0x1042),
        space(kinds=(1, 4)),
        space(kinds=(5,)),
        space(kinds=()),
        space()[:64],
        bytearray(),
    ],
    ids=["another vendor", "a block device", "no window", "no configuration", "nothing", "without rights", "empty"],
)
def test_what_has_no_address(device, content):
    device[1].write_bytes(content)
    assert mac_of(device[0], ADDRESS) == ""


@pytest.mark.parametrize("answer", [b"\xff" * 64, bytes(64), b"\x01\x00\x5e\x00\x00\x01"])
def test_what_is_no_address(device, answer):
    device[2][BAR] = bytes(OFFSET) + answer
    assert mac_of(device[0], ADDRESS) == ""


def test_a_list_that_never_ends(device):
    content = space()
    content[0x41] = 0x40
    device[1].write_bytes(content)
    assert mac_of(device[0], ADDRESS) == ""


def test_no_device(tmp_path):
    assert mac_of(Host(str(tmp_path)), ADDRESS) == ""


@given(st.binary(max_size=256))
def test_no_content_is_too_odd(tmp_path_factory, content):
    root = tmp_path_factory.mktemp("node")
    path = root / f"sys/bus/pci/devices/{ADDRESS}/config"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(space()[:4]) + content)
    assert len(mac_of(Host(str(root)), ADDRESS)) in (0, 17)
