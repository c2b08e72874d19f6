# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The topology file, and what is made of it without touching a machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from fastpath_lab import services, topology
from fastpath_lab.errors import LabError
from fastpath_lab.qemu import DATA_BRIDGE, MANAGEMENT_BRIDGE, command_line, data_ports, ports

TEXT = topology.DEFAULT_PATH.read_text(encoding="utf-8")
TOPOLOGY = topology.parse(TEXT)
GOLDEN = Path(__file__).parent / "golden"
INVENTORY = Path(__file__).resolve().parents[3] / "inventories/lab/hosts.yml"


def test_plain_up_takes_the_pair():
    assert [node.name for node in TOPOLOGY.select([])] == ["node1", "node2"]


def test_named_nodes_are_taken_once_in_order():
    chosen = TOPOLOGY.select(["node-noiommu", "node1", "node-noiommu"])
    assert [node.name for node in chosen] == ["node-noiommu", "node1"]


def test_unknown_node_is_named_with_those_that_exist():
    with pytest.raises(LabError, match=r"no such node: nodeX .*node1, node2"):
        TOPOLOGY.select(["nodeX"])


def test_node_as_specified():
    node = TOPOLOGY.nodes["node1"]
    assert (node.address, node.vcpus, node.numa_nodes, node.memory_mib) == ("10.77.0.11", 2, 2, 4096)
    assert [(nic.model, nic.vfs, nic.numa_node) for nic in node.nics] == [
        ("igb", 7, 1),
        ("igb", 7, None),
        ("virtio", 4, None),
    ]


def test_pods_of_two_nodes_have_addresses_of_their_own():
    cluster = TOPOLOGY.cluster
    found = [cluster.pods_of(node) for node in TOPOLOGY.nodes.values()]
    assert str(found[0]) == "10.244.1.0/24"
    assert len(set(found)) == len(found)
    assert all(one.subnet_of(cluster.pods) for one in found)


def test_networks_do_not_overlap():
    network, cluster = TOPOLOGY.network, TOPOLOGY.cluster
    found = [network.management, network.uplink, cluster.pods, cluster.services]
    assert not any(one.overlaps(other) for place, one in enumerate(found) for other in found[place + 1 :])
    assert cluster.api_service == "10.96.0.1"


def test_big_node_has_32_functions():
    assert sum(nic.vfs for nic in TOPOLOGY.nodes["node-big"].nics) == 4 * 7 + 4


@pytest.mark.parametrize(
    ("former", "new", "message"),
    [
        ("index = 2", "index = 1", "same index"),
        ("index = 2", "index = 900", "index is a number"),
        ('iommu = "none"', 'iommu = "no"', "iommu is one of"),
        ("vfs = 4", "vfs = 9", "vfs is 0 to 7"),
        ('model = "igb", vfs = 7, numa_node = 1', 'model = "igb", vfs = 6', "an igb has 7"),
        ("numa_node = 1", "numa_node = 4", "numa_node 4 does not exist"),
        ('model = "virtio"', 'model = "e1000"', "model is one of"),
        ("vcpus = 2", "vcpus = 3", "divide by numa_nodes"),
        ("vcpus = 2", "cpus = 2", "unknown key in nodes.node1: cpus"),
        ("[nodes.node2]", '[nodes."Node 2"]', "not a host name"),
        ("[network]", "[network", "topology: "),
        ('token = "fastpa.', 'token = "FASTPA.', "cluster: token is"),
        ('pods = "10.244.0.0/16"', 'pods = "10.244.0.0/20"', "cluster: pods has a /24 for every node"),
        ("api_port", "port", "unknown key in cluster: port"),
    ],
)
def test_wrong_files_are_refused(former, new, message):
    assert former in TEXT
    with pytest.raises(LabError, match=message):
        topology.parse(TEXT.replace(former, new, 1))


@pytest.mark.parametrize("accel", ["tcg", "kvm"])
@pytest.mark.parametrize("name", ["node1", "node-nointremap", "node-noiommu", "node-big"])
def test_command_line(name, accel):
    """Set FASTPATH_UPDATE_GOLDEN=1 to write the files anew, then read the difference."""
    text = "\n".join(command_line(TOPOLOGY.nodes[name], TOPOLOGY.network, accel)) + "\n"
    golden = GOLDEN / f"{name}.{accel}.txt"
    if os.environ.get("FASTPATH_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_virtual_functions_precede_the_physical_one_they_name():
    argv = command_line(TOPOLOGY.nodes["node1"], TOPOLOGY.network, "tcg")
    virtual = [at for at, word in enumerate(argv) if "sriov-pf=pf2" in word]
    physical = [at for at, word in enumerate(argv) if ",id=pf2," in word]
    assert len(virtual) == 4 and len(physical) == 1 and max(virtual) < physical[0]


def test_variants_differ_in_their_iommu_only():
    def devices(name):
        argv = command_line(TOPOLOGY.nodes[name], TOPOLOGY.network, "tcg")
        return [word for word in argv if word.startswith("intel-iommu")]

    assert devices("node1") == ["intel-iommu,intremap=on,device-iotlb=on,aw-bits=48"]
    assert devices("node-nointremap") == ["intel-iommu,intremap=off,device-iotlb=on,aw-bits=48"]
    assert devices("node-noiommu") == []


def test_every_port_is_unique_over_all_nodes():
    everything = [port for node in TOPOLOGY.nodes.values() for port in ports(node)]
    assert len({port.mac for port in everything}) == len(everything)
    assert len({port.tap for port in everything}) == len(everything)
    assert all(len(port.tap) < 16 for port in everything)


def test_management_and_data_do_not_share_a_bridge():
    for node in TOPOLOGY.nodes.values():
        management, *data = ports(node)
        assert management.bridge == MANAGEMENT_BRIDGE
        assert {port.bridge for port in data} == {DATA_BRIDGE}


def test_each_virtio_function_has_a_tap_of_its_own():
    igb, _second, virtio = data_ports(TOPOLOGY.nodes["node1"])
    assert len(igb) == 1 and len(virtio) == 5


def test_inventory_names_the_same_nodes():
    groups = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))["all"]["children"]["lab"]["children"]
    plain = {name: node.address for name, node in TOPOLOGY.nodes.items() if node.start}
    variants = {name: node.address for name, node in TOPOLOGY.nodes.items() if not node.start}

    def hosts(group):
        return {name: values["ansible_host"] for name, values in groups[group]["hosts"].items()}

    assert hosts("fastpath_nodes") == plain
    assert hosts("lab_variants") == variants


def test_inventory_says_of_the_cluster_what_the_lab_does():
    values = yaml.safe_load((INVENTORY.parent / "group_vars/lab/cluster.yml").read_text(encoding="utf-8"))
    registry, join = services.registry(TOPOLOGY), services.join_argv(TOPOLOGY, "sha256:0")
    assert values["lab_registry"] == registry
    assert values["lab_container_runtime"]["sandbox_image"] == f"{{{{ lab_registry }}}}/{services.PAUSE}"
    # By its place, as the inventory takes it.
    assert join[2] == services.endpoint(TOPOLOGY)
