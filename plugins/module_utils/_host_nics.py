# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. ``hostNic.json``: addresses for VFs, unique in the cluster. No I/O.

Each node has a number, which it keeps, and with it a block of each network. So nothing that others have changes when
nodes come or go, and a run that sees only some of the nodes gives no address twice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host_nic_spec import HostNics

# Locally administered and unicast; the last four bytes are the address.
MAC_PREFIX = (0x02, 0xFA)


def plan_numbers(asked: Iterable[str], former: Mapping[str, int]) -> dict[str, int]:
    """A number for each node that asks for one: its own, else the lowest that is free."""
    found: dict[str, int] = {}
    taken = _owners(former)
    for name in sorted(asked):
        number = former.get(name)
        if number is None or taken[number] != name:
            number = next(free for free in range(len(taken) + 1) if free not in taken)
            taken[number] = name
        found[name] = number
    return found


def _owners(former: Mapping[str, int]) -> dict[int, str]:
    """Who keeps a number that somebody wrote on two nodes: the first by name."""
    owners: dict[int, str] = {}
    for name, number in sorted(former.items()):
        owners.setdefault(number, name)
    return owners


def host_nics(
    networks: Sequence[HostNics], number: int, addresses: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Entries of one node. ``addresses``: PCI addresses by pool, always in the same order."""
    problems: list[Problem] = []
    entries = []
    for network in networks:
        devices = list(addresses.get(network.pool, ()))
        problems += _no_room(network, number, len(devices))
        if not problems:
            entries += [_entry(network, number, place, device) for place, device in enumerate(devices)]
    if problems:
        raise Refused(problems)
    return sorted(entries, key=lambda entry: entry["pciAddress"])


def _no_room(network: HostNics, number: int, devices: int) -> list[Problem]:
    if devices > network.per_node:
        shape = f"is less than the {devices} VFs that {network.pool} has on a node"
        return [Problem(f"{network.variable}.per_node", network.per_node, shape)]
    if number >= network.blocks:
        shape = (
            f"has room for {network.blocks} nodes with {network.per_node} addresses each, from {network.first} on, and "
            f"there are more: take a larger network, or a smaller per_node"
        )
        return [Problem(f"{network.variable}.network", str(network.network), shape)]
    return []


def _entry(network: HostNics, number: int, place: int, device: str) -> dict[str, str]:
    address = network.first + number * network.per_node + place
    found = {"pciAddress": device, "ipAddr": str(address), "ipMask": str(network.network.netmask)}
    if network.mac:
        found["mac"] = mac_of(address)
    if network.gateway is not None:
        found["gateway"] = str(network.gateway)
    return found


def mac_of(address: ipaddress.IPv4Address) -> str:
    """Another one for each address."""
    return ":".join(f"{byte:02x}" for byte in (*MAC_PREFIX, *address.packed))
