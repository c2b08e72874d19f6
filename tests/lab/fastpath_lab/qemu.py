# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a node of the topology to QEMU's command line. Pure.

The command line is the same in every lab, because a saved machine state can only be
loaded under the command line it was saved under: QEMU sees ``/vm`` (the node's own
files), ``/base`` (the read-only base disk) and ``/console`` wherever they really are.
"""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass

from .topology import Network, Nic, Node

MANAGEMENT_BRIDGE = "br-mgmt"
DATA_BRIDGE = "br-data"
_VIRTIO = "disable-legacy=on,iommu_platform=on"
_NAMESPACE = uuid.UUID("8d0fcd33-5ec6-4f5c-9d4e-3a0f3d7b5c11")


@dataclass(frozen=True)
class Port:
    """One tap: its name in the lab's namespace, its bridge, the guest's MAC address."""

    id: str
    tap: str
    bridge: str
    mac: str


def _mac(node: Node, nic: int, function: int) -> str:
    return f"52:54:00:{node.index:02x}:{nic + 1:02x}:{function:02x}"


def management_port(node: Node) -> Port:
    """Return the port of the management NIC."""
    return Port("mgmt", f"n{node.index}-mgmt", MANAGEMENT_BRIDGE, f"52:54:00:00:00:{node.index:02x}")


def data_ports(node: Node) -> list[list[Port]]:
    """Return the ports of each NIC: the PF first, then one per VF of a virtio NIC.

    The VFs of an igb share the wire of their PF, those of virtio have taps of their own.
    """
    result = []
    for number, nic in enumerate(node.nics):
        functions = 1 + (nic.vfs if nic.model == "virtio" else 0)
        result.append(
            [
                Port(
                    f"d{number}f{function}",
                    f"n{node.index}-d{number}f{function}",
                    DATA_BRIDGE,
                    _mac(node, number, function),
                )
                for function in range(functions)
            ]
        )
    return result


def ports(node: Node) -> list[Port]:
    """Return all ports of a node."""
    return [management_port(node), *(port for nic in data_ports(node) for port in nic)]


def _netdev(port: Port) -> list[str]:
    return ["-netdev", f"tap,id={port.id},ifname={port.tap},script=no,downscript=no"]


def _credential(name: str, text: str) -> list[str]:
    value = base64.b64encode(text.encode()).decode()
    return ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={value}"]


def _identity(node: Node, network: Network) -> list[str]:
    identity = uuid.uuid5(_NAMESPACE, node.name)
    link = (
        f"[Match]\nMACAddress={management_port(node).mac}\n"
        f"[Network]\nAddress={node.address}/{network.management.prefixlen}\n"
        f"Gateway={network.gateway}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )
    return [
        "-name",
        node.name,
        "-uuid",
        str(identity),
        *_credential("network.network.10-mgmt", link),
        *_credential("system.hostname", node.name),
        *_credential("system.machine_id", identity.hex),
    ]


def _machine(node: Node, accel: str) -> list[str]:
    per_node, memory = node.vcpus // node.numa_nodes, node.memory_mib // node.numa_nodes
    if accel == "kvm":
        argv = ["-machine", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host"]
    else:
        argv = ["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,+pdpe1gb"]
    argv += ["-smp", f"{node.vcpus},sockets={node.numa_nodes},cores={per_node}", "-m", str(node.memory_mib)]
    for number in range(node.numa_nodes):
        first = number * per_node
        argv += [
            "-object",
            f"memory-backend-ram,id=m{number},size={memory}M",
            "-numa",
            f"node,nodeid={number},cpus={first}-{first + per_node - 1},memdev=m{number}",
        ]
    return argv


def _iommu(node: Node) -> list[str]:
    if node.iommu == "none":
        return []
    remapping = "on" if node.iommu == "remapping" else "off"
    return ["-device", f"intel-iommu,intremap={remapping},device-iotlb=on,aw-bits=48"]


def _root_ports(node: Node) -> list[str]:
    argv: list[str] = []
    buses = {None: "pcie.0"}
    for number in sorted({nic.numa_node for nic in node.nics if nic.numa_node is not None}):
        buses[number] = f"numa{number}"
        argv += ["-device", f"pxb-pcie,id=numa{number},bus_nr={0x40 * (number + 1):#x},bus=pcie.0,numa_node={number}"]
    for number, nic in enumerate(node.nics):
        argv += [
            "-device",
            f"pcie-root-port,id=rp{number},bus={buses[nic.numa_node]},slot={number + 1},chassis={number + 1}",
        ]
    return argv


def _nic(number: int, nic: Nic, wires: list[Port]) -> list[str]:
    argv = [item for wire in wires for item in _netdev(wire)]
    physical, bus = wires[0], f"bus=rp{number}"
    if nic.model == "igb":
        return [*argv, "-device", f"igb,{bus},netdev={physical.id},mac={physical.mac},romfile="]
    # The virtual functions come before the physical one that they name.
    for function, wire in enumerate(wires[1:], start=1):
        argv += [
            "-device",
            f"virtio-net-pci,{bus},addr=0x0.{function:#x},netdev={wire.id},"
            f"mac={wire.mac},sriov-pf=pf{number},romfile=,{_VIRTIO}",
        ]
    return [
        *argv,
        "-device",
        f"virtio-net-pci,{bus},addr=0x0.0x0,multifunction=on,netdev={physical.id},"
        f"id=pf{number},mac={physical.mac},romfile=,{_VIRTIO}",
    ]


def command_line(node: Node, network: Network, accel: str) -> list[str]:
    """Return QEMU's argv for a node. ``accel`` is "kvm" or "tcg"."""
    management = management_port(node)
    argv = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        *_machine(node, accel),
        *_identity(node, network),
        *_iommu(node),
        "-qmp",
        "unix:/vm/qmp,server=on,wait=off",
        "-chardev",
        f"file,id=console,path=/console/{node.name}.log,append=on",
        "-serial",
        "chardev:console",
        # A guest's flush brings all of its writes to the host's page cache and no further: a killed node loses nothing
        # of it, a killed host may.
        "-drive",
        "file=/vm/disk.qcow2,format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap",
        "-device",
        "virtio-blk-pci,drive=disk,bus=pcie.0,bootindex=0",
        *_netdev(management),
        "-device",
        f"virtio-net-pci,netdev={management.id},bus=pcie.0,mac={management.mac},romfile=",
        *_root_ports(node),
    ]
    for number, (nic, wires) in enumerate(zip(node.nics, data_ports(node), strict=True)):
        argv += _nic(number, nic, wires)
    return argv
