# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The one place that runs ``ip``: links with their VFs and addresses, default routes, changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import VfAttributes

IP_SECONDS = 60.0
_FAILED_LINE = re.compile(r"-:(\d+)")
# What one word sets together: a rate without its partner, or a QoS without its VLAN, would reset the other.
_TOGETHER = (("mac",), ("vlan", "qos"), ("min_rate", "max_rate"), ("spoofchk",), ("trust",), ("link_state",))
_WORDS = {
    "mac": "mac",
    "vlan": "vlan",
    "qos": "qos",
    "min_rate": "min_tx_rate",
    "max_rate": "max_tx_rate",
    "spoofchk": "spoofchk",
    "trust": "trust",
    "link_state": "state",
}


@dataclass(frozen=True)
class Link:
    """One network interface. ``lower``: what it is stacked on. ``addresses``: those of global scope.
    ``parent``: the device that it belongs to, on whichever bus: a PCI address, or such as virtio3.

    ``vfs``: by VF index what the PF's driver says about its VFs; what it does not say is None.
    """

    name: str
    kind: str = ""
    lower: str | None = None
    master: str | None = None
    addresses: tuple[str, ...] = ()
    mac: str = ""
    permanent_mac: str = ""
    mtu: int | None = None
    up: bool = False
    parent: str | None = None
    vfs: dict[int, VfAttributes] = field(default_factory=dict)


def links(host: Host, prefix: tuple[str, ...] = ()) -> tuple[Link, ...]:
    """Every interface; ``prefix`` enters another network namespace first."""
    return parse_links(host.must_run([*prefix, "ip", "-j", "-d", "addr", "show"], IP_SECONDS))


def links_and_default_routes(host: Host) -> tuple[tuple[Link, ...], tuple[str, ...]]:
    """Every interface, and the names of those with a default route of either family in whichever table.

    In one process: where processes are slow to start, they are most of what a look at a node costs.
    """
    done = host.run(["ip", "-j", "-d", "-batch", "-"], IP_SECONDS, "addr show\nroute show table all default\n")
    answers = _documents(done.out)
    if done.rc != 0 or len(answers) != 2:
        raise FastpathError(f"ip could not list interfaces and routes: {done.err.strip() or done.out[-200:]}")
    return _links(answers[0]), tuple(sorted(_route_netdevs(answers[1])))


def set_up(host: Host, netdev: str, up: bool) -> None:
    host.must_run(["ip", "link", "set", "dev", netdev, "up" if up else "down"], IP_SECONDS)


def set_mtu(host: Host, netdev: str, mtu: int) -> None:
    host.must_run(["ip", "link", "set", "dev", netdev, "mtu", str(mtu)], IP_SECONDS)


@dataclass(frozen=True)
class VfChange:
    """One line for ``ip -batch``: attributes of one VF that are set together, and how they were."""

    index: int
    after: dict[str, Any]
    before: dict[str, Any]

    def line(self, netdev: str, values: dict[str, Any]) -> str:
        words = " ".join(f"{_WORDS[name]} {_word(value)}" for name, value in values.items())
        return f"link set dev {netdev} vf {self.index} {words}\n"


def vf_changes(index: int, before: VfAttributes, after: VfAttributes) -> list[VfChange]:
    """The least that leads from ``before`` to ``after``; None in ``after`` leaves an attribute alone."""
    changes = []
    for names in _TOGETHER:
        wanted = {name: getattr(after, name) for name in names if getattr(after, name) is not None}
        have = {name: getattr(before, name) for name in names}
        if any(have[name] != value for name, value in wanted.items()):
            kept = {name: value for name, value in have.items() if value is not None}
            whole = {**({"vlan": 0} if "qos" in wanted else {}), **kept, **wanted}
            if wanted.get("vlan") == 0 and "qos" not in wanted:
                whole["qos"] = 0
            changes.append(VfChange(index, {name: whole[name] for name in names if name in whole}, kept))
    return changes


def set_vfs(host: Host, netdev: str, driver: str | None, changes: Iterable[VfChange]) -> None:
    """All changes of one PF in one process. If one fails those before it are taken back."""
    todo = list(changes)
    batch = "".join(change.line(netdev, change.after) for change in todo)
    done = host.run(["ip", "-batch", "-"], IP_SECONDS, batch)
    if done.rc == 0:
        return
    at = _FAILED_LINE.search(done.err)
    number = int(at.group(1)) - 1 if at else 0
    back = "".join(change.line(netdev, change.before) for change in todo[:number] if change.before)
    as_before = not back or host.run(["ip", "-force", "-batch", "-"], IP_SECONDS, back).rc == 0
    failed = todo[number] if number < len(todo) else todo[-1]
    what = ", ".join(f"{name} {_word(value)}" for name, value in failed.after.items())
    said = done.err.strip().splitlines()[0] if done.err.strip() else f"exit code {done.rc}"
    cause = f"the driver {driver} of the PF does not support it" if "not supported" in said else said
    raise FastpathError(
        f"Cannot set {what} of VF {failed.index} through {netdev}: {cause}. "
        f"The attributes of this PF's VFs {'are as they were' if as_before else 'could not all be taken back'}."
    )


def parse_links(text: str) -> tuple[Link, ...]:
    """The answer of ``ip -j -d addr show``."""
    return tuple(link for answer in _documents(text) for link in _links(answer))


def _documents(text: str) -> list[Any]:
    """What ``ip -batch`` prints: one JSON document after the other."""
    decoder = json.JSONDecoder()
    found = []
    rest = text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def _links(entries: list[dict[str, Any]]) -> tuple[Link, ...]:
    return tuple(_link(entry) for entry in entries if entry.get("ifname"))


def _route_netdevs(routes: list[dict[str, Any]]) -> set[str]:
    """Next hops of multipath routes too."""
    hops = [hop for route in routes for hop in [route, *route.get("nexthops", [])]]
    return {hop["dev"] for hop in hops if hop.get("dev")}


def _link(entry: dict[str, Any]) -> Link:
    information = entry.get("linkinfo", {})
    addresses = tuple(
        item["local"] for item in entry.get("addr_info", []) if item.get("scope") == "global" and item.get("local")
    )
    mac = str(entry.get("address", ""))
    return Link(
        name=entry["ifname"],
        kind=information.get("info_kind", ""),
        lower=entry.get("link"),
        master=entry.get("master"),
        addresses=addresses,
        mac=mac,
        permanent_mac=entry.get("permaddr", mac),
        mtu=entry.get("mtu"),
        up="UP" in entry.get("flags", []),
        parent=entry.get("parentdev"),
        vfs={item["vf"]: _vf(item) for item in entry.get("vfinfo_list", []) if "vf" in item},
    )


def _vf(item: dict[str, Any]) -> VfAttributes:
    vlans = item.get("vlan_list") or [{}]
    rate = item.get("rate", {})
    return VfAttributes(
        mac=item.get("address", item.get("mac")),
        vlan=vlans[0].get("vlan", 0),
        qos=vlans[0].get("qos", 0),
        trust=item.get("trust"),
        spoofchk=item.get("spoofchk"),
        min_rate=rate.get("min_tx", 0),
        max_rate=rate.get("max_tx", 0),
        link_state=item.get("link_state"),
    )


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
