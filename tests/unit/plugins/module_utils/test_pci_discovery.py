# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Discovery of PCI functions on trees as the kernel lays them out."""

from __future__ import annotations

import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode


@pytest.fixture
def node(tmp_path):
    return FakeNode(tmp_path)


def by_address(host: Host) -> dict[str, PciDevice]:
    return {device.address: device for device in read_pci(host)}


def test_a_pf_and_its_vfs(node):
    node.add_pf(numa_node=1)
    node.write_attribute("/sys/bus/pci/devices/0000:81:00.0/sriov_drivers_autoprobe", "0")
    node.write_attribute("/sys/bus/pci/devices/0000:81:00.0/sriov_numvfs", "2")
    devices = by_address(node)
    assert devices["0000:81:00.0"] == PciDevice(
        address="0000:81:00.0",
        vendor_id="8086",
        device_id="10c9",
        subsystem_vendor_id="0000",
        subsystem_device_id="0000",
        class_id="0200",
        driver="igb",
        numa_node=1,
        iommu_group=1,
        sriov_totalvfs=7,
        sriov_numvfs=2,
        virtfns=("0000:81:10.0", "0000:81:10.1"),
        netdevs=("ens1",),
    )
    vf = devices["0000:81:10.1"]
    assert (vf.physfn, vf.vf_index, vf.driver, vf.sriov_totalvfs, vf.iommu_group) == ("0000:81:00.0", 1, None, None, 3)


def test_vfs_keep_the_order_of_their_indexes_not_of_their_addresses(node):
    node.add_pf(total=20)
    node.write_attribute("/sys/bus/pci/devices/0000:81:00.0/sriov_numvfs", "12")
    virtfns = by_address(node)["0000:81:00.0"].virtfns
    assert len(virtfns) == 12
    assert [by_address(node)[vf].vf_index for vf in virtfns] == list(range(12))


def test_what_is_absent_is_none(node):
    node.add_function("0000:00:1f.0", "8086", "0001", class_code="60100", iommu=False)
    device = by_address(node)["0000:00:1f.0"]
    assert (device.class_id, device.driver, device.driver_override, device.numa_node) == ("0601", None, None, None)
    assert (device.iommu_group, device.sriov_totalvfs, device.sriov_numvfs, device.physfn) == (None,) * 4
    assert (device.virtfns, device.netdevs, device.vdpa_devices, device.uses) == ((), (), (), ())


def test_an_override_is_seen(node):
    node.add_function("0000:00:02.0", "8086", "10c9")
    node.write_attribute("/sys/bus/pci/devices/0000:00:02.0/driver_override", "vfio-pci")
    assert by_address(node)["0000:00:02.0"].driver_override == "vfio-pci"


@pytest.mark.parametrize(
    ("below", "ours"),
    [
        ("net/e0", True),
        ("virtio2/net/e0", True),
        ("vdpa0/virtio5/net/e0", True),
        ("usb1/1-1/1-1:1.0/net/e0", False),
        ("0000:01:00.0/net/e0", False),
    ],
)
def test_interfaces_belong_to_the_function_right_above_them(node, below, ours):
    node.add_function("0000:00:03.0", "1af4", "1041")
    os.symlink(f"../../devices/pci0000:00/0000:00:03.0/{below}", node.path("/sys/class/net/e0"))
    assert by_address(node)["0000:00:03.0"].netdevs == (("e0",) if ours else ())


def test_virtual_interfaces_belong_to_none(node):
    node.add_function("0000:00:03.0", "1af4", "1041")
    os.symlink("../../devices/virtual/net/br0", node.path("/sys/class/net/br0"))
    assert by_address(node)["0000:00:03.0"].netdevs == ()


def test_vdpa_devices(node):
    node.add_function("0000:01:00.2", "1af4", "1041")
    target = "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.2/vdpa0"
    os.symlink(target, node.path("/sys/bus/vdpa/devices/vdpa0"))
    os.symlink("../../../devices/virtual/vduse0", node.path("/sys/bus/vdpa/devices/vduse0"))
    assert by_address(node)["0000:01:00.2"].vdpa_devices == ("vdpa0",)


def test_domains_beyond_four_digits(node):
    node.add_function("10000:e1:00.0", "8086", "10c9")
    os.symlink("../../devices/pci10000:e0/10000:e1:00.0/net/e0", node.path("/sys/class/net/e0"))
    assert by_address(node)["10000:e1:00.0"].netdevs == ("e0",)


def test_a_function_that_goes_away_meanwhile(node, monkeypatch):
    node.add_function("0000:00:03.0", "1af4", "1041")
    real = Host.listdir
    monkeypatch.setattr(
        node, "listdir", lambda path: [*real(node, path), *(["0000:ff:00.0"] if "devices" in path else [])]
    )
    assert list(by_address(node)) == ["0000:00:03.0"]


def test_no_pci_at_all(tmp_path):
    assert read_pci(Host(root=str(tmp_path))) == ()


def test_another_place_for_sysfs(node, tmp_path):
    node.add_pf()
    elsewhere = Host(sysfs_root=str(tmp_path / "sys"))
    assert [device.address for device in read_pci(elsewhere)] == ["0000:81:00.0"]
