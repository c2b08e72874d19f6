# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Ports of ``fastpath_ovs``: typed, validated, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector

DPDK, CLIENT, SERVER, BOND, PATCH, SYSTEM = "dpdk", "dpdkvhostuserclient", "dpdkvhostuser", "bond", "patch", "system"
DPDK_TYPES = (DPDK, CLIENT, SERVER)
# Everything else that Open vSwitch knows, tunnels included, goes through ``options``.
TYPES = (*DPDK_TYPES, BOND, PATCH, "internal", SYSTEM, "tap", "vxlan", "geneve", "gre", "erspan", "bareudp", "gtpu")
DEVARGS = "dpdk-devargs"

PORT_KEYS: Mapping[str, read.Reader] = {
    "tag": read.vlan,
    "trunks": read.vlans,
    "vlan_mode": read.one_of("access", "native-tagged", "native-untagged", "trunk", "dot1q-tunnel"),
}
BOND_KEYS: Mapping[str, read.Reader] = {
    "bond_mode": read.one_of("active-backup", "balance-slb", "balance-tcp"),
    "lacp": read.one_of("active", "passive", "off"),
    "port_other_config": read.text_map,
}
INTERFACE_KEYS: Mapping[str, read.Reader] = {
    "pci": read.address,
    "vf": read.vf,
    "socket": read.socket_path,
    "peer": read.name,
    "n_rxq": read.queues,
    "pmd_rxq_affinity": read.affinity,
    "mtu_request": read.mtu,
    "ofport_request": read.ofport,
    "options": read.text_map,
    "other_config": read.text_map,
    "external_ids": read.external_ids,
}
# Which keys make sense for which types only.
ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "pci": (DPDK,),
    "vf": (DPDK,),
    "socket": (CLIENT,),
    "peer": (PATCH,),
    "n_rxq": DPDK_TYPES,
    "pmd_rxq_affinity": DPDK_TYPES,
}
BOND_MEMBERS = 2


@dataclass(frozen=True)
class VfReference:
    """The VF number ``index`` of the PF that the selector means."""

    pf: PfSelector
    index: int

    def __str__(self) -> str:
        return f"VF {self.index} of the PF with {self.pf}"


@dataclass(frozen=True)
class InterfaceSpec:
    """``columns`` as the database has them. ``device``: what ``dpdk-devargs`` follows from."""

    name: str
    columns: Mapping[str, Any]
    device: str | VfReference | None = None
    affinity: Mapping[int, int] = field(default_factory=dict)
    variable: str = ""

    @property
    def type(self) -> str:
        return str(self.columns.get("type") or SYSTEM)

    @property
    def needs_dpdk(self) -> bool:
        return self.type in DPDK_TYPES

    @property
    def device_text(self) -> str:
        return str(self.device or (self.columns.get("options") or {}).get(DEVARGS) or "")

    @property
    def queues(self) -> int:
        return int((self.columns.get("options") or {}).get("n_rxq") or 1)


@dataclass(frozen=True)
class PortSpec:
    """One port with its interface, or a bond with several."""

    name: str
    columns: Mapping[str, Any]
    interfaces: tuple[InterfaceSpec, ...]
    variable: str = ""


def parse_port(entry: Any, variable: str, problems: list[Problem]) -> PortSpec | None:
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, "must be a mapping with the keys name and type"))
        return None
    name = read.value(read.name, entry.get("name"), f"{variable}.name", problems) or ""
    if entry.get("type") == BOND:
        return _bond(entry, name, variable, problems)
    problems += unknown_keys(entry, ("name", "type", *PORT_KEYS, *INTERFACE_KEYS), variable)
    columns = read.values(entry, PORT_KEYS, variable, problems)
    interface = _interface(entry, name, variable, problems)
    return PortSpec(name, columns, (interface,), variable)


def _bond(entry: Mapping[str, Any], name: str, variable: str, problems: list[Problem]) -> PortSpec:
    problems += unknown_keys(entry, ("name", "type", "members", *PORT_KEYS, *BOND_KEYS), variable)
    columns = read.values(entry, {**PORT_KEYS, **BOND_KEYS}, variable, problems)
    other_config = columns.pop("port_other_config", None)
    if other_config:
        columns["other_config"] = other_config
    members = []
    for where, member in read.entries(entry.get("members"), f"{variable}.members", "members", problems):
        if not isinstance(member, Mapping):
            problems.append(Problem(where, member, "must be a mapping with the keys name and type"))
            continue
        problems += unknown_keys(member, ("name", "type", *INTERFACE_KEYS), where)
        member_name = read.value(read.name, member.get("name"), f"{where}.name", problems) or ""
        if member.get("type") in (BOND, PATCH, "internal"):
            problems.append(Problem(f"{where}.type", member["type"], "cannot be a member of a bond"))
        members.append(_interface(member, member_name, where, problems))
    if len(members) < BOND_MEMBERS:
        shape = f"has {len(members)} of the at least {BOND_MEMBERS} members of a bond: add one, or make it a plain port"
        problems.append(Problem(f"{variable}.members", [member.name for member in members], shape))
    return PortSpec(name, columns, tuple(members), variable)


def _interface(entry: Mapping[str, Any], name: str, variable: str, problems: list[Problem]) -> InterfaceSpec:
    kind = entry.get("type", SYSTEM)
    if kind not in TYPES:
        hint = nearest(str(kind), TYPES)
        problems.append(Problem(f"{variable}.type", kind, f"must be one of {', '.join(TYPES)}.{hint}"))
    values = read.values(entry, INTERFACE_KEYS, variable, problems)
    for key, kinds in ONLY_FOR.items():
        if key in values and kind in TYPES and kind not in kinds:
            problems.append(Problem(f"{variable}.{key}", entry[key], f"is for {', '.join(kinds)} ports only"))
    options = dict(values.get("options") or {})
    _check_options(options, values, variable, problems)
    options.update(_derived_options(values))
    _check_required(str(kind), entry, options, variable, problems)
    affinity = values.get("pmd_rxq_affinity") or {}
    queues = int(options.get("n_rxq") or 1)
    for queue in sorted(queue for queue in affinity if queue >= queues):
        shape = f"names queue {queue}, and with n_rxq {queues} the last one is {queues - 1}"
        problems.append(Problem(f"{variable}.pmd_rxq_affinity", entry["pmd_rxq_affinity"], shape))
    columns = _columns(str(kind), values, options)
    device = values.get("pci") or (VfReference(*values["vf"]) if "vf" in values else None)
    return InterfaceSpec(name, columns, device, affinity, variable)


def _derived_options(values: Mapping[str, Any]) -> dict[str, Any]:
    names = {"socket": "vhost-server-path", "peer": "peer", "n_rxq": "n_rxq"}
    options = {option: values[key] for key, option in names.items() if key in values}
    if "pci" in values:
        options[DEVARGS] = values["pci"]
    return options


def _columns(kind: str, values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {} if kind == SYSTEM else {"type": kind}
    columns.update({key: values[key] for key in ("mtu_request", "ofport_request") if key in values})
    other_config = dict(values.get("other_config") or {})
    if "pmd_rxq_affinity" in values:
        pairs = sorted((values["pmd_rxq_affinity"] or {}).items())
        other_config["pmd-rxq-affinity"] = ",".join(f"{queue}:{cpu}" for queue, cpu in pairs) or None
    maps = (("options", options), ("other_config", other_config), ("external_ids", values.get("external_ids") or {}))
    columns.update({column: dict(content) for column, content in maps if content})
    return columns


def _check_options(
    options: Mapping[str, Any], values: Mapping[str, Any], variable: str, problems: list[Problem]
) -> None:
    own = {DEVARGS: ("pci", "vf"), "vhost-server-path": ("socket",), "peer": ("peer",), "n_rxq": ("n_rxq",)}
    for option, keys in own.items():
        for key in keys:
            if option in options and key in values:
                problems.append(Problem(f"{variable}.options.{option}", options[option], f"stands beside {key}"))


def _check_required(
    kind: str, entry: Mapping[str, Any], options: Mapping[str, Any], variable: str, problems: list[Problem]
) -> None:
    """Whether what the type needs is given; that it is right is looked at elsewhere."""
    given = [key for key in ("pci", "vf") if key in entry]
    if kind == DPDK and not given and DEVARGS not in options:
        shape = 'lacks its device: give pci: "0000:81:00.0", vf: {pf: {...}, index: 0}, or options: {dpdk-devargs: ...}'
        problems.append(Problem(variable, kind, shape))
    if len(given) > 1:
        problems.append(Problem(f"{variable}.vf", entry["vf"], "stands beside pci: use one of them"))
    if kind == CLIENT and "socket" not in entry and "vhost-server-path" not in options:
        shape = "is missing: the path of the socket that the other end makes"
        problems.append(Problem(f"{variable}.socket", None, shape))
    if kind == PATCH and "peer" not in entry and "peer" not in options:
        problems.append(Problem(f"{variable}.peer", None, "is missing: the name of the patch port at the other end"))
