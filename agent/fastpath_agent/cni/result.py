# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plugin's result: one form inside, and the forms that each version of the specification wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fastpath_agent.cni.addresses import ip_address, ip_interface, ip_network, version_of
from fastpath_agent.cni.errors import DECODING_FAILURE, CniError
from fastpath_agent.cni.versions import at_least

ROUTE_NUMBERS = ("mtu", "advmss", "priority", "table", "scope")


@dataclass(frozen=True)
class Interface:
    name: str
    mac: str = ""
    sandbox: str = ""
    mtu: int = 0
    socket_path: str = ""
    pci_id: str = ""


@dataclass(frozen=True)
class Address:
    """``interface``: index into the result's interfaces."""

    cidr: str
    gateway: str = ""
    interface: int | None = None


@dataclass(frozen=True)
class Route:
    destination: str
    gateway: str = ""
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    interfaces: tuple[Interface, ...] = ()
    ips: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: Mapping[str, Any] = field(default_factory=dict)

    def after(self, former: Result) -> Result:
        """This result behind that of a plugin before it in the chain."""
        shift = len(former.interfaces)
        moved = tuple(ip if ip.interface is None else replace(ip, interface=ip.interface + shift) for ip in self.ips)
        return Result(
            former.interfaces + self.interfaces,
            former.ips + moved,
            former.routes + self.routes,
            self.dns or former.dns,
        )

    def render(self, version: str) -> dict[str, Any]:
        """As the given version of the specification writes it."""
        rendered: dict[str, Any] = {"cniVersion": version}
        if self.interfaces:
            rendered["interfaces"] = [_interface(each, version) for each in self.interfaces]
        if self.ips:
            rendered["ips"] = [_address(each, version) for each in self.ips]
        if self.routes:
            rendered["routes"] = [_route(each, version) for each in self.routes]
        if self.dns:
            rendered["dns"] = dict(self.dns)
        return rendered


def _interface(each: Interface, version: str) -> dict[str, Any]:
    rendered: dict[str, Any] = {"name": each.name}
    optional: dict[str, Any] = {"mac": each.mac, "sandbox": each.sandbox}
    if at_least(version, "1.1.0"):
        optional = {
            "mac": each.mac,
            "mtu": each.mtu,
            "sandbox": each.sandbox,
            "socketPath": each.socket_path,
            "pciID": each.pci_id,
        }
    rendered.update({key: value for key, value in optional.items() if value})
    return rendered


def _address(each: Address, version: str) -> dict[str, Any]:
    rendered: dict[str, Any] = {} if at_least(version, "1.0.0") else {"version": version_of(each.cidr)}
    if each.interface is not None:
        rendered["interface"] = each.interface
    rendered["address"] = each.cidr
    if each.gateway:
        rendered["gateway"] = each.gateway
    return rendered


def _route(each: Route, version: str) -> dict[str, Any]:
    rendered: dict[str, Any] = {"dst": each.destination}
    if each.gateway:
        rendered["gw"] = each.gateway
    if at_least(version, "1.1.0"):
        rendered.update(each.numbers)
    return rendered


def parse_result(value: object, source: str) -> Result:
    """A result of another plugin, in any version's form. ``source`` names it in the message."""
    if not isinstance(value, dict):
        raise CniError(DECODING_FAILURE, f"{source} is no JSON object")
    try:
        return Result(
            tuple(_parse_interface(each) for each in _list(value, "interfaces")),
            tuple(_parse_address(each) for each in _list(value, "ips")),
            tuple(_parse_route(each) for each in _list(value, "routes")),
            parse_dns(value.get("dns")),
        )
    except ValueError as wrong:
        raise CniError(DECODING_FAILURE, f"{source} is no valid result: {str(wrong)[:200]}") from wrong


def _list(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"{key} must be a list of objects")
    return found


def _parse_interface(each: Mapping[str, Any]) -> Interface:
    texts = {key: each.get(key) or "" for key in ("name", "mac", "sandbox", "socketPath", "pciID")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("an interface's name, mac, sandbox, socketPath and pciID must be text")
    return Interface(
        texts["name"],
        texts["mac"],
        texts["sandbox"],
        _number(each, "mtu") or 0,
        texts["socketPath"],
        texts["pciID"],
    )


def _parse_address(each: Mapping[str, Any]) -> Address:
    gateway = each.get("gateway")
    return Address(
        ip_interface(each.get("address")), ip_address(gateway) if gateway else "", _number(each, "interface")
    )


def _parse_route(each: Mapping[str, Any]) -> Route:
    gateway = each.get("gw")
    numbers = {key: _number(each, key) for key in ROUTE_NUMBERS}
    return Route(
        ip_network(each.get("dst")),
        ip_address(gateway) if gateway else "",
        {key: number for key, number in numbers.items() if number is not None},
    )


def _number(each: Mapping[str, Any], key: str) -> int | None:
    value = each.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32):
        raise ValueError(f"{key} must be a whole number")
    return value


def parse_dns(value: object) -> dict[str, Any]:
    """Without what is empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("dns must be an object")
    found: dict[str, Any] = {}
    for key in ("nameservers", "search", "options"):
        entries = value.get(key) or []
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise ValueError(f"dns.{key} must be a list of text")
        if entries:
            found[key] = list(entries)
    domain = value.get("domain") or ""
    if not isinstance(domain, str):
        raise ValueError("dns.domain must be text")
    return {**({"domain": domain} if domain else {}), **found}
