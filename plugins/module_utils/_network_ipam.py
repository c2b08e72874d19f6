# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Addresses for networks: what users write, checked, as the IPAM plugins take it. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys

HOST_LOCAL, STATIC, WHEREABOUTS = "host-local", "static", "whereabouts"
NETWORK_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
# Whereabouts also takes the first and the last address before the prefix length.
SPAN = re.compile(r"([0-9a-fA-F.:]+)-([0-9a-fA-F.:]+)/([0-9]+)\Z")

Reader = Callable[[Any], Any]


def address(value: Any) -> str:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else _wrong_address(value)
    except ValueError:
        return _wrong_address(value)


def _wrong_address(value: Any) -> str:
    raise read.Wrong('must be an IP address in quotes, such as "192.0.2.10" or "2001:db8::10"')


def subnet(value: Any) -> str:
    """A network without host bits."""
    try:
        if isinstance(value, str) and "/" in value:
            return str(ipaddress.ip_network(value))
    except ValueError as wrong:
        if "host bits" in str(wrong):
            right = ipaddress.ip_interface(value).network
            raise read.Wrong(f'has host bits set: write "{right}"') from wrong
    raise read.Wrong('must be a network with its prefix length, such as "192.0.2.0/24"')


def interface_address(value: Any) -> str:
    """An address with the prefix length of its network."""
    try:
        if isinstance(value, str) and "/" in value:
            return str(ipaddress.ip_interface(value))
    except ValueError:
        pass
    raise read.Wrong('must be an address with its prefix length, such as "192.0.2.10/24"')


def pool_range(value: Any) -> str:
    """What whereabouts calls a range: a network, host bits or not, or ``first-last/length``."""
    span = SPAN.fullmatch(value) if isinstance(value, str) else None
    if span:
        first, last, length = span.groups()
        network = ipaddress.ip_interface(interface_address(f"{first}/{length}")).network
        if ipaddress.ip_address(address(last)) not in network:
            raise read.Wrong(f"ends at {last}, which is not in {network}")
        return str(value)
    return interface_address(value)


def _list_of(reader: Reader, shape: str) -> Reader:
    def items(value: Any) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise read.Wrong(f"must be a list of {shape}")
        return [reader(item) for item in value]

    return items


def _text(value: Any) -> str:
    if isinstance(value, str) and value and not any(char.isspace() for char in value):
        return value
    raise read.Wrong("must be text without spaces")


def _network_name(value: Any) -> str:
    if isinstance(value, str) and NETWORK_NAME.fullmatch(value):
        return value
    raise read.Wrong("must be a DNS label: lower-case letters, digits and '-'")


def _folder(value: Any) -> str:
    if isinstance(value, str) and value.startswith("/") and ".." not in value.split("/"):
        return value
    raise read.Wrong("must be an absolute path")


def mapping_of(value: Any, readers: Mapping[str, tuple[str, Reader]], variable: str, problems: list[Problem]) -> Any:
    """A mapping with known keys, each by its reader and under the name that the plugin has for it."""
    if not isinstance(value, Mapping):
        problems.append(Problem(variable, value, f"must be a mapping with keys among {', '.join(sorted(readers))}"))
        return {}
    problems += unknown_keys(value, readers, variable)
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key not in readers:
            continue
        name, reader = readers[key]
        try:
            found[name] = reader(item)
        except read.Wrong as wrong:
            problems.append(Problem(f"{variable}.{key}", item, str(wrong)))
    return found


ROUTE_FIELDS: dict[str, tuple[str, Reader]] = {"dst": ("dst", subnet), "gw": ("gw", address)}
DNS_FIELDS: dict[str, tuple[str, Reader]] = {
    "nameservers": ("nameservers", _list_of(address, "IP addresses")),
    "domain": ("domain", _text),
    "search": ("search", _list_of(_text, "domains")),
    "options": ("options", _list_of(_text, "options")),
}
ADDRESS_FIELDS: dict[str, tuple[str, Reader]] = {
    "address": ("address", interface_address),
    "gateway": ("gateway", address),
}
SUBNET_FIELDS: dict[str, tuple[str, Reader]] = {
    "subnet": ("subnet", subnet),
    "range_start": ("rangeStart", address),
    "range_end": ("rangeEnd", address),
    "gateway": ("gateway", address),
}
RANGE_FIELDS: dict[str, tuple[str, Reader]] = {
    "range": ("range", pool_range),
    "range_start": ("range_start", address),
    "range_end": ("range_end", address),
    "exclude": ("exclude", _list_of(pool_range, "addresses or networks")),
}
KNOWN_KEYS = {
    HOST_LOCAL: ("type", *SUBNET_FIELDS, "ranges", "routes", "dns", "data_dir"),
    STATIC: ("type", "addresses", "routes", "dns"),
    WHEREABOUTS: (
        *("type", *RANGE_FIELDS, "ranges", "gateway", "routes", "dns"),
        *("network_name", "enable_overlapping_ranges"),
    ),
}


def parse_ipam(value: Any, variable: str, problems: list[Problem]) -> dict[str, Any]:
    """The ``ipam`` of a network as its plugin takes it; empty where none is wanted."""
    if value is None:
        return {}
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind not in KNOWN_KEYS:
        known = ", ".join(KNOWN_KEYS)
        where = f"{variable}.type" if isinstance(value, Mapping) else variable
        problems.append(Problem(where, kind if isinstance(value, Mapping) else value, f"must be one of {known}"))
        return {}
    problems += unknown_keys(value, KNOWN_KEYS[kind], variable)
    common = {"type": kind, **_routes_and_dns(value, variable, problems)}
    if kind == HOST_LOCAL:
        return {**common, **_host_local(value, variable, problems)}
    if kind == STATIC:
        return {**common, **_static(value, variable, problems)}
    return {**common, **_whereabouts(value, variable, problems)}


def _routes_and_dns(value: Mapping[str, Any], variable: str, problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "routes" in value:
        routes = _entries(value["routes"], ROUTE_FIELDS, f"{variable}.routes", problems)
        for number, route in enumerate(routes):
            if "dst" not in route:
                problems.append(Problem(f"{variable}.routes[{number}].dst", None, "is missing: say where it leads"))
        found["routes"] = routes
    if "dns" in value:
        found["dns"] = mapping_of(value["dns"], DNS_FIELDS, f"{variable}.dns", problems)
    return found


def _entries(
    value: Any, fields: Mapping[str, tuple[str, Reader]], variable: str, problems: list[Problem]
) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        problems.append(Problem(variable, value, f"must be a list of mappings with keys among {', '.join(fields)}"))
        return []
    return [mapping_of(item, fields, f"{variable}[{number}]", problems) for number, item in enumerate(value)]


def _host_local(value: Mapping[str, Any], variable: str, problems: list[Problem]) -> dict[str, Any]:
    """One address out of each range: two of them give IPv4 and IPv6."""
    found: dict[str, Any] = {}
    if "data_dir" in value:
        try:
            found["dataDir"] = _folder(value["data_dir"])
        except read.Wrong as wrong:
            problems.append(Problem(f"{variable}.data_dir", value["data_dir"], str(wrong)))
    own = {key: value[key] for key in SUBNET_FIELDS if key in value}
    if "ranges" in value and own:
        problems.append(
            Problem(f"{variable}.ranges", value["ranges"], f"stands beside {', '.join(own)}: use one of them")
        )
        return found
    where = f"{variable}.ranges" if "ranges" in value else variable
    ranges = _entries(value["ranges"], SUBNET_FIELDS, where, problems) if "ranges" in value else []
    if "ranges" not in value:
        ranges = [mapping_of(own, SUBNET_FIELDS, variable, problems)]
    for number, item in enumerate(ranges):
        place = f"{where}[{number}]" if "ranges" in value else where
        if "subnet" not in item:
            if not _said(place, problems):
                problems.append(
                    Problem(f"{place}.subnet", None, 'is missing: say which network, such as "192.0.2.0/24"')
                )
            continue
        _refuse_outside(item, SUBNET_FIELDS, item["subnet"], place, problems)
    return {**found, "ranges": [[item] for item in ranges]}


def _static(value: Mapping[str, Any], variable: str, problems: list[Problem]) -> dict[str, Any]:
    """Without addresses each pod brings its own, in its annotation."""
    if "addresses" not in value:
        return {}
    entries = _entries(value["addresses"], ADDRESS_FIELDS, f"{variable}.addresses", problems)
    for number, item in enumerate(entries):
        place = f"{variable}.addresses[{number}]"
        if "address" in item:
            _refuse_outside(item, ADDRESS_FIELDS, item["address"], place, problems)
        elif not _said(place, problems):
            problems.append(Problem(f"{place}.address", None, "is missing"))
    return {"addresses": entries}


def _whereabouts(value: Mapping[str, Any], variable: str, problems: list[Problem]) -> dict[str, Any]:
    readers: dict[str, tuple[str, Reader]] = {
        "gateway": ("gateway", address),
        "network_name": ("network_name", _network_name),
        "enable_overlapping_ranges": ("enable_overlapping_ranges", read.boolean),
    }
    found = mapping_of({key: value[key] for key in readers if key in value}, readers, variable, problems)
    own = {key: value[key] for key in RANGE_FIELDS if key in value}
    if ("ranges" in value) == bool(own):
        problems.append(Problem(f"{variable}.range", value.get("range"), "give either range or ranges, a list of such"))
        return dict(found)
    if own:
        one = mapping_of(own, RANGE_FIELDS, variable, problems)
        _whereabouts_range(one, variable, problems)
        return {**found, **one}
    several = _entries(value["ranges"], RANGE_FIELDS, f"{variable}.ranges", problems)
    for number, item in enumerate(several):
        _whereabouts_range(item, f"{variable}.ranges[{number}]", problems)
    return {**found, "ipRanges": several}


def _whereabouts_range(item: Mapping[str, Any], variable: str, problems: list[Problem]) -> None:
    if "range" in item and not SPAN.fullmatch(item["range"]):
        _refuse_outside(item, RANGE_FIELDS, item["range"], variable, problems)
    elif "range" not in item and not _said(variable, problems):
        problems.append(Problem(f"{variable}.range", None, 'is missing, such as "192.0.2.0/24"'))


def _refuse_outside(
    item: Mapping[str, Any],
    fields: Mapping[str, tuple[str, Reader]],
    network: str,
    variable: str,
    problems: list[Problem],
) -> None:
    """Addresses that are not in the network that they are for."""
    inside = ipaddress.ip_interface(network).network
    for key, (name, reader) in fields.items():
        if reader is address and name in item and ipaddress.ip_address(item[name]) not in inside:
            problems.append(Problem(f"{variable}.{key}", item[name], f"is not in {inside}"))


def _said(variable: str, problems: list[Problem]) -> bool:
    """Whether something below a variable is wrong already, so that it need not be missed as well."""
    return any(problem.variable == variable or problem.variable.startswith(f"{variable}.") for problem in problems)
