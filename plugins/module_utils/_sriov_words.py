# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The words for SR-IOV that others use too: how a PF is named, and what a VF can have. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read


@dataclass(frozen=True)
class PfSelector:
    """How a PF is named; all fields that are set must match, and exactly one PF must."""

    address: str | None = None
    netdev: str | None = None
    mac: str | None = None
    vendor: str | None = None
    device: str | None = None
    numa_node: int | None = None

    def __str__(self) -> str:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)


@dataclass(frozen=True)
class VfAttributes:
    """What is set through the PF (``ip link set PF vf N``); None leaves it alone. Rates in Mbit/s."""

    mac: str | None = None
    vlan: int | None = None
    qos: int | None = None
    trust: bool | None = None
    spoofchk: bool | None = None
    min_rate: int | None = None
    max_rate: int | None = None
    link_state: str | None = None

    def given(self) -> dict[str, Any]:
        """Only what is asked for."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


NOTHING = VfAttributes()


SELECTOR_FIELDS: dict[str, Callable[[Any], Any]] = {
    "address": read.address,
    "netdev": read.netdev,
    "mac": read.mac,
    "vendor": read.pci_id,
    "device": read.pci_id,
    "numa_node": lambda value: read.integer(value, 0, 1023),
}
