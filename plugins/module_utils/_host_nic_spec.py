# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which addresses VFs are to be given in ``hostNic.json``: typed, validated, no I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import Wrong, boolean, integer

KEYS = ("pool", "network", "first", "per_node", "mac", "gateway")
DEFAULT_PER_NODE = 16


@dataclass(frozen=True)
class HostNics:
    """Addresses of one pool. Each node has a block of ``per_node`` of them, from ``first`` on.

    ``mac``: whether MAC addresses are made as well; without, a VF keeps its own.
    """

    pool: str
    network: ipaddress.IPv4Network
    first: ipaddress.IPv4Address
    per_node: int = DEFAULT_PER_NODE
    mac: bool = False
    gateway: ipaddress.IPv4Address | None = None
    variable: str = ""

    @property
    def blocks(self) -> int:
        """How many nodes there is room for."""
        return max(0, (int(self.network.broadcast_address) - int(self.first)) // self.per_node)


def parse_host_nics(given: Any, pools: Sequence[str], variable: str, problems: list[Problem]) -> tuple[HostNics, ...]:
    found = []
    for where, entry in read.entries(given, variable, "pools with the network of their addresses", problems):
        parsed = _host_nics(entry, pools, where, problems)
        if parsed is not None:
            found.append(parsed)
    _check_together(found, problems)
    return tuple(found)


def _host_nics(entry: Any, pools: Sequence[str], variable: str, problems: list[Problem]) -> HostNics | None:
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, "must be a mapping with the keys pool and network"))
        return None
    before = len(problems)
    problems += unknown_keys(entry, KEYS, variable)
    values = {key: item for key, item in read.values(entry, _READERS, variable, problems).items() if item is not None}
    for key in ("pool", "network"):
        if entry.get(key) is None:
            problems.append(Problem(f"{variable}.{key}", None, "is missing"))
    if len(problems) > before:
        return None
    if values["pool"] not in pools:
        shape = f"is no pool of the node agent.{nearest(values['pool'], pools)} There are {', '.join(pools) or 'none'}"
        problems.append(Problem(f"{variable}.pool", values["pool"], shape))
        return None
    network = values["network"]
    made = HostNics(**{"first": network.network_address + 1, **values}, variable=variable)
    return made if _fits(made, entry, problems) else None


def _fits(made: HostNics, entry: Mapping[str, Any], problems: list[Problem]) -> bool:
    before = len(problems)
    for key, address in (("first", made.first), ("gateway", made.gateway)):
        if address is not None and address not in made.network:
            problems.append(Problem(f"{made.variable}.{key}", entry[key], f"is not in {made.network}"))
    if len(problems) == before and made.blocks < 1:
        shape = f"is more than {made.network} has from {made.first} on"
        problems.append(Problem(f"{made.variable}.per_node", made.per_node, shape))
    if made.gateway is not None and made.gateway >= made.first and len(problems) == before:
        shape = f"is among the addresses that VFs get, from {made.first} on: choose one before it, or another first"
        problems.append(Problem(f"{made.variable}.gateway", str(made.gateway), shape))
    return len(problems) == before


def _check_together(found: Sequence[HostNics], problems: list[Problem]) -> None:
    for number, one in enumerate(found):
        for other in found[:number]:
            if one.pool == other.pool:
                problems.append(Problem(f"{one.variable}.pool", one.pool, f"stands also in {other.variable}"))
            elif one.network.overlaps(other.network):
                shape = f"overlaps {other.network} of {other.variable}: an address is there once"
                problems.append(Problem(f"{one.variable}.network", str(one.network), shape))


def _network(value: Any) -> ipaddress.IPv4Network:
    try:
        found = ipaddress.IPv4Network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        found = None
    if found is None or found.prefixlen > 30:
        raise Wrong("must be an IPv4 network of at least four addresses, such as 192.0.2.0/24")
    return found


def _address(value: Any) -> ipaddress.IPv4Address:
    try:
        if not isinstance(value, str):
            raise ValueError
        return ipaddress.IPv4Address(value)
    except ValueError as wrong:
        raise Wrong("must be an IPv4 address, such as 192.0.2.10") from wrong


_READERS: Mapping[str, read.Reader] = {
    "pool": str,
    "network": _network,
    "first": _address,
    "per_node": lambda value: integer(value, 1, 4096),
    "mac": boolean,
    "gateway": _address,
}
