# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Feature bits of virtio network devices, by the names that the tool ``vdpa`` prints. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

BITS: dict[str, int] = {
    "CSUM": 0,
    "GUEST_CSUM": 1,
    "CTRL_GUEST_OFFLOADS": 2,
    "MTU": 3,
    "MAC": 5,
    "GUEST_TSO4": 7,
    "GUEST_TSO6": 8,
    "GUEST_ECN": 9,
    "GUEST_UFO": 10,
    "HOST_TSO4": 11,
    "HOST_TSO6": 12,
    "HOST_ECN": 13,
    "HOST_UFO": 14,
    "MRG_RXBUF": 15,
    "STATUS": 16,
    "CTRL_VQ": 17,
    "CTRL_RX": 18,
    "CTRL_VLAN": 19,
    "CTRL_RX_EXTRA": 20,
    "GUEST_ANNOUNCE": 21,
    "MQ": 22,
    "CTRL_MAC_ADDR": 23,
    "NOTIFY_ON_EMPTY": 24,
    "ANY_LAYOUT": 27,
    "RING_INDIRECT_DESC": 28,
    "RING_EVENT_IDX": 29,
    "VERSION_1": 32,
    "ACCESS_PLATFORM": 33,
    "RING_PACKED": 34,
    "IN_ORDER": 35,
    "ORDER_PLATFORM": 36,
    "SR_IOV": 37,
    "NOTIFICATION_DATA": 38,
    "HASH_REPORT": 57,
    "RSS": 60,
    "RSC_EXT": 61,
    "STANDBY": 62,
    "SPEED_DUPLEX": 63,
}
LIMIT = 2**64
# An attribute means something only where the device offers its feature.
FEATURE_OF = {"mac": "MAC", "mtu": "MTU", "max_vqp": "MQ"}
_NAMES = {bit: name for name, bit in BITS.items()}


def mask(features: Iterable[str | int]) -> int:
    """One number out of names and, for what has no name, bits, as ``vdpa -j`` lists them. Unknown names are nothing."""
    bits = {feature if isinstance(feature, int) else BITS.get(feature) for feature in features}
    return sum(1 << bit for bit in bits if bit is not None)


def names(features: int) -> list[str]:
    """The other way round, in the order of the bits."""
    return [_NAMES.get(bit, f"bit_{bit}") for bit in range(64) if features >> bit & 1]
