# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of vDPA devices before the role sriov has made the VFs that they are to be on."""

from __future__ import annotations

from functools import partial

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    SPEC,
    VFS,
    actions,
    apply,
    entry,
    sriov,
    virtio_node,
)

# The PF in other words than those of the devices.
by_address = partial(sriov, pf={"address": PF})


node = pytest.fixture(virtio_node)


@pytest.fixture
def bare(tmp_path):
    """Before the role sriov has made any VF."""
    return virtio_node(tmp_path, 0)


def ahead(node, spec, **more):
    return apply(node, spec, VdpaConcern(node, looking_ahead=True), dry_run=True, **more)


def test_vfs_that_are_yet_to_be_made(bare):
    plan = ahead(bare, {"devices": SPEC, "sriov": by_address()})
    assert actions(plan)[2:] == ["load_module", "load_module", *["add_device", "bind_device"] * 2]
    assert plan.operations[4].after == {"mgmtdev": "0000:02:00.0 vf 0"}
    assert "0000:02:00.0 vf 0 is not there yet. A run would be refused if this is still so." in plan.warnings
    assert bare.changes == 0
    assert actions(ahead(bare, SPEC))[-2:] == ["add_device", "bind_device"]


@pytest.mark.parametrize(
    ("promised", "told"),
    [
        (by_address("vfio-pci"), r"VF 0 has driver vfio-pci in fastpath_sriov\[0\]"),
        (by_address(None), "VF 1 has driver null"),
        (by_address("kernel"), "has the kernel's virtio-pci"),
        (by_address(num_vfs=1), None),
        (by_address(pool="x"), "is in pool x of"),
    ],
)
def test_promises_of_sriov_that_do_not_fit(bare, promised, told):
    if told is None:
        promised[0]["vfs"] = []
        told = "VF 1 is out of range"
    with pytest.raises(Refused, match=told):
        ahead(bare, {"devices": SPEC, "sriov": promised})


def test_attributes_are_judged_by_the_promised_driver(bare):
    with pytest.raises(Refused, match="mtu = 1500: cannot be set with the driver vp-vdpa"):
        ahead(bare, {"devices": [entry(mtu=1500)], "sriov": by_address()})


def test_a_promised_driver_that_is_not_installed(tmp_path):
    node = virtio_node(tmp_path, 0, without=["vp_vdpa"])
    with pytest.raises(Refused, match=r"fastpath_vdpa\[0\] = 'vp_vdpa': is no module of the running kernel"):
        ahead(node, {"devices": SPEC, "sriov": by_address()})


def test_drivers_that_sriov_will_change_are_not_held_against_vfs(node):
    for address in VFS:
        node.give(address, "virtio-pci")
    assert ahead(node, {"devices": SPEC, "sriov": by_address()}).changed
    with pytest.raises(Refused, match="has driver virtio-pci"):
        apply(node, SPEC)


def test_what_sriov_will_not_touch_is_judged_as_it_is(bare):
    elsewhere = [{"pf": {"netdev": "ens9"}, "num_vfs": 1}]
    with pytest.raises(Refused, match="0000:02:00.0 vf 0 is not there"):
        ahead(bare, {"devices": SPEC, "sriov": elsewhere})
    bare.add_vfs(4, "virtio-pci")
    with pytest.raises(Refused, match="vf 0 has driver virtio-pci"):
        ahead(bare, {"devices": SPEC, "sriov": elsewhere})
    with pytest.raises(Refused, match="0000:02:00.0 has driver virtio-pci"):
        ahead(bare, {"devices": [{"pf": {"address": PF}}], "sriov": by_address()})


def test_a_spec_of_sriov_that_cannot_be_read_is_left_to_its_own_parser(bare):
    assert ahead(bare, {"devices": SPEC, "sriov": [{"pf": 3}]}).changed
