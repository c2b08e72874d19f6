# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. ``hostNic.json`` of each node: an IP and a MAC address for every VF, none of them twice in the cluster.

Where an address lies in the subnet follows from the names of node and VF, and what was given before is kept. So a node
that comes or goes changes nothing for the others. No I/O.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import (
    FastpathError,
    Problem,
    Refused,
    unknown_keys,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import Wrong, address

try:
    import netaddr
except ImportError:
    netaddr = None

VARIABLE = "fastpath_host_nics"
KEYS = ("subnet", "gateway", "exclude", "mac_prefix")
# Locally administered, of one interface.
MAC_PREFIX = "02"
MAX_PREFIX = 3
OCTETS = 6

# A VF is known by its node and its PCI address.
Vf = tuple[str, str]


@dataclass(frozen=True)
class HostNicSpec:
    """``usable``: first and last number of each part of the subnet that VFs can have."""

    version: int
    length: int
    mask: str
    usable: tuple[tuple[int, int], ...]
    gateway: str = ""
    mac_prefix: tuple[int, ...] = (2,)

    @property
    def size(self) -> int:
        return sum(last - first + 1 for first, last in self.usable)

    def number(self, position: int) -> int:
        """The address at a position among those that can be had."""
        for first, last in self.usable:
            if position <= last - first:
                return first + position
            position -= last - first + 1
        raise IndexError(position)

    def has(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.usable)


def parse_host_nics(given: Any, variable: str = VARIABLE) -> HostNicSpec:
    """Raises Refused with every problem."""
    if netaddr is None:
        raise FastpathError("The Python package netaddr is missing where Ansible runs: pip install netaddr.")
    if not isinstance(given, Mapping):
        raise Refused([Problem(variable, given, f"must be a mapping with keys out of {', '.join(KEYS)}")])
    problems = unknown_keys(given, KEYS, variable)

    def read(key: str, reader: Callable[[Any], Any], value: Any) -> Any:
        try:
            return reader(value)
        except Wrong as wrong:
            problems.append(Problem(f"{variable}.{key}", value, str(wrong)))
            return None

    subnet = read("subnet", _subnet, given.get("subnet"))
    prefix = read("mac_prefix", _mac_prefix, given.get("mac_prefix", MAC_PREFIX))
    listed = read("exclude", _list, given.get("exclude") or [])
    excluded = [read(f"exclude[{number}]", _range, item) for number, item in enumerate(listed or [])]
    gateway = given.get("gateway")
    if subnet is not None and gateway is not None:
        gateway = read("gateway", lambda value: _gateway(value, subnet), gateway)
    if problems:
        raise Refused(problems)
    return _spec(subnet, [part for part in excluded if part is not None], gateway, prefix)


def _spec(subnet: Any, excluded: Sequence[Any], gateway: Any, prefix: tuple[int, ...]) -> HostNicSpec:
    usable = netaddr.IPSet(subnet)
    for part in (*excluded, *_reserved(subnet), *([gateway] if gateway else [])):
        usable.remove(part)
    return HostNicSpec(
        subnet.version,
        subnet.prefixlen,
        str(subnet.netmask) if subnet.version == 4 else str(subnet.prefixlen),
        tuple((part.first, part.last) for part in usable.iter_ipranges()),
        str(gateway or ""),
        prefix,
    )


def _reserved(subnet: Any) -> list[Any]:
    """The network's own address, and the one of all of its interfaces; two or one address have neither."""
    if subnet.size <= 2:
        return []
    return [subnet.network, *([subnet.broadcast] if subnet.version == 4 else [])]


def plan_host_nics(
    spec: HostNicSpec,
    nodes: Mapping[str, Sequence[str]],
    former: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, list[dict[str, str]]]:
    """The list of each node, in the order of PCI addresses. Raises Refused where they cannot all have one.

    ``nodes``: PCI addresses of VFs by node. ``former``: the lists as they are now, also of nodes that are not in this
    run but in the cluster; of what two claim the first has it.
    """
    vfs = _vfs(nodes)
    known = {
        (node, str(entry.get("pciAddress", "")).lower()): entry
        for node, entries in (former or {}).items()
        for entry in entries
    }
    others = [vf for vf in sorted(known) if vf[0] not in nodes]
    if len(vfs) + len(others) > spec.size:
        said = f"has {spec.size} addresses to give, and {len(vfs) + len(others)} VFs need one: write a larger one"
        raise Refused([Problem(f"{VARIABLE}.subnet", spec.mask, said)])
    numbers = _assigned([*others, *vfs], lambda vf: _former_number(spec, known.get(vf)), lambda vf: _numbers(spec, vf))
    macs = _assigned([*others, *vfs], lambda vf: _former_mac(known.get(vf)), lambda vf: _macs(spec, vf))
    planned: dict[str, list[dict[str, str]]] = {node: [] for node in sorted(nodes)}
    for vf in vfs:
        planned[vf[0]].append(_entry(spec, vf[1], numbers[vf], macs[vf]))
    return planned


def text(entries: Sequence[Mapping[str, str]]) -> str:
    """As the file has it."""
    return json.dumps(list(entries), indent=2) + "\n"


def _vfs(nodes: Mapping[str, Sequence[str]]) -> list[Vf]:
    problems, found = [], set()
    for node in sorted(nodes):
        for given in nodes[node]:
            try:
                vf = node, address(given)
            except Wrong as wrong:
                problems.append(Problem(f"VFs of {node}", given, str(wrong)))
                continue
            if vf in found:
                problems.append(Problem(f"VFs of {node}", given, "stands there twice"))
            found.add(vf)
    if problems:
        raise Refused(problems)
    return sorted(found)


def _assigned(vfs: Sequence[Vf], former: Callable[[Vf], int | None], choices: Callable[[Vf], Any]) -> dict[Vf, int]:
    """Each VF's number, none twice: what it had, if it can, else the first of its choices that is free."""
    found: dict[Vf, int] = {}
    taken: set[int] = set()
    for vf in vfs:
        number = former(vf)
        if number is not None and number not in taken:
            found[vf] = number
            taken.add(number)
    for vf in vfs:
        if vf not in found:
            found[vf] = next(number for number in choices(vf) if number not in taken)
            taken.add(found[vf])
    return found


def _numbers(spec: HostNicSpec, vf: Vf) -> Any:
    start = _digest(vf) % spec.size
    return (spec.number((start + step) % spec.size) for step in range(spec.size))


def _macs(spec: HostNicSpec, vf: Vf) -> Any:
    rest = OCTETS - len(spec.mac_prefix)
    head = int.from_bytes(bytes(spec.mac_prefix), "big") << 8 * rest
    start = _digest(vf)
    return (head | (start + step) % (1 << 8 * rest) for step in range(1 << 8 * rest))


def _digest(vf: Vf) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(vf).encode()).digest(), "big")


def _former_number(spec: HostNicSpec, entry: Mapping[str, Any] | None) -> int | None:
    """What a VF had, where the subnet still has it to give."""
    try:
        found = netaddr.IPAddress(str((entry or {}).get("ipAddr")), spec.version)
    except (netaddr.AddrFormatError, ValueError):
        return None
    return int(found) if spec.has(int(found)) else None


def _former_mac(entry: Mapping[str, Any] | None) -> int | None:
    try:
        found = netaddr.EUI(str((entry or {}).get("mac")), version=48)
    except (netaddr.AddrFormatError, ValueError):
        return None
    return None if found.words[0] & 1 or not int(found) else int(found)


def _entry(spec: HostNicSpec, pci_address: str, number: int, mac: int) -> dict[str, str]:
    return {
        "pciAddress": pci_address,
        "ipAddr": str(netaddr.IPAddress(number, spec.version)),
        "ipMask": spec.mask,
        "mac": str(netaddr.EUI(mac, version=48, dialect=netaddr.mac_unix_expanded)),
        **({"gateway": spec.gateway} if spec.gateway else {}),
    }


def _subnet(value: Any) -> Any:
    try:
        found = netaddr.IPNetwork(value) if isinstance(value, str) and "/" in value else None
    except (netaddr.AddrFormatError, ValueError):
        found = None
    if found is None:
        raise Wrong('must be a network with its prefix length, such as "192.0.2.0/24"')
    if found.ip != found.network:
        raise Wrong(f'has host bits set: write "{found.cidr}"')
    return found


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise Wrong('must be a list, such as ["192.0.2.1-192.0.2.9"]')
    return list(value)


def _range(value: Any) -> Any:
    """An address, a network, or first and last address."""
    try:
        first, dash, last = value.partition("-")
        return netaddr.IPRange(first, last) if dash else netaddr.IPNetwork(value)
    except (netaddr.AddrFormatError, ValueError, AttributeError) as wrong:
        raise Wrong('must be an address, a network, or a range such as "192.0.2.1-192.0.2.9"') from wrong


def _gateway(value: Any, subnet: Any) -> Any:
    try:
        found = netaddr.IPAddress(value) if isinstance(value, str) else None
    except (netaddr.AddrFormatError, ValueError):
        found = None
    if found is None or found not in subnet:
        raise Wrong(f"must be an address of {subnet}")
    return found


def _mac_prefix(value: Any) -> tuple[int, ...]:
    parts = value.split(":") if isinstance(value, str) else []
    right = 1 <= len(parts) <= MAX_PREFIX and all(len(part) == 2 and _is_hex(part) for part in parts)
    if not right or int(parts[0], 16) & 3 != 2:
        raise Wrong('must be one to three octets of local addresses, such as "02" or "02:00:5e"')
    return tuple(int(part, 16) for part in parts)


def _is_hex(part: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in part)
