# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that users write: MAC, IPv4 and IPv6 with masks in either form, routes."""

from __future__ import annotations

import ipaddress
import re

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
PCI_ADDRESS = re.compile(r"[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]")


def mac_address(text: object) -> str:
    """Lower case with colons; ValueError where no interface can have that address."""
    if not isinstance(text, str) or not _MAC.fullmatch(text):
        raise ValueError("must be a MAC address such as 02:00:5e:10:00:01")
    mac = text.lower().replace("-", ":")
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise ValueError("must be the address of one interface: neither a group's nor all zeros")
    return mac


def cidr(address: object, mask: object) -> str:
    """``192.0.2.1`` with ``255.255.255.0`` or ``24``, an IPv6 address with a prefix length; ValueError else."""
    if not isinstance(address, str) or not isinstance(mask, (str, int)) or isinstance(mask, bool):
        raise ValueError("must be an IP address and a mask, both as text")
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ":" in str(mask):
        mask = _prefix_length(str(mask))
    interface = ipaddress.ip_interface(f"{ip}/{mask}")
    if interface.network.prefixlen == 0 or interface.ip.is_multicast or interface.ip.is_unspecified:
        raise ValueError(f"{interface} is no address of an interface")
    return str(interface)


def _prefix_length(mask: str) -> int:
    """Of an IPv6 mask that is written as an address, which the standard library does not read."""
    bits = f"{int(ipaddress.IPv6Address(mask)):0128b}"
    ones = bits.rstrip("0")
    if "0" in ones:
        raise ValueError(f"{mask} is no mask")
    return len(ones)


def ip_interface(text: object) -> str:
    """An address in CIDR notation, in its shortest spelling."""
    if not isinstance(text, str) or "/" not in text:
        raise ValueError("must be an address with a prefix length, such as 192.0.2.1/24")
    return str(ipaddress.ip_interface(text))


def ip_address(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError("must be an IP address")
    return str(ipaddress.ip_address(text))


def ip_network(text: object) -> str:
    """A route's destination; bits past the mask are dropped, as the reference library does."""
    if not isinstance(text, str) or "/" not in text:
        raise ValueError("must be a network such as 198.51.100.0/24")
    return str(ipaddress.ip_network(text, strict=False))


def version_of(address: str) -> str:
    return str(ipaddress.ip_interface(address).version)


def pci_address(text: object) -> str:
    if not isinstance(text, str) or not PCI_ADDRESS.fullmatch(text):
        raise ValueError("must be a PCI address such as 0000:02:00.3")
    return text.lower()
