# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole vDPA concern on a model of a node: apply, run again, refuse, adopt, give back."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, InUse, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa import MODULES_LOAD
from ansible_collections.nfv.fastpath.tests.unit.fake_pci import Driver
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF, VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VFS,
    VHOST,
    VIRTIO,
    actions,
    apply,
    bus_driver,
    entry,
    mlx5_node,
    record,
    tear_down,
    virtio_node,
)


@pytest.fixture
def node(tmp_path):
    return virtio_node(tmp_path)


@pytest.fixture
def mlx5(tmp_path):
    return mlx5_node(tmp_path)


def test_everything_that_is_asked_for(node):
    plan = apply(node, SPEC)
    assert actions(plan) == ["save_desired", "write_file", "load_module", *["add_device", "bind_device"] * 2]
    assert [bus_driver(node, name) for name in NAMES] == [VHOST, VHOST]
    assert [node.devices[name].mgmtdev for name in NAMES] == [f"pci/{address}" for address in VFS[:2]]
    assert node.exists("/dev/vhost-vdpa-0") and node.exists("/dev/vhost-vdpa-1")
    assert plan.after["devices"][NAMES[0]] == {"mgmtdev": f"pci/{VFS[0]}", "driver": "vhost_vdpa"}


def test_the_order_of_what_is_written(node):
    node.commands.clear()
    apply(node, [entry(indexes=2)])
    name = "vdpa-0000-02-00.0-vf2"
    assert node.writes == [(f"{BUS}/devices/{name}/driver_override", "vhost_vdpa\n")]
    changing = [argv for argv in node.commands if argv[:3] == ["vdpa", "dev", "add"] or argv[0] == "modprobe"]
    assert changing == [
        ["modprobe", "--show-depends", "vhost_vdpa"],
        ["modprobe", "vhost_vdpa"],
        ["vdpa", "dev", "add", "name", name, "mgmtdev", f"pci/{VFS[2]}"],
    ]


def test_modules_are_loaded_at_boot_too(node):
    apply(node, [entry(indexes=0), entry(indexes=1, bus="virtio_vdpa")])
    assert node.read(MODULES_LOAD) == "# Made by nfv.fastpath.vdpa\nvhost_vdpa\nvirtio_vdpa\nvp_vdpa\n"


def test_both_buses_whichever_driver_takes_a_device_first(node):
    node.load("virtio_vdpa")
    node.load("vhost_vdpa")
    apply(node, [entry(indexes=0), entry(indexes=1, bus="virtio_vdpa")])
    assert [bus_driver(node, name) for name in NAMES] == [VHOST, VIRTIO]
    assert "vnet1" in node.links and "vnet0" not in node.links


def test_every_attribute(mlx5):
    macs = ["02:00:00:00:00:01", "02:00:00:00:00:02"]
    features = ["MAC", "MTU", "MQ", "VERSION_1"]
    spec = [entry(macs=macs, mtu=9000, max_vqp=4, features=features)]
    apply(mlx5, spec)
    assert [mlx5.devices[name].config for name in NAMES] == [
        {"mac": mac, "mtu": 9000, "max_vq_pairs": 4} for mac in macs
    ]
    assert mlx5.devices[NAMES[0]].features == 1 << 5 | 1 << 3 | 1 << 22 | 1 << 32
    assert "mlx5_vdpa" in mlx5.read(MODULES_LOAD)
    changes = mlx5.changes
    assert not apply(mlx5, spec).changed and mlx5.changes == changes


def test_a_second_run_changes_and_writes_nothing(node):
    apply(node, SPEC)
    changes = node.changes
    assert not apply(node, SPEC).changed
    assert node.changes == changes


def test_check_mode_says_the_same_and_does_nothing(node):
    before = node.snapshot()
    dry = apply(node, SPEC, dry_run=True)
    assert node.snapshot() == before and node.changes == 0
    assert dry.result() == apply(node, SPEC).result()
    gone = tear_down(node, dry_run=True)
    assert gone.result() == tear_down(node).result()


def test_teardown_gives_back_what_was_there(node):
    before = node.snapshot()
    apply(node, SPEC)
    plan = tear_down(node)
    assert actions(plan) == ["remove_device", "remove_device", "remove_file", "forget"]
    assert not plan.disruptive and node.snapshot() == before
    assert node.listdir("/etc/fastpath") == node.listdir("/var/lib/fastpath") == []
    assert not tear_down(node).changed


def test_a_file_of_that_name_that_was_there_comes_back(node):
    node.write_file(MODULES_LOAD, "vdpa\n")
    before = node.snapshot()
    apply(node, SPEC)
    tear_down(node)
    assert node.snapshot() == before


def test_devices_that_are_no_longer_asked_for_go(node):
    apply(node, [entry(indexes="0-2")])
    plan = apply(node, [entry(indexes=1)])
    assert actions(plan) == ["save_desired", "remove_device", "remove_device"]
    assert not plan.disruptive
    assert list(node.devices) == [NAMES[1]] and list(record(node)["devices"]) == [NAMES[1]]
    assert actions(apply(node, [])) == ["save_desired", "remove_file", "remove_device"]
    assert not apply(node, []).changed


def test_a_device_on_the_pf_itself(node):
    node.give(PF, "vp-vdpa")
    spec = [{"pf": {"address": PF}, "name": "whole"}]
    apply(node, spec)
    assert node.devices["whole"].mgmtdev == f"pci/{PF}"
    assert not apply(node, spec).changed


def test_a_renamed_device(node):
    apply(node, [entry(indexes=0, name="one")])
    plan = apply(node, [entry(indexes=0, name="two")])
    assert actions(plan) == ["save_desired", "remove_device", "add_device", "bind_device"]
    assert list(node.devices) == ["two"]


def test_devices_that_change_places(node):
    apply(node, [entry(indexes=0, name="one"), entry(indexes=1, name="two")])
    swapped = [entry(indexes=1, name="one"), entry(indexes=0, name="two")]
    with pytest.raises(FastpathError, match="its place: pci/0000:02:10.0, not pci/0000:02:10.1"):
        apply(node, swapped)
    apply(node, swapped, disruption_ok=True)
    assert {name: device.mgmtdev for name, device in node.devices.items()} == {
        "one": f"pci/{VFS[1]}",
        "two": f"pci/{VFS[0]}",
    }


def test_other_attributes_need_consent_and_a_new_device(mlx5):
    apply(mlx5, [entry(mtu=1500)])
    with pytest.raises(FastpathError, match=r"made anew \(mtu 1500 -> 9000\)"):
        apply(mlx5, [entry(mtu=9000)])
    plan = apply(mlx5, [entry(mtu=9000)], disruption_ok=True)
    assert actions(plan)[1:] == ["remove_device", "remove_device", *["add_device", "bind_device"] * 2]
    assert mlx5.devices[NAMES[0]].config["mtu"] == 9000
    assert plan.before["devices"][NAMES[0]]["mtu"] == 1500 and plan.after["devices"][NAMES[0]]["mtu"] == 9000


def test_other_features_too(mlx5):
    apply(mlx5, [entry(features=["MAC", "VERSION_1"])])
    with pytest.raises(FastpathError, match="features"):
        apply(mlx5, [entry(features=["VERSION_1"])])
    apply(mlx5, [entry(features=["VERSION_1"])], disruption_ok=True)
    assert mlx5.devices[NAMES[1]].features == 1 << 32


def test_what_is_no_longer_mentioned_is_left_alone(mlx5):
    apply(mlx5, [entry(mtu=9000, features=["MTU", "VERSION_1"])])
    assert actions(apply(mlx5, [entry()])) == ["save_desired"]


def test_another_bus_needs_consent(node):
    apply(node, SPEC)
    with pytest.raises(FastpathError, match="may be about to use it through vhost_vdpa"):
        apply(node, [entry(bus="virtio_vdpa")])
    plan = apply(node, [entry(bus="virtio_vdpa")], disruption_ok=True)
    assert actions(plan)[1:] == ["write_file", "load_module", "bind_device", "bind_device"]
    assert [bus_driver(node, name) for name in NAMES] == [VIRTIO, VIRTIO]
    assert node.read(MODULES_LOAD) == "# Made by nfv.fastpath.vdpa\nvirtio_vdpa\nvp_vdpa\n"


def test_drift_is_put_right(node):
    apply(node, SPEC)
    node._put(f"{BUS}/devices/{NAMES[0]}/driver_override", "(null)")
    node._delete(NAMES[1])
    plan = apply(node, SPEC)
    assert actions(plan) == ["bind_device", "add_device", "bind_device"] and not plan.disruptive
    assert [bus_driver(node, name) for name in NAMES] == [VHOST, VHOST]


@pytest.mark.parametrize("consent", [True, False])
def test_devices_in_use_are_never_removed(node, consent):
    apply(node, SPEC)
    node.open(NAMES[1])
    node.commands.clear()
    for work in (
        lambda: apply(node, [entry(indexes=0)], disruption_ok=consent),
        lambda: apply(node, [entry(bus="virtio_vdpa")], disruption_ok=consent),
        lambda: apply(node, [entry(indexes=0, name=NAMES[1])], disruption_ok=consent),
        lambda: tear_down(node, disruption_ok=consent),
    ):
        with pytest.raises(Refused, match=rf"{NAMES[1]}.* used by vhost-vdpa:4711 \(qemu\)") as refused:
            work()
        assert all(isinstance(problem, InUse) for problem in refused.value.problems)
    assert set(node.devices) == set(NAMES) and not [
        argv for argv in node.commands if argv[:3] == ["vdpa", "dev", "del"]
    ]
    node.close()
    tear_down(node)


def test_attributes_of_devices_in_use_stay(mlx5):
    apply(mlx5, [entry(mtu=1500)])
    mlx5.open(NAMES[0])
    with pytest.raises(Refused, match="used by vhost-vdpa:4711"):
        apply(mlx5, [entry(mtu=9000)], disruption_ok=True)


def test_a_mac_address_that_a_program_set_itself_is_no_drift_while_it_runs(mlx5):
    spec = [entry(indexes=0, mac="02:00:00:00:00:01")]
    apply(mlx5, spec)
    mlx5.open(NAMES[0])
    mlx5.devices[NAMES[0]].config["mac"] = "02:00:00:00:00:99"
    assert not apply(mlx5, spec).changed
    mlx5.close()
    with pytest.raises(FastpathError, match="mac 02:00:00:00:00:99 -> 02:00:00:00:00:01"):
        apply(mlx5, spec)


def test_a_device_in_use_may_stay_as_it_is_while_others_change(node):
    apply(node, SPEC)
    node.open(NAMES[0])
    node._put(f"{BUS}/devices/{NAMES[0]}/driver_override", "(null)")
    plan = apply(node, [entry(indexes="0-2")])
    assert actions(plan) == ["save_desired", "bind_device", "add_device", "bind_device"]
    assert bus_driver(node, NAMES[0]) == VHOST


def test_an_interface_in_use(node):
    apply(node, [entry(bus="virtio_vdpa")])
    node.links["vnet0"]["addr_info"].append({"local": "192.0.2.7", "scope": "global"})
    with pytest.raises(Refused, match="used by address:192.0.2.7: move its users away"):
        tear_down(node)


def test_an_interface_in_a_pod(node, monkeypatch):
    apply(node, [entry(indexes=0, bus="virtio_vdpa")])
    node._put("/run/netns/pod", "")
    node.take_into_pod(NAMES[0])
    inside = Completed(0, '[{"ifname": "eth1", "parentdev": "virtio0", "addr_info": []}]', "")
    real = node._run
    monkeypatch.setattr(node, "_run", lambda argv, *more: inside if argv[0] == "nsenter" else real(argv, *more))
    with pytest.raises(Refused, match="used by netns:/run/netns/pod"):
        tear_down(node)


def test_a_foreign_device_on_a_wanted_function_is_refused_with_both_ways_out(node):
    node.add_foreign("theirs", VFS[0])
    with pytest.raises(Refused, match="`vdpa dev del theirs`, or take it as it is with name: theirs"):
        apply(node, SPEC)
    assert list(node.devices) == ["theirs"] and node.changes == 0


def test_a_foreign_device_that_fits_is_adopted_and_given_back(node):
    node.load("virtio_vdpa")
    node.add_foreign("theirs", VFS[0], mtu=9000)
    before = node.snapshot()
    wanted = [entry(indexes=0, name="theirs")]
    with pytest.raises(FastpathError, match="through virtio_vdpa"):
        apply(node, wanted)
    plan = apply(node, wanted, disruption_ok=True)
    assert actions(plan) == ["save_desired", "write_file", "load_module", "bind_device"]
    assert record(node)["adopted"] == {"theirs": {"driver": "virtio_vdpa", "driver_override": None}}
    assert not apply(node, wanted).changed
    plan = tear_down(node)
    assert actions(plan) == ["bind_device", "remove_file", "forget"]
    assert node.snapshot() == before and bus_driver(node, "theirs") == ("virtio_vdpa", "(null)")


def test_an_adopted_device_is_given_back_when_it_is_no_longer_listed(node):
    node.add_foreign("theirs", VFS[0])
    apply(node, [entry(indexes=0, name="theirs")])
    assert actions(apply(node, [])) == ["save_desired", "remove_file", "bind_device", "release"]
    assert bus_driver(node, "theirs") == (None, "(null)")
    assert not record(node).get("adopted")


def test_a_foreign_device_that_differs_is_not_touched(node):
    node.add_foreign("theirs", VFS[0], mtu=1500)
    node.give(VFS[1], "vp-vdpa")
    with pytest.raises(
        Refused, match="is a vDPA device that is not ours, on pci/0000:02:10.0, and differs in its place"
    ):
        apply(node, [entry(indexes=1, name="theirs")], disruption_ok=True)
    assert node.devices["theirs"].config == {"mtu": 1500}


def test_a_device_that_its_driver_made_by_itself(node):
    """Kernels before 5.19 make one for each vp-vdpa function, and know no management device for it."""
    node.old_kernel = True
    node.add_foreign("vdpa0", VFS[0], managed=False)
    with pytest.raises(Refused, match="take it as it is with name: vdpa0"):
        apply(node, [entry(indexes=0)])
    apply(node, [entry(indexes=0, name="vdpa0")])
    assert bus_driver(node, "vdpa0") == VHOST
    tear_down(node)
    assert "vdpa0" in node.devices


def test_a_vendor_whose_management_devices_are_on_a_bus_of_their_own(node):
    for number, address in enumerate(VFS[:2]):
        node.give(address, "igbvf")
        node.add_auxiliary(f"pds_core.vDPA.{number}", address)
    apply(node, SPEC)
    assert [node.devices[name].mgmtdev for name in NAMES] == [f"auxiliary/pds_core.vDPA.{n}" for n in (0, 1)]
    assert not apply(node, SPEC).changed
    tear_down(node)
    assert node.devices == {}


def test_a_management_device_whose_bus_is_seen_only_when_its_module_is_loaded(node, monkeypatch):
    node.drivers["pds_core"] = Driver("pds_core", "pds_core")
    node.installed.add("pds_vdpa")
    node.give(VFS[0], "pds_core")
    real = node._modprobe

    def modprobe(words):
        if words != ["pds_vdpa"]:
            return real(words)
        os.makedirs(node.path("/sys/module/pds_vdpa"))
        node.add_auxiliary("pds_core.vDPA.1", VFS[0])
        return Completed(0, "", "")

    monkeypatch.setattr(node, "_modprobe", modprobe)
    apply(node, [entry(indexes=0)])
    assert node.devices[NAMES[0]].mgmtdev == "auxiliary/pds_core.vDPA.1"
    assert not apply(node, [entry(indexes=0)]).changed


def test_subfunctions_are_named_and_not_taken_for_their_pf(mlx5):
    mlx5.load("mlx5_vdpa")
    for number in (4, 5):
        mlx5.add_auxiliary(f"mlx5_core.sf.{number}", PF)
    sub_function = {"mgmtdev": "auxiliary/mlx5_core.sf.4", "name": "sf4"}
    spec = [sub_function, {"pf": {"address": PF}, "name": "whole"}]
    mlx5.give(PF, "mlx5_core")
    apply(mlx5, spec)
    assert {name: device.mgmtdev for name, device in mlx5.devices.items()} == {
        "sf4": "auxiliary/mlx5_core.sf.4",
        "whole": f"pci/{PF}",
    }
    assert not apply(mlx5, spec).changed
    with pytest.raises(Refused, match="one function, one vDPA device"):
        apply(mlx5, [sub_function, {**sub_function, "name": "other"}])


def test_a_driver_that_offers_its_management_device_late(node):
    node.drivers["octep_vdpa"] = Driver("octep_vdpa", "octep_vdpa")
    node.give(VFS[0], "octep_vdpa")
    os.makedirs(node.path("/sys/module/octep_vdpa"), exist_ok=True)
    plan = apply(node, [entry(indexes=0)], dry_run=True)
    assert actions(plan)[-2:] == ["add_device", "bind_device"]


def test_a_kernel_without_overrides(node):
    node.load("virtio_vdpa")
    node.add_foreign("theirs", VFS[0])
    os.unlink(node.path(f"{node.devices['theirs'].folder}/driver_override"))
    apply(node, [entry(indexes=0, name="theirs")], disruption_ok=True)
    assert bus_driver(node, "theirs") == ("vhost_vdpa", None)
    assert not apply(node, [entry(indexes=0, name="theirs")]).changed


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


def test_a_module_that_is_built_in(node):
    node.load("vhost_vdpa")
    shutil.rmtree(node.path("/sys/module/vp_vdpa"))
    node.built_in_modules.add("vp_vdpa")
    apply(node, SPEC)
    assert not apply(node, SPEC).changed


def test_a_node_without_the_tool(tmp_path):
    node = virtio_node(tmp_path, without=["vdpa"])
    with pytest.raises(Refused, match="node.tools = 'vdpa': cannot be found"):
        apply(node, SPEC)


def test_a_node_without_vdpa_has_nothing_to_do(tmp_path):
    node = VdpaNode(tmp_path)
    assert actions(apply(node, [])) == ["save_desired"]
    assert not [argv for argv in node.commands if argv[0] == "vdpa" and argv != ["vdpa", "-V"]]


def test_one_function_in_other_words(node):
    with pytest.raises(Refused, match=r"means 0000:02:00.0 vf 1, as fastpath_vdpa\[0\] does"):
        apply(node, [*SPEC, {"pf": {"address": PF}, "indexes": 1}])


def test_a_name_that_is_anothers_default(node):
    with pytest.raises(Refused, match=r"is the name of two devices, here and in fastpath_vdpa\[0\]"):
        apply(node, [entry(indexes=0), entry(indexes=1, name=NAMES[0])])
