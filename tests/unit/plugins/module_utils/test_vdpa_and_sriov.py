# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""vDPA devices and the VFs below them: who may take what away, what is judged before, and what pods see of both."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import fingerprint, parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import InUse, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._pool_discovery import find_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_targets import behind_iommu
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF, VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VFS,
    actions,
    apply,
    entry,
    mlx5_node,
    sriov,
    tear_down,
    virtio_node,
)


@pytest.fixture
def node(tmp_path):
    return virtio_node(tmp_path, 0)


def make_vfs(node: VdpaNode, spec: Any, **more: Any) -> Plan:
    return converge(SriovConcern(node), Request(spec=spec, **more))


# One run changes both


def test_vfs_go_to_another_driver_in_the_run_in_which_their_devices_go(node):
    before = node.snapshot()
    make_vfs(node, sriov())
    apply(node, SPEC)
    plan = make_vfs(node, sriov("vfio-pci"))
    assert [f"vDPA device {name} goes with VF {vf}" in text for name, vf, text in zip(NAMES, VFS, plan.warnings)] == [
        True,
        True,
    ]
    assert node.devices == {}
    assert actions(apply(node, [])) == ["save_desired", "remove_file", "release", "release"]
    tear_down(node)
    converge(SriovConcern(node), Request(present=False))
    assert node.snapshot() == before


def test_another_number_of_vfs_takes_consent_and_devices_are_made_again(node):
    make_vfs(node, sriov())
    apply(node, SPEC)
    make_vfs(node, sriov(num_vfs=3), disruption_ok=True)
    assert node.devices == {}
    assert actions(apply(node, SPEC)) == ["add_device", "bind_device"] * 2
    assert not make_vfs(node, sriov(num_vfs=3)).changed


@pytest.mark.parametrize("spec", [sriov("vfio-pci"), sriov(num_vfs=3)])
def test_devices_in_use_keep_their_vfs(node, spec):
    make_vfs(node, sriov())
    apply(node, SPEC)
    node.open(NAMES[0])
    with pytest.raises(Refused, match=r"used by vhost-vdpa:4711 \(qemu\): move") as refused:
        make_vfs(node, spec, disruption_ok=True)
    assert [isinstance(problem, InUse) for problem in refused.value.problems] == [True]
    assert set(node.devices) == set(NAMES)


@pytest.mark.parametrize("spec", [sriov("vfio-pci"), sriov(num_vfs=3)])
def test_who_comes_while_a_vf_goes_finds_its_device_taken(node, spec):
    make_vfs(node, sriov())
    apply(node, SPEC)
    node.late_openers = True
    make_vfs(node, spec, disruption_ok=True)
    assert node.devices == {} and node.turned_away == 2


def test_devices_of_others_keep_their_vfs(node):
    make_vfs(node, sriov())
    node.add_foreign("theirs", VFS[0])
    with pytest.raises(Refused, match="used by vdpa:theirs"):
        make_vfs(node, sriov("vfio-pci"), disruption_ok=True)


def test_an_interface_that_is_in_a_pod_keeps_its_vf(node):
    make_vfs(node, sriov())
    apply(node, [entry(indexes=0, bus="virtio_vdpa")])
    node.take_into_pod(NAMES[0])
    with pytest.raises(Refused, match=f"used by vdpa:{NAMES[0]}"):
        make_vfs(node, sriov("vfio-pci"), disruption_ok=True)


def test_a_teardown_of_vfs_comes_after_that_of_their_devices(node):
    make_vfs(node, sriov())
    apply(node, SPEC)
    with pytest.raises(Refused, match=f"{NAMES[0]}.* is a vDPA device on VF {VFS[0]}: tear vdpa down before"):
        converge(SriovConcern(node), Request(present=False))
    assert set(node.devices) == set(NAMES)
    tear_down(node)
    converge(SriovConcern(node), Request(present=False))
    assert node.functions[PF].vfs == []


def test_an_interface_that_nobody_uses_goes_with_its_vf(node):
    make_vfs(node, sriov())
    apply(node, [entry(indexes=0, bus="virtio_vdpa")])
    make_vfs(node, sriov("vfio-pci"))
    assert node.devices == {}


# Judged before anything is done


def ahead(node: VdpaNode, devices: Any, vfs: Any) -> Plan:
    concern = VdpaConcern(node, looking_ahead=True)
    return concern.plan(concern.discover(), concern.parse({"devices": devices, "sriov": vfs}))


def variables(node: VdpaNode, devices: Any, vfs: Any) -> list[str]:
    with pytest.raises(Refused) as refused:
        ahead(node, devices, vfs)
    return [problem.variable for problem in refused.value.problems]


def test_a_vf_that_another_pool_has_by_different_words(node):
    found = variables(node, SPEC, sriov(pf={"address": PF}, pool="nic"))
    assert found == ["fastpath_vdpa[0].indexes"] * 2
    assert ahead(node, SPEC, sriov(pf={"address": PF})).changed


def test_a_vf_that_keeps_a_driver_that_offers_nothing(node):
    """Where the VF has the driver already that it is to have, no run changes what it lacks."""
    node.functions[PF].vendor = node.functions[PF].vf_vendor = "8086"
    node.add_vfs(4, "igbvf")
    (problem,) = variables(node, [entry(indexes=0)], sriov("igbvf"))
    assert problem == "fastpath_vdpa[0].indexes"


@pytest.mark.parametrize("pf", [{"netdev": "ens2"}, {"address": PF}])
@pytest.mark.parametrize("there", [True, False])
def test_who_needs_the_iommu_whichever_words_name_the_pf(node, pf, there):
    if there:
        node.add_vfs(4, "vp-vdpa")
    concern = VdpaConcern(node, looking_ahead=True)

    def asked(driver: str, **more: Any) -> list[str]:
        spec = {"devices": [entry(**more)], "sriov": sriov(driver, pf=pf)}
        return behind_iommu(concern.discover(), concern.parse(spec))

    assert asked("vp-vdpa") == ["fastpath_vdpa[0].bus"]
    assert asked("vp-vdpa", bus="virtio_vdpa") == asked("mlx5_core") == []


def test_without_an_iommu_the_planner_waits_for_who_sees_the_reboot(tmp_path):
    node = virtio_node(tmp_path, iommu=False)
    assert ahead(node, SPEC, []).changed
    with pytest.raises(Refused, match="is in no IOMMU group"):
        apply(node, SPEC)


@pytest.mark.parametrize(
    ("vfs", "devices"),
    [
        (sriov(num_vfs=3), SPEC),
        (sriov(num_vfs=3), []),
        (sriov("vfio-pci"), []),
        (
            [{"pf": {"netdev": "ens2"}, "num_vfs": 3, "vfs": [{"indexes": "0-2", "driver": "vp-vdpa"}]}],
            [entry(indexes=2)],
        ),
        (sriov(), SPEC),
    ],
)
def test_a_plan_foresees_what_goes_with_vfs_and_is_made_again(node, vfs, devices):
    make_vfs(node, sriov())
    apply(node, SPEC)
    planned = ahead(node, devices, vfs)
    make_vfs(node, vfs, disruption_ok=True)
    done = converge(VdpaConcern(node), Request(spec=devices, persist=False, dry_run=True))
    assert planned.result() == done.result()


def test_a_plan_for_vfs_that_keep_the_kernels_driver(tmp_path):
    node = mlx5_node(tmp_path, 0)
    vfs = [{"pf": {"netdev": "ens2"}, "num_vfs": 2}]
    make_vfs(node, vfs)
    apply(node, SPEC)
    assert not ahead(node, SPEC, vfs).changed
    more = [{"pf": {"netdev": "ens2"}, "num_vfs": 3}]
    assert actions(ahead(node, SPEC, more)) == ["add_device", "bind_device"] * 2
    assert actions(ahead(node, [entry(indexes="0-2")], more)) == ["add_device", "bind_device"] * 3


def test_a_plan_leaves_devices_in_use_to_who_refuses_to_take_their_vfs(node):
    make_vfs(node, sriov())
    apply(node, SPEC)
    node.open(NAMES[0])
    assert actions(ahead(node, SPEC, sriov(num_vfs=3))) == ["add_device", "bind_device"]


# What a device plugin sees


def seen(node: VdpaNode, spec: Any) -> str:
    pools, problems = parse_node_pools(None, spec)
    assert problems == []
    return fingerprint(find_devices(node, pools.slices))


def test_a_device_that_was_made_anew_is_another_for_the_device_plugin(tmp_path):
    """Its name is the same and its device file is not, and a plugin looks only once."""
    node = mlx5_node(tmp_path)
    spec = [entry(pool="vdpa", mtu=1500)]
    found = [seen(node, spec)]
    for mtu in (1500, 9000):
        apply(node, [entry(pool="vdpa", mtu=mtu)], disruption_ok=True)
        found += [seen(node, spec), seen(node, spec)]
    assert found[1] == found[2] and found[3] == found[4] and len(set(found)) == 3
    apply(node, [entry(pool="vdpa", mtu=9000, bus="virtio_vdpa")], disruption_ok=True)
    assert seen(node, spec) not in found
