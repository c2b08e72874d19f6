# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole vDPA concern on a model of a node: apply, run again, change, give back."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa import MODULES_LOAD
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES
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

node = pytest.fixture(virtio_node)
mlx5 = pytest.fixture(mlx5_node)


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


def test_the_pci_drivers_are_never_touched(node):
    apply(node, SPEC)
    tear_down(node)
    assert not [path for path, _text in node.writes if path.startswith(DEVICES)]


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


def test_a_module_that_is_built_in(node):
    node.load("vhost_vdpa")
    shutil.rmtree(node.path("/sys/module/vp_vdpa"))
    node.built_in_modules.add("vp_vdpa")
    apply(node, SPEC)
    assert not apply(node, SPEC).changed


def test_a_node_without_vdpa_has_nothing_to_do(tmp_path):
    node = VdpaNode(tmp_path)
    assert actions(apply(node, [])) == ["save_desired"]
    assert not [argv for argv in node.commands if argv[0] == "vdpa" and argv != ["vdpa", "-V"]]


# Management devices


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
