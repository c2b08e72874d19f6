# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The networks of the desired state: typed, validated, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._network_ipam import Reader, parse_ipam

VARIABLE = "fastpath_networks"
SRIOV, HOST_DEVICE, BRIDGE, MACVLAN, IPVLAN = "sriov", "host-device", "bridge", "macvlan", "ipvlan"
# Plugins of the node agent: what a pod gets is a socket, and no network interface.
VDPA, USERSPACE, VHOSTUSER = "vdpa", "userspace", "vhostuser"
OF_AGENT = (VDPA, USERSPACE, VHOSTUSER)
OF_POOLS = (SRIOV, HOST_DEVICE, VDPA)
WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
CAPABILITIES = ("mac", "ips", "portMappings", "bandwidth", "infinibandGUID", "deviceID", "CNIDeviceInfoFile")
COMMON_KEYS = ("name", "namespace", "namespaces", "type", "pool", "ipam", "mtu", "capabilities", "plugins")


@dataclass(frozen=True)
class Network:
    """One network. ``options``: what the CNI plugin of its type takes, in that plugin's words.

    ``plugins``: further plugins, chained after it as they are. ``variable``: where it stands in the user's input.
    """

    name: str
    type: str
    namespaces: tuple[str, ...] = ("default",)
    pool: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ipam: Mapping[str, Any] = field(default_factory=dict)
    mtu: int | None = None
    capabilities: tuple[str, ...] = ()
    plugins: tuple[Mapping[str, Any], ...] = ()
    variable: str = ""


def _label(value: Any) -> str:
    if isinstance(value, str) and LABEL.fullmatch(value):
        return value
    raise read.Wrong("must be a DNS label: 1 to 63 lower-case letters, digits or '-', as Kubernetes wants its names")


def _on_off(value: Any) -> str:
    return "on" if read.boolean(value) else "off"


def _one_of(*words: str) -> Reader:
    def choice(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise read.Wrong(f"must be one of {', '.join(words)}")

    return choice


def _between(low: int, high: int) -> Reader:
    return lambda value: read.integer(value, low, high)


def _vlan_proto(value: Any) -> str:
    text = value.lower() if isinstance(value, str) else value
    return str(_one_of("802.1q", "802.1ad")(text))


def _path(value: Any) -> str:
    if isinstance(value, str) and value.startswith("/") and value.isprintable() and " " not in value:
        return value
    raise read.Wrong("must be an absolute path without blanks")


def _word(value: Any) -> str:
    if isinstance(value, str) and WORD.fullmatch(value):
        return value
    raise read.Wrong("must be a name of letters, digits, '_', '.' or '-'")


def _tool(value: Any) -> str:
    return str(value) if value in ("ovs", "vpp") else _path(value)


def _log_level(value: Any) -> str:
    return _one_of("panic", "error", "warning", "info", "debug", "verbose")(value)  # type: ignore[no-any-return]


_LOGGED: dict[str, tuple[str, Reader]] = {"log_file": ("logFile", _path), "log_level": ("logLevel", _log_level)}
# By type: the key here, the key that the CNI plugin has, and the reader. A dot leads into an object.
TYPE_FIELDS: dict[str, dict[str, tuple[str, Reader]]] = {
    SRIOV: {
        "vlan": ("vlan", _between(0, 4094)),
        "qos": ("vlanQoS", _between(0, 7)),
        "vlan_proto": ("vlanProto", _vlan_proto),
        "trust": ("trust", _on_off),
        "spoofchk": ("spoofchk", _on_off),
        "link_state": ("link_state", read.link_state),
        "min_rate": ("min_tx_rate", _between(0, 2**31 - 1)),
        "max_rate": ("max_tx_rate", _between(0, 2**31 - 1)),
    },
    HOST_DEVICE: {"device": ("device", read.netdev)},
    BRIDGE: {
        "bridge": ("bridge", read.netdev),
        "vlan": ("vlan", _between(0, 4094)),
        "is_gateway": ("isGateway", read.boolean),
        "is_default_gateway": ("isDefaultGateway", read.boolean),
        "ip_masq": ("ipMasq", read.boolean),
        "hairpin": ("hairpinMode", read.boolean),
        "promisc": ("promiscMode", read.boolean),
        "mac_spoof_check": ("macspoofchk", read.boolean),
    },
    MACVLAN: {
        "master": ("master", read.netdev),
        "mode": ("mode", _one_of("bridge", "private", "vepa", "passthru")),
    },
    IPVLAN: {"master": ("master", read.netdev), "mode": ("mode", _one_of("l2", "l3", "l3s"))},
    VDPA: {
        "mode": ("mode", _one_of("client", "server")),
        "host_nic": ("hostNic", _path),
        "shared_dir": ("sharedDir", _path),
        **_LOGGED,
    },
    USERSPACE: {
        "engine": ("host.engine", _one_of("ovs-dpdk", "vpp")),
        "iftype": ("host.iftype", _one_of("vhostuser", "memif")),
        "net_type": ("host.netType", _one_of("bridge", "interface")),
        "host_mode": ("host.vhost.mode", _one_of("client", "server")),
        "group": ("host.vhost.group", _word),
        "bridge": ("host.bridge.bridgeName", read.netdev),
        "vlan": ("host.bridge.vlanId", _between(0, 4094)),
        "shared_dir": ("sharedDir", _path),
        **_LOGGED,
    },
    VHOSTUSER: {
        "vhost_tool": ("vhost.vhost_tool", _tool),
        "bridge": ("bridge.bridgeName", read.netdev),
        "cni_dir": ("cniDir", _path),
        **_LOGGED,
    },
}
REQUIRED = {BRIDGE: "bridge", MACVLAN: "master", IPVLAN: "master", USERSPACE: "engine", VHOSTUSER: "vhost_tool"}
_MISSING = {
    USERSPACE: "is missing: say who switches, ovs-dpdk or vpp",
    VHOSTUSER: "is missing: say ovs, vpp or the path of a program",
}


def parse_networks(spec: Any, variable: str = VARIABLE) -> tuple[tuple[Network, ...], list[Problem]]:
    """Validate ``fastpath_networks``; all problems at once."""
    problems: list[Problem] = []
    if spec is None:
        return (), problems
    if not isinstance(spec, (list, tuple)):
        return (), [Problem(variable, spec, "must be a list of networks")]
    networks = [_network(entry, f"{variable}[{number}]", problems) for number, entry in enumerate(spec)]
    found = [network for network in networks if network is not None]
    _refuse_same_name(found, problems)
    return tuple(found), problems


def merge_specs(specs: Iterable[Any]) -> list[Any]:
    """The networks of all nodes as one list: what several node groups say by the same words is one network."""
    merged: list[Any] = []
    for spec in specs:
        if not isinstance(spec, (list, tuple)):
            merged += [] if spec is None else [spec]
            continue
        merged += [entry for entry in spec if entry not in merged]
    return merged


def _network(entry: Any, variable: str, problems: list[Problem]) -> Network | None:
    before = len(problems)
    if not isinstance(entry, Mapping):
        problems.append(Problem(variable, entry, "must be a mapping with the keys name and type"))
        return None
    kind = entry.get("type")
    if kind not in TYPE_FIELDS:
        shape = "is missing." if kind is None else f"is no type that can be made.{nearest(str(kind), TYPE_FIELDS)}"
        problems.append(Problem(f"{variable}.type", kind, f"{shape} Known are {', '.join(TYPE_FIELDS)}"))
        return None
    _refuse_unknown(entry, kind, variable, problems)
    network = Network(
        name=read.value(_label, entry.get("name"), f"{variable}.name", problems),
        type=str(kind),
        namespaces=_namespaces(entry, variable, problems),
        pool=read.value(read.pool, _pool(entry.get("pool")), f"{variable}.pool", problems),
        options=_options(entry, str(kind), variable, problems),
        ipam=parse_ipam(entry.get("ipam"), f"{variable}.ipam", problems),
        mtu=_mtu(entry, variable, problems),
        capabilities=_capabilities(entry, str(kind), variable, problems),
        plugins=_plugins(entry.get("plugins"), f"{variable}.plugins", problems),
        variable=variable,
    )
    _check_source(network, entry, problems)
    _check_vlan(network, entry, problems)
    _check_socket(network, entry, problems)
    return network if len(problems) == before else None


def _pool(value: Any) -> Any:
    """The prefix may stand before the name; whether it is the right one is judged where the pools are known."""
    return value.rsplit("/", 1)[-1] if isinstance(value, str) and value.count("/") == 1 else value


def _refuse_unknown(entry: Mapping[str, Any], kind: str, variable: str, problems: list[Problem]) -> None:
    known = (*COMMON_KEYS, *TYPE_FIELDS[kind])
    for key, value in entry.items():
        if key in known:
            continue
        others = [other for other, fields in TYPE_FIELDS.items() if key in fields]
        if key == "vlan":
            shape = f"cannot be set by {kind}: make an interface for the VLAN on the nodes and name it in master"
            shape = shape if kind in (MACVLAN, IPVLAN) else f"cannot be set by {kind}: set it in fastpath_sriov"
        elif others:
            shape = f"is no key of {kind}, only of {' and '.join(others)}"
        else:
            problems += unknown_keys({key: value}, known, variable)
            continue
        problems.append(Problem(f"{variable}.{key}", value, shape))


def _namespaces(entry: Mapping[str, Any], variable: str, problems: list[Problem]) -> tuple[str, ...]:
    if "namespace" in entry and "namespaces" in entry:
        problems.append(
            Problem(f"{variable}.namespaces", entry["namespaces"], "stands beside namespace: use one of them")
        )
        return ()
    if "namespaces" not in entry:
        name = read.value(_label, entry.get("namespace", "default"), f"{variable}.namespace", problems)
        return (name,)
    value = entry["namespaces"]
    if not isinstance(value, list) or not value:
        problems.append(Problem(f"{variable}.namespaces", value, "must be a list of namespaces"))
        return ()
    names = [
        read.value(_label, item, f"{variable}.namespaces[{number}]", problems) for number, item in enumerate(value)
    ]
    return tuple(dict.fromkeys(names))


def _options(entry: Mapping[str, Any], kind: str, variable: str, problems: list[Problem]) -> dict[str, Any]:
    found = {}
    for key, (name, reader) in TYPE_FIELDS[kind].items():
        if entry.get(key) is not None:
            found[name] = read.value(reader, entry[key], f"{variable}.{key}", problems)
    return found


def _mtu(entry: Mapping[str, Any], variable: str, problems: list[Problem]) -> int | None:
    if entry.get("mtu") is None:
        return None
    found: int | None = read.value(_between(68, 65535), entry["mtu"], f"{variable}.mtu", problems)
    return found


def _capabilities(entry: Mapping[str, Any], kind: str, variable: str, problems: list[Problem]) -> tuple[str, ...]:
    """What a pod's annotation may choose. A plugin gets it only where its own configuration says so."""
    value = entry.get("capabilities")
    if value is None:
        ipam = entry["ipam"].get("type") if isinstance(entry.get("ipam"), Mapping) else None
        return (
            *(("mac",) if kind in (SRIOV, BRIDGE, MACVLAN, *OF_AGENT) else ()),
            *(("ips",) if ipam in ("host-local", "static") else ()),
            # By which a program in the pod finds its socket.
            *(("CNIDeviceInfoFile",) if kind in OF_AGENT else ()),
        )
    if not isinstance(value, list):
        problems.append(Problem(f"{variable}.capabilities", value, f"must be a list of {', '.join(CAPABILITIES)}"))
        return ()
    for number, item in enumerate(value):
        if item not in CAPABILITIES:
            shape = f"must be one of {', '.join(CAPABILITIES)}"
            problems.append(Problem(f"{variable}.capabilities[{number}]", item, shape))
    return tuple(dict.fromkeys(str(item) for item in value))


def _plugins(value: Any, variable: str, problems: list[Problem]) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.append(Problem(variable, value, "must be a list of plugins, each a mapping with the key type"))
        return ()
    for number, item in enumerate(value):
        if not isinstance(item, Mapping) or not isinstance(item.get("type"), str) or "/" in item["type"]:
            problems.append(
                Problem(f"{variable}[{number}]", item, "must be a mapping with the key type, such as tuning")
            )
    return tuple(dict(item) for item in value if isinstance(item, Mapping))


def _check_source(network: Network, entry: Mapping[str, Any], problems: list[Problem]) -> None:
    """Where the interface comes from: a pool, a device, a bridge or a master."""
    where = network.variable
    pool = entry.get("pool")
    if network.type in OF_POOLS:
        named = "device" in network.options
        if pool is None and not named:
            beside = " or device" if network.type == HOST_DEVICE else ""
            problems.append(Problem(f"{where}.pool", None, f"is missing: say which pool{beside}"))
        elif pool is not None and named:
            problems.append(Problem(f"{where}.device", entry["device"], "stands beside pool: use one of them"))
        return
    if pool is not None:
        shape = f"cannot be used by {network.type}, only by {' and '.join(OF_POOLS)}"
        problems.append(Problem(f"{where}.pool", pool, shape))
    key = REQUIRED[network.type]
    if entry.get(key) is None:
        shape = _MISSING.get(network.type, "is missing: say which interface of the nodes")
        problems.append(Problem(f"{where}.{key}", None, shape))


def _check_vlan(network: Network, entry: Mapping[str, Any], problems: list[Problem]) -> None:
    if network.type != SRIOV:
        return
    vlan = network.options.get("vlan")
    for key, name in (("qos", "vlanQoS"), ("vlan_proto", "vlanProto")):
        if network.options.get(name) not in (None, 0, "802.1q") and not vlan:
            problems.append(Problem(f"{network.variable}.{key}", entry[key], "needs a vlan from 1 to 4094 beside it"))
    low, high = network.options.get("min_tx_rate"), network.options.get("max_tx_rate")
    if low and high and low > high:
        problems.append(Problem(f"{network.variable}.min_rate", low, f"is above max_rate {high}"))


def _check_socket(network: Network, entry: Mapping[str, Any], problems: list[Problem]) -> None:
    """What needs a network interface in the pod, where there is none."""
    if network.type not in OF_AGENT:
        return
    if network.mtu is not None:
        shape = "cannot be set: the pod gets a socket and no network interface. Its program sets it"
        problems.append(Problem(f"{network.variable}.mtu", network.mtu, shape))
    if network.ipam.get("type") == "dhcp":
        shape = "needs a network interface in the pod, and there is none: take host-local, static or whereabouts"
        problems.append(Problem(f"{network.variable}.ipam.type", "dhcp", shape))


def _refuse_same_name(networks: Sequence[Network], problems: list[Problem]) -> None:
    """IPAM plugins keep addresses by the name of the network, whatever its namespace."""
    first: dict[str, Network] = {}
    for network in networks:
        former = first.setdefault(network.name, network)
        if former is not network:
            shape = (
                f"is also the name of {former.variable}. Choose another; for the same network in several namespaces "
                "list them in namespaces"
            )
            problems.append(Problem(f"{network.variable}.name", network.name, shape))
