# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would harm a node is refused before anything is changed, on real nodes with the real topology.

After each refusal the node still answers and its fingerprint is the same.
"""

from __future__ import annotations

import contextlib

import pytest
from nodes import difference, fingerprint, lab, playbook, ssh, with_spec

IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}


def pf(selector=None, **more):
    return [{"pf": selector or IGB, "num_vfs": 2, **more}]


def vfio(selector=None):
    return pf(selector, vfs=[{"indexes": "0-1", "driver": "vfio-pci", "pool": "dpdk"}])


SPECS = {
    "unknown PF": ({"fastpath_sriov": pf({"address": "0000:ff:1f.0"})}, ["fastpath_sriov[0].pf", "0000:ff:1f.0"]),
    "PF that matches twice": ({"fastpath_sriov": pf({"vendor": "8086", "device": "10c9"})}, ["fastpath_sriov[0].pf"]),
    "more VFs than the device has": ({"fastpath_sriov": [{"pf": IGB, "num_vfs": 8}]}, ["num_vfs", "8", "7"]),
    "address that YAML read as a number": ({"fastpath_sriov": pf({"address": 1080.0})}, ["1080.0", "quote"]),
    "overlapping indexes": (
        {"fastpath_sriov": pf(vfs=[{"indexes": "0-1", "driver": "vfio-pci"}, {"indexes": 1, "driver": "kernel"}])},
        ["fastpath_sriov[0].vfs[1].indexes"],
    ),
    "index without a VF": ({"fastpath_sriov": pf(vfs=[{"indexes": "0-2"}])}, ["fastpath_sriov[0].vfs[0].indexes"]),
    "unknown key": ({"fastpath_sriov": pf(numvfs=3)}, ["numvfs"]),
    "unknown variable": ({"fastpath_hugepage": []}, ["fastpath_hugepage", "fastpath_hugepages"]),
    "page size that the kernel does not offer": ({"fastpath_hugepages": [{"size": "16G", "count": 1}]}, ["16G"]),
    "NUMA node that does not exist": (
        {"fastpath_hugepages": [{"size": "2M", "count": 1, "numa_node": 7}]},
        ["fastpath_hugepages[0].numa_node", "7"],
    ),
    "more pages than memory": ({"fastpath_hugepages": [{"size": "2M", "count": 9000, "numa_node": 0}]}, ["9000"]),
    "VFIO without an IOMMU wanted": (
        {"fastpath_sriov": vfio(), "fastpath_kernel_args": {"iommu": "off"}},
        ["iommu", "vfio-pci"],
    ),
}

# Each gives the PF ({pf}) a role in the node's own network; the second text takes it back.
ROLES = {
    "address": ("ip link set {pf} up; ip addr add 10.99.0.1/24 dev {pf}", "ip addr flush dev {pf}"),
    "default route": (
        "ip link set {pf} up; ip addr add 10.99.0.1/24 dev {pf}; ip route add default via 10.99.0.2 metric 9000",
        "ip addr flush dev {pf}",
    ),
    "bridge": (
        "ip link add t0 type bridge; ip link set {pf} master t0; ip link set t0 up; ip addr add 10.99.0.1/24 dev t0",
        "ip link del t0",
    ),
    "bond": (
        "ip link add t0 type bond; ip link set {pf} down; ip link set {pf} master t0; ip link set t0 up; "
        "ip addr add 10.99.0.1/24 dev t0",
        "ip link del t0",
    ),
    "VLAN": (
        "ip link set {pf} up; ip link add t0 link {pf} type vlan id 5; "
        "ip link set t0 up; ip addr add 10.99.0.1/24 dev t0",
        "ip link del t0",
    ),
    "macvlan": (
        "ip link set {pf} up; ip link add t0 link {pf} type macvlan; "
        "ip link set t0 up; ip addr add 10.99.0.1/24 dev t0",
        "ip link del t0",
    ),
    "VLAN on a bond on a bridge": (
        "ip link add t0 type bond; ip link set {pf} down; ip link set {pf} master t0; ip link set t0 up; "
        "ip link add t1 link t0 type vlan id 7; ip link add t2 type bridge; ip link set t1 master t2; "
        "ip link set t1 up; ip link set t2 up; ip addr add 10.99.0.1/24 dev t2",
        "ip link del t2; ip link del t1; ip link del t0",
    ),
}


@pytest.fixture(scope="module")
def node(lab_is_up):
    lab("restore", "node1")
    return "node1"


@contextlib.contextmanager
def untouched(node: str):
    before = fingerprint(node)
    yield
    assert difference(before, fingerprint(node)) == []


def site(node: str, **variables):
    return playbook("site", "--limit", node, *with_spec(**variables))


@pytest.mark.parametrize("name", SPECS)
def test_a_wrong_spec_is_refused(node, name):
    variables, texts = SPECS[name]
    with untouched(node):
        site(node, **variables).must_fail("nothing was changed", node, *texts)


def test_all_refusals_come_at_once(node):
    wrong = {
        "fastpath_hugepages": [{"size": "2M", "count": 1, "numa_node": 7}],
        "fastpath_sriov": [{"pf": IGB, "num_vfs": 8, "colour": "red"}],
        "fastpath_kernel_args": {"iomu": "passthrough"},
    }
    with untouched(node):
        site(node, **wrong).must_fail("numa_node", "colour", "iomu")


def test_check_mode_refuses_alike(node):
    refused = playbook("plan", "--limit", node, *with_spec(fastpath_sriov=pf({"address": "0000:ff:1f.0"})))
    refused.must_fail("0000:ff:1f.0")


def igb_netdev(node: str) -> str:
    return ssh(node, "for d in /sys/bus/pci/drivers/igb/0000:8*; do ls $d/net; done").split()[0]


@pytest.mark.parametrize("name", ROLES)
def test_a_pf_that_the_node_needs_is_refused(node, name):
    set_up, take_back = ROLES[name]
    device = igb_netdev(node)
    try:
        ssh(node, set_up.format(pf=device))
        with untouched(node):
            site(node, fastpath_sriov=pf()).must_fail("fastpath_sriov[0].pf", device)
    finally:
        ssh(node, take_back.format(pf=device))


def test_the_way_we_came_in_is_refused(node):
    device = ssh(node, "ip -o -4 route get 10.77.0.1").split(" dev ")[1].split()[0]
    with untouched(node):
        site(node, fastpath_sriov=pf({"netdev": device})).must_fail("ssh", device)


def test_vfio_without_interrupt_remapping_is_refused(variant):
    node = variant("node-nointremap")
    with untouched(node):
        wanted = with_spec(fastpath_sriov=vfio(), fastpath_hosts=node)
        playbook("site", *wanted).must_fail("interrupt remapping", node)


def test_vfio_without_an_iommu_is_refused(variant):
    node = variant("node-noiommu")
    with untouched(node):
        wanted = with_spec(fastpath_sriov=vfio(), fastpath_hosts=node)
        playbook("site", *wanted).must_fail("IOMMU", node)


def test_vfs_in_use_are_never_taken_away(node):
    address = ssh(node, "basename $(ls -d /sys/bus/pci/drivers/igb/0000:8*)").strip()
    ssh(node, f"echo 2 > /sys/bus/pci/devices/{address}/sriov_numvfs; udevadm settle")
    try:
        ssh(node, f"ip netns add t; ip link set $(ls /sys/bus/pci/devices/{address}/virtfn1/net) netns t")
        with untouched(node):
            wanted = {"fastpath_sriov": [{"pf": IGB, "num_vfs": 4}]}
            site(node, **wanted, fastpath_disruption_ok=True).must_fail("netns", address)
    finally:
        ssh(node, f"ip netns del t; udevadm settle; echo 0 > /sys/bus/pci/devices/{address}/sriov_numvfs")


def test_drivers_that_a_locked_kernel_does_not_take_are_refused(fresh_node):
    """Only a reboot lifts the lock, so the node is left to the next restore."""
    ssh(fresh_node, "echo integrity > /sys/kernel/security/lockdown")
    with untouched(fresh_node):
        wanted = pf(vfs=[{"indexes": "0-1", "driver": "uio_pci_generic", "pool": "dpdk"}])
        site(fresh_node, fastpath_sriov=wanted).must_fail("lockdown (integrity)", "uio_pci_generic", fresh_node)
