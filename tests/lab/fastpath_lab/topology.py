# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology file as typed values. Pure: nothing here touches the machine."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import LabError

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "topology.toml"
IOMMU_MODES = ("remapping", "no-remapping", "none")
NIC_MODELS = {"igb": 7, "virtio": 7}
_TOKEN = re.compile(r"^[a-z0-9]{6}\.[a-z0-9]{16}$")
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,30}[a-z0-9]$")


@dataclass(frozen=True)
class Nic:
    """One SR-IOV physical function. ``numa_node`` None: on the plain root complex."""

    model: str
    vfs: int
    numa_node: int | None = None


@dataclass(frozen=True)
class Node:
    """One virtual machine. Memory in MiB, ``address`` is its management address."""

    name: str
    index: int
    address: str
    start: bool
    vcpus: int
    numa_nodes: int
    memory_mib: int
    iommu: str
    nics: tuple[Nic, ...]


@dataclass(frozen=True)
class Network:
    """Addresses of a lab, the same in every lab: each has a namespace of its own."""

    management: ipaddress.IPv4Network
    uplink: ipaddress.IPv4Network
    name_server: str

    @property
    def gateway(self) -> str:
        """The lab's own address on the management bridge."""
        return str(self.management[1])


@dataclass(frozen=True)
class Image:
    """The guest's root: Debian release, packages, size of the disk in GiB."""

    release: str
    disk_gib: int
    packages: tuple[str, ...]


@dataclass(frozen=True)
class QemuRoot:
    """The root that QEMU and the address translation run from."""

    release: str
    backports: bool
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Extras:
    """Programs out of Debian packages, for the lab itself and for images."""

    release: str
    packages: tuple[str, ...]


@dataclass(frozen=True)
class Cluster:
    """The addresses of the cluster. ``token`` is what nodes join with."""

    pods: ipaddress.IPv4Network
    services: ipaddress.IPv4Network
    api_port: int
    registry_port: int
    token: str

    @property
    def api_service(self) -> str:
        """The address under which pods find the API server."""
        return str(self.services[1])

    def pods_of(self, node: Node) -> ipaddress.IPv4Network:
        """Return the addresses of the pods on a node."""
        return list(self.pods.subnets(new_prefix=24))[node.index]


@dataclass(frozen=True)
class Topology:
    """The whole file."""

    network: Network
    cluster: Cluster
    extras: Extras
    image: Image
    qemu: QemuRoot
    nodes: dict[str, Node]

    def select(self, names: list[str]) -> list[Node]:
        """Return the named nodes, or those with ``start`` for an empty list."""
        unknown = sorted(set(names) - set(self.nodes))
        if unknown:
            known = ", ".join(self.nodes)
            raise LabError(f"no such node: {', '.join(unknown)} (there are: {known})")
        if not names:
            return [node for node in self.nodes.values() if node.start]
        return [self.nodes[name] for name in dict.fromkeys(names)]


def _table(cls: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    known = {item.name for item in fields(cls)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise LabError(f"topology: unknown key in {where}: {', '.join(unknown)}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _cluster(values: dict[str, Any]) -> Cluster:
    merged = _table(Cluster, values, "cluster")
    pods, services = (ipaddress.IPv4Network(merged.pop(name)) for name in ("pods", "services"))
    if pods.prefixlen > 16:
        raise LabError("topology: cluster: pods has a /24 for every node, so it is a /16 or larger")
    if not _TOKEN.match(merged["token"]):
        raise LabError("topology: cluster: token is 6 and 16 characters of a-z and 0-9 with a dot between them")
    return Cluster(pods=pods, services=services, **merged)


def _nic(values: dict[str, Any], numa_nodes: int, where: str) -> Nic:
    nic = Nic(**_table(Nic, values, where))
    if nic.model not in NIC_MODELS:
        raise LabError(f"topology: {where}: model is one of {', '.join(NIC_MODELS)}")
    if nic.model == "igb" and nic.vfs != NIC_MODELS["igb"]:
        raise LabError(f"topology: {where}: an igb has 7 VFs, not {nic.vfs}")
    if not 0 <= nic.vfs <= NIC_MODELS[nic.model]:
        raise LabError(f"topology: {where}: vfs is 0 to {NIC_MODELS[nic.model]}")
    if nic.numa_node is not None and not 0 <= nic.numa_node < numa_nodes:
        raise LabError(f"topology: {where}: numa_node {nic.numa_node} does not exist")
    return nic


def _node(name: str, values: dict[str, Any], network: Network) -> Node:
    where = f"nodes.{name}"
    if not _NAME.match(name):
        raise LabError(f"topology: {where}: not a host name")
    merged = _table(Node, {**values, "name": name, "address": ""}, where)
    index = merged.get("index")
    if not isinstance(index, int) or not 1 <= index <= 200:
        raise LabError(f"topology: {where}: index is a number from 1 to 200")
    merged["address"] = str(network.management[10 + index])
    numa = merged["numa_nodes"]
    if merged["vcpus"] % numa or merged["memory_mib"] % numa:
        raise LabError(f"topology: {where}: vcpus and memory_mib divide by numa_nodes")
    if merged["iommu"] not in IOMMU_MODES:
        raise LabError(f"topology: {where}: iommu is one of {', '.join(IOMMU_MODES)}")
    merged["nics"] = tuple(_nic(nic, numa, where) for nic in merged["nics"])
    return Node(**merged)


def parse(text: str) -> Topology:
    """Parse the text of a topology file. Raises LabError naming what is wrong."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LabError(f"topology: {error}") from error
    net = data["network"]
    network = Network(
        management=ipaddress.IPv4Network(net["management"]),
        uplink=ipaddress.IPv4Network(net["uplink"]),
        name_server=net["name_server"],
    )
    nodes = {name: _node(name, {**data["defaults"], **values}, network) for name, values in data["nodes"].items()}
    indexes = [node.index for node in nodes.values()]
    if len(set(indexes)) != len(indexes):
        raise LabError("topology: two nodes have the same index")
    return Topology(
        network=network,
        cluster=_cluster(data["cluster"]),
        extras=Extras(**_table(Extras, data["extras"], "extras")),
        image=Image(**_table(Image, data["image"], "image")),
        qemu=QemuRoot(**_table(QemuRoot, data["qemu"], "qemu")),
        nodes=nodes,
    )


def load(path: Path = DEFAULT_PATH) -> Topology:
    """Read and parse the topology file."""
    return parse(path.read_text(encoding="utf-8"))
