# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be done with vDPA on a node, and is refused before anything is changed."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VFS,
    apply,
    entry,
    mlx5_node,
    virtio_node,
)

node = pytest.fixture(virtio_node)
mlx5 = pytest.fixture(mlx5_node)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (entry(pf={"netdev": "ens9"}), "fits no PF. PFs here: 0000:02:00.0"),
        (entry(pf={"address": "0000:02:10.0"}), "is a VF of 0000:02:00.0: name the PF"),
        ({"pf": {"address": "0000:02:10.0"}}, "is a VF of 0000:02:00.0: name the PF, and say indexes"),
        ({"pf": {"address": "0000:00:00.0"}}, "fits no PCI function of this node"),
        ({"pf": {"vendor": "1af4"}}, "fits 5 functions, such as 0000:02:00.0"),
        (
            {"pf": {"netdev": "ens2"}},
            "0000:02:00.0 has driver virtio-pci, .* give it driver: vp-vdpa yourself",
        ),
        (entry(indexes="3-4"), "0000:02:00.0 vf 4 is not there: fastpath_sriov says how many"),
        (entry(indexes=0, mac="02:00:00:00:00:01"), "mac = .*: cannot be set with the driver vp-vdpa"),
        (entry(max_vqp=2, mtu=1500), "max_vqp = 2: cannot be set [^=]*mtu = 1500: cannot be set [^=]*$"),
        (entry(features=["GUEST_UFO", "MAC"]), "has what pci/0000:02:10.0 does not offer: GUEST_UFO"),
        ({"mgmtdev": "vdpasim_net", "name": "sim0"}, "is not there. There: pci/0000:02:10.0, pci/"),
        ({"mgmtdev": "vduse", "name": "vduse0"}, r"offered by no program through VDUSE \(there: none\)"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_changed(node, spec, told):
    with pytest.raises(Refused, match=told):
        apply(node, [spec])
    assert node.writes == [] and node.changes == 0 and not node.exists("/etc/fastpath/vdpa.json")


def test_more_queues_than_there_are(mlx5):
    mlx5.load("mlx5_vdpa")
    with pytest.raises(Refused, match="max_vqp = 5: takes 10 queues, and pci/0000:02:10.0 has 9"):
        apply(mlx5, [entry(max_vqp=5)])


@pytest.mark.parametrize("driver", ["vfio-pci", None, "virtio-pci"])
def test_vfs_with_a_driver_that_offers_nothing(node, driver):
    node.give(VFS[1], driver)
    with pytest.raises(
        Refused, match=rf"VF|vf 1 has {'no driver' if driver is None else f'driver {driver}'}, with which"
    ):
        apply(node, SPEC)


def test_a_driver_without_a_management_device(mlx5):
    mlx5.give(VFS[0], "igbvf")
    with pytest.raises(Refused, match="vf 0 with driver igbvf offers no vDPA management device"):
        apply(mlx5, SPEC)


def test_a_driver_whose_module_is_there_but_offers_nothing(node):
    node.old_kernel = True
    with pytest.raises(Refused, match="vf 0 with driver vp-vdpa offers no vDPA management device. There: none"):
        apply(node, SPEC)


def test_no_iommu(tmp_path):
    node = virtio_node(tmp_path, iommu=False)
    with pytest.raises(Refused, match=r"0000:02:00.0 vf 0 .vp-vdpa. is in no IOMMU group, .* fastpath_kernel_args"):
        apply(node, SPEC)
    apply(node, [entry(bus="virtio_vdpa")])


@pytest.mark.parametrize("module", ["vhost_vdpa", "vp_vdpa"])
def test_a_module_that_is_not_installed(tmp_path, module):
    if module == "vp_vdpa":
        node = virtio_node(tmp_path, without=[module], driver="virtio-pci")
        with pytest.raises(Refused, match="give it driver: vp-vdpa"):
            apply(node, SPEC)
        return
    node = virtio_node(tmp_path, without=[module])
    with pytest.raises(Refused, match=r"fastpath_vdpa\[0\] = 'vhost_vdpa': is no module of the running kernel"):
        apply(node, SPEC)


def test_a_node_without_the_tool(tmp_path):
    node = virtio_node(tmp_path, without=["vdpa"])
    with pytest.raises(Refused, match="node.tools = 'vdpa': cannot be found"):
        apply(node, SPEC)


def test_one_function_in_other_words(node):
    with pytest.raises(Refused, match=r"means 0000:02:00.0 vf 1, as fastpath_vdpa\[0\] does"):
        apply(node, [*SPEC, {"pf": {"address": PF}, "indexes": 1}])


def test_a_name_that_is_anothers_default(node):
    with pytest.raises(Refused, match=r"is the name of two devices, here and in fastpath_vdpa\[0\]"):
        apply(node, [entry(indexes=0), entry(indexes=1, name=NAMES[0])])
