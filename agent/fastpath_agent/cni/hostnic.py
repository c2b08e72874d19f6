# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hostNic.json``: addresses that an administrator gives to VFs, a list of pciAddress, ipAddr, ipMask and mac.

An optional ``gateway`` is understood as well. Only the entry of the VF in question is looked at closely: a mistake
in another one is that one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpath_agent.cni.addresses import cidr, ip_address, mac_address
from fastpath_agent.cni.errors import INVALID_CONFIG, CniError
from fastpath_agent.cni.request import decode

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class HostNic:
    """Empty texts: the file does not say."""

    mac: str = ""
    address: str = ""
    gateway: str = ""


def parse_host_nic(content: bytes, device: str, path: str) -> HostNic | None:
    """The device's entry; None where it has none."""
    try:
        entries = decode(content.decode("utf-8"))
    except (CniError, UnicodeDecodeError) as broken:
        raise CniError(INVALID_CONFIG, f"{path}: no JSON list of objects with pciAddress") from broken
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CniError(INVALID_CONFIG, f"{path}: no JSON list of objects with pciAddress")
    fitting = [entry for entry in entries if str(entry.get("pciAddress", "")).lower() == device.lower()]
    if len(fitting) > 1:
        raise CniError(INVALID_CONFIG, f"{path}: {device} has {len(fitting)} entries; one is right")
    return _entry(fitting[0], f"{path}: entry of {device}") if fitting else None


def _entry(entry: Mapping[str, Any], where: str) -> HostNic:
    try:
        return HostNic(
            mac_address(entry["mac"]) if entry.get("mac") else "",
            cidr(entry["ipAddr"], entry.get("ipMask")) if entry.get("ipAddr") else "",
            ip_address(entry["gateway"]) if entry.get("gateway") else "",
        )
    except ValueError as wrong:
        raise CniError(INVALID_CONFIG, f"{where}: {wrong}") from wrong
