# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would harm a node is refused before anything is changed, on real nodes with the real topology.

After each refusal the node still answers and its fingerprint is the same.
"""

from __future__ import annotations

import contextlib

import pytest
from nodes import OWN, difference, fingerprint, lab, playbook, ssh, with_spec

pytestmark = pytest.mark.one_node
IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}


def pf(selector=None, **more):
    return {"pf": selector or IGB, "num_vfs": 2, **more}


def vfio(selector=None):
    return pf(selector, vfs=[{"indexes": "0-1", "driver": "vfio-pci", "pool": "dpdk"}])


# All problems are named at once, so a lot is one run. What a spec says of itself is refused before a node is read.
LOTS = {
    "of the spec": (
        {
            "fastpath_sriov": [
                pf({"address": 1080.0}),
                pf(vfs=[{"indexes": "0-1", "driver": "vfio-pci"}, {"indexes": 1, "driver": "kernel"}]),
                pf(vfs=[{"indexes": "0-2"}]),
                pf(numvfs=3),
            ],
            "fastpath_hugepage": [],
            "fastpath_kernel_args": {"iomu": "passthrough"},
        },
        {
            "address that YAML read as a number": ["fastpath_sriov[0].pf", "1080.0", "quote"],
            "overlapping indexes": ["fastpath_sriov[1].vfs[1].indexes"],
            "index without a VF": ["fastpath_sriov[2].vfs[0].indexes"],
            "unknown key": ["fastpath_sriov[3].numvfs", "fastpath_kernel_args.iomu", "is no known key"],
            "unknown variable": ["fastpath_hugepage", "fastpath_hugepages"],
        },
    ),
    "of the node": (
        {
            "fastpath_sriov": [
                pf({"address": "0000:ff:1f.0"}),
                pf({"vendor": "8086", "device": "10c9"}),
                pf(num_vfs=8),
                vfio({"address": "0000:02:00.0"}),
            ],
            "fastpath_kernel_args": {"iommu": "off"},
            "fastpath_hugepages": [
                {"size": "16G", "count": 1},
                {"size": "2M", "count": 1, "numa_node": 7},
                {"size": "2M", "count": 9000, "numa_node": 0},
            ],
        },
        {
            "unknown PF": ["fastpath_sriov[0].pf", "0000:ff:1f.0", "fits no PF"],
            "PF that matches twice": ["fastpath_sriov[1].pf", "fits several PFs"],
            "more VFs than the device has": ["fastpath_sriov[2].num_vfs", "supports 7 VFs"],
            "VFIO without an IOMMU wanted": [
                "fastpath_sriov[3].vfs[0].driver",
                "fastpath_kernel_args.iommu switches it off",
            ],
            "page size that the kernel does not offer": [
                "fastpath_hugepages[0].size",
                "16G",
                "is not offered by the kernel",
            ],
            "NUMA node that does not exist": ["fastpath_hugepages[1].numa_node", "is no NUMA node with memory"],
            "more pages than memory": ["9000", "is more than NUMA node 0 has"],
        },
    ),
}

# Each gives a PF ({pf}) a role in the node's own network, with interfaces that are called after {t}, in net {n}.
ROLES = {
    "address": "ip link set {pf} up; ip addr add 10.99.{n}.1/24 dev {pf}",
    "default route": (
        "ip link set {pf} up; ip addr add 10.99.{n}.1/24 dev {pf}; "
        "ip route add default via 10.99.{n}.2 dev {pf} metric 9000"
    ),
    "bridge": (
        "ip link add {t} type bridge; ip link set {pf} master {t}; "
        "ip link set {t} up; ip addr add 10.99.{n}.1/24 dev {t}"
    ),
    "bond": (
        "ip link add {t} type bond; ip link set {pf} down; ip link set {pf} master {t}; ip link set {t} up; "
        "ip addr add 10.99.{n}.1/24 dev {t}"
    ),
    "VLAN": (
        "ip link set {pf} up; ip link add {t} link {pf} type vlan id 5; "
        "ip link set {t} up; ip addr add 10.99.{n}.1/24 dev {t}"
    ),
    "macvlan": (
        "ip link set {pf} up; ip link add {t} link {pf} type macvlan; "
        "ip link set {t} up; ip addr add 10.99.{n}.1/24 dev {t}"
    ),
    "VLAN on a bond on a bridge": (
        "ip link add {t} type bond; ip link set {pf} down; ip link set {pf} master {t}; ip link set {t} up; "
        "ip link add {t}v link {t} type vlan id 7; ip link add {t}b type bridge; ip link set {t}v master {t}b; "
        "ip link set {t}v up; ip link set {t}b up; ip addr add 10.99.{n}.1/24 dev {t}b"
    ),
}
PFS = ("0000:81:00.0", "0000:01:00.0", "0000:02:00.0")
# Roles that PFS have at the same time.
TOGETHER = (("address", "default route", "macvlan"), ("bridge", "bond", "VLAN"), ("VLAN on a bond on a bridge",))
NETDEV = "basename $(ls -d /sys/bus/pci/devices/{0}/net/* /sys/bus/pci/devices/{0}/virtio*/net/* 2>/dev/null)"


@pytest.fixture(scope="module")
def node(lab_is_up):
    lab("restore", OWN)
    return OWN


@contextlib.contextmanager
def untouched(node: str):
    before = fingerprint(node)
    yield
    assert difference(before, fingerprint(node)) == []


def site(node: str, **variables):
    return playbook("site", "--limit", node, *with_spec(**variables))


@pytest.mark.parametrize("name", LOTS)
def test_a_wrong_spec_is_refused(node, name):
    variables, expected = LOTS[name]
    with untouched(node):
        refused = site(node, **variables).must_fail("nothing was changed", node)
        for texts in expected.values():
            refused.must_fail(*texts)


def test_all_refusals_come_at_once(node):
    """Also those of a spec that is wrong by itself and those of the node."""
    wrong = {
        "fastpath_hugepages": [{"size": "2M", "count": 1, "numa_node": 7}],
        "fastpath_sriov": [{"pf": IGB, "num_vfs": 8, "colour": "red"}],
        "fastpath_kernel_args": {"iomu": "passthrough"},
    }
    with untouched(node):
        site(node, **wrong).must_fail("numa_node", "colour", "iomu")


def test_check_mode_refuses_alike(node):
    refused = playbook("plan", "--limit", node, *with_spec(fastpath_sriov=[pf({"address": "0000:ff:1f.0"})]))
    refused.must_fail("0000:ff:1f.0")


@pytest.mark.parametrize("names", TOGETHER, ids=" and ".join)
def test_a_pf_that_the_node_needs_is_refused(fresh_node, names):
    """Only a restore takes all roles back, so the node is left to the next one."""
    devices = []
    for number, (name, address) in enumerate(zip(names, PFS)):
        devices.append(ssh(fresh_node, NETDEV.format(address)).strip())
        ssh(fresh_node, ROLES[name].format(pf=devices[-1], t=f"t{number}", n=number))
    with untouched(fresh_node):
        refused = site(fresh_node, fastpath_sriov=[pf({"address": address}) for address in PFS[: len(names)]])
        for number, device in enumerate(devices):
            refused.must_fail(f"fastpath_sriov[{number}].pf", device)


def test_the_way_we_came_in_is_refused(node):
    device = ssh(node, "ip -o -4 route get 10.77.0.1").split(" dev ")[1].split()[0]
    with untouched(node):
        site(node, fastpath_sriov=[pf({"netdev": device})]).must_fail("ssh", device)


def test_vfio_without_interrupt_remapping_is_refused(variant):
    node = variant("node-nointremap")
    with untouched(node):
        wanted = with_spec(fastpath_sriov=[vfio()], fastpath_hosts=node)
        playbook("site", *wanted).must_fail("interrupt remapping", node)


def test_vfio_without_an_iommu_is_refused(variant):
    node = variant("node-noiommu")
    with untouched(node):
        wanted = with_spec(fastpath_sriov=[vfio()], fastpath_hosts=node)
        playbook("site", *wanted).must_fail("IOMMU", node)


def test_vfs_in_use_are_never_taken_away(node):
    address = ssh(node, "basename $(ls -d /sys/bus/pci/drivers/igb/0000:8*)").strip()
    ssh(node, f"echo 2 > /sys/bus/pci/devices/{address}/sriov_numvfs; udevadm settle")
    try:
        ssh(node, f"ip netns add t; ip link set $(ls /sys/bus/pci/devices/{address}/virtfn1/net) netns t")
        with untouched(node):
            wanted = {"fastpath_sriov": [pf(num_vfs=4)]}
            site(node, **wanted, fastpath_disruption_ok=True).must_fail("netns", address)
    finally:
        ssh(node, f"ip netns del t; udevadm settle; echo 0 > /sys/bus/pci/devices/{address}/sriov_numvfs")


def test_drivers_that_a_locked_kernel_does_not_take_are_refused(fresh_node):
    """Only a reboot lifts the lock, so the node is left to the next restore."""
    ssh(fresh_node, "echo integrity > /sys/kernel/security/lockdown")
    with untouched(fresh_node):
        wanted = pf(vfs=[{"indexes": "0-1", "driver": "uio_pci_generic", "pool": "dpdk"}])
        site(fresh_node, fastpath_sriov=[wanted]).must_fail("lockdown (integrity)", "uio_pci_generic", fresh_node)
