# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A virtio device's own MAC address, also while the device is in the hands of a program.

Its PF may filter by that address, so a pod has to use it, and no driver of the kernel is bound that would tell. Virtio
1.0 has a window into the device's configuration within its PCI configuration space; that is read here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import DEVICES

# Vendor 1af4: a network device of virtio 1.0, and a transitional one.
VENDOR, NETWORK = 0x1AF4, (0x1041, 0x1000)
# The header of PCI: where the list of capabilities begins. Vendor capabilities of virtio have types of their own.
_FIRST, _VENDOR_CAPABILITY = 0x34, 0x09
_DEVICE_CONFIG, _WINDOW = 4, 5
_MAC_LENGTH = 6


def mac_of(host: Host, address: str) -> str:
    """The address in lower case; empty where the device is no such one, or does not say."""
    try:
        descriptor = os.open(host.path(f"{DEVICES}/{address}/config"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _read(descriptor)
    except (OSError, struct.error, IndexError):
        return ""
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> str:
    vendor, device = struct.unpack("<HH", os.pread(descriptor, 4, 0))
    if vendor != VENDOR or device not in NETWORK:
        return ""
    places = dict(_capabilities(descriptor))
    if _DEVICE_CONFIG not in places or _WINDOW not in places:
        return ""
    base = os.pread(descriptor, 1, places[_DEVICE_CONFIG] + 4)
    (start,) = struct.unpack("<I", os.pread(descriptor, 4, places[_DEVICE_CONFIG] + 8))
    content = b"".join(
        _through_window(descriptor, places[_WINDOW], base, start + part, size) for part, size in ((0, 4), (4, 2))
    )
    # All zeros, all ones (nobody answered) and groups are no device's address.
    if len(content) != _MAC_LENGTH or not any(content) or content[0] & 1:
        return ""
    return ":".join(f"{number:02x}" for number in content)


def _capabilities(descriptor: int) -> Iterator[tuple[int, int]]:
    """Type and place of virtio's capabilities; a list that never ends is left after as many as there can be."""
    place = os.pread(descriptor, 1, _FIRST)[0] & 0xFC
    for _number in range(48):
        if not place:
            return
        kind, following, _length, virtio = struct.unpack("<4B", os.pread(descriptor, 4, place))
        if kind == _VENDOR_CAPABILITY:
            yield virtio, place
        place = following & 0xFC


def _through_window(descriptor: int, window: int, base: bytes, start: int, size: int) -> bytes:
    os.pwrite(descriptor, base, window + 4)
    os.pwrite(descriptor, struct.pack("<II", start, size), window + 8)
    return os.pread(descriptor, size, window + 16)
