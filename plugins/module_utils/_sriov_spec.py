# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The SR-IOV part of the desired state: typed, validated, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem


@dataclass(frozen=True)
class PfSelector:
    """How a PF is named; all fields that are set must match, and exactly one PF must."""

    address: str | None = None
    netdev: str | None = None
    mac: str | None = None
    vendor: str | None = None
    device: str | None = None
    numa_node: int | None = None


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


@dataclass(frozen=True)
class VfGroup:
    """VFs that share driver and attributes. ``driver`` None: left unbound; "kernel": the device's own."""

    indexes: tuple[int, ...]
    driver: str | None
    pool: str | None
    attributes: VfAttributes


@dataclass(frozen=True)
class PfSpec:
    """One PF with its VFs. VFs in no group keep their kernel driver."""

    selector: PfSelector
    num_vfs: int
    groups: tuple[VfGroup, ...]
    mtu: int | None = None


def parse_sriov(spec: Any, variable: str = "fastpath_sriov") -> tuple[tuple[PfSpec, ...], list[Problem]]:
    """Validate ``fastpath_sriov``; all problems at once (unknown keys, types, ranges, overlaps)."""
    raise NotImplementedError
