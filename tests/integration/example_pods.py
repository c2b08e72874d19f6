# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pods of examples/pods.yml must have, looked at from inside of them: for the tests and for the demo.

Each check raises AssertionError where something is missing, else it says in a line what it saw.
"""

from __future__ import annotations

from cluster import PREFIX, inside, network_status

FIRST, SECOND, PROGRAM, TWO = "fast-node1", "fast-node2", "dpdk", "two-networks"
NUMA_NODE, CPUS = "1", "1"
PACKETS = 5


def packets_go_across(count: int = PACKETS) -> str:
    """From a VF of one node, in its VLAN, to one of the other node."""
    peer = network_status(SECOND)["net1"]["ips"][0]
    said = inside(FIRST, f"ping -c {count} -w 20 -I net1 {peer}")
    assert f"{count} packets received" in said, said
    return f"{FIRST} to {SECOND}: {count} of {count} packets to {peer} and back, through the VFs"


def the_program_has_its_device() -> str:
    """The VF that the plugin names is the one that Multus tells of; with its device file, and CPUs of its NUMA node."""
    variable = f"PCIDEVICE_{PREFIX}_IGB_DPDK".upper().replace(".", "_").replace("/", "_")
    address = dict(line.split("=", 1) for line in inside(PROGRAM, "env").splitlines() if "=" in line)[variable]
    told = network_status(PROGRAM)["net1"]["device-info"]["pci"]["pci-address"]
    assert told == address, f"{variable}={address}, but network-status says {told}"
    group = inside(PROGRAM, f"basename $(readlink /sys/bus/pci/devices/{address}/iommu_group)").strip()
    files = inside(PROGRAM, "ls /dev/vfio").split()
    assert group in files, f"{address} is in IOMMU group {group}, but /dev/vfio has {files}"
    node = inside(PROGRAM, f"cat /sys/bus/pci/devices/{address}/numa_node").strip()
    cpus = inside(PROGRAM, "grep Cpus_allowed_list /proc/self/status").split()[1]
    assert (node, cpus) == (NUMA_NODE, CPUS), f"the VF is on NUMA node {node}, the pod has CPUs {cpus}"
    return f"{PROGRAM}: {variable}={address}, /dev/vfio/{group}, on NUMA node {node} with CPU {cpus} of its own"


def two_networks_are_two_interfaces() -> str:
    seen = network_status(TWO)
    assert {seen[name]["name"] for name in ("net1", "net2")} == {"default/fast", "default/lan"}, seen
    shown = inside(TWO, "ip -o -4 addr")
    addresses = {name: seen[name]["ips"][0] for name in ("eth0", "net1", "net2")}
    assert all(address in shown for address in addresses.values()), f"{addresses} in:\n{shown}"
    return f"{TWO}: " + ", ".join(f"{name} {address}" for name, address in addresses.items())
