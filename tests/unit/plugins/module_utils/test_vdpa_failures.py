# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the vDPA concern does when the kernel, a program or the power fails, at boot, and that any story ends well."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import tempfile
import threading
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_apply, _vhost_vdpa
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._vhost_vdpa import GET_DEVICE_ID
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES
from ansible_collections.nfv.fastpath.tests.unit.vdpa_bus_node import BUS
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF, VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VFS,
    VHOST,
    actions,
    apply,
    bus_driver,
    entry,
    mlx5_node,
    record,
    sriov,
    tear_down,
    virtio_node,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
VDUSE = [{"mgmtdev": "vduse", "name": "soft"}]


@pytest.fixture
def node(tmp_path):
    return virtio_node(tmp_path)


def ioctl(features=0x300000020):
    return lambda _file, request, _argument: (
        struct.pack("=I", 1) if request == GET_DEVICE_ID else struct.pack("=Q", features)
    )


# The kernel


def test_what_the_kernel_refuses_is_told_and_nothing_is_left(node):
    node.tool_error = (
        "Error: vdpa: Some provided attributes are not supported: 0x1.\nkernel answers: Operation not supported\n"
    )
    with pytest.raises(FastpathError, match="cannot set all of features .Some provided attributes"):
        apply(node, [entry(features=["MAC", "VERSION_1"])])
    assert node.devices == {}
    node.tool_error = ""
    apply(node, [entry(features=["MAC", "VERSION_1"])])
    tear_down(node)
    assert node.devices == {}


def test_a_management_device_that_never_comes(node, monkeypatch):
    monkeypatch.setattr(_vdpa_apply, "MGMTDEV_SECONDS", 0.0)
    monkeypatch.setattr(_vdpa_apply, "management_devices", lambda _host: {})
    concern = VdpaConcern(node)
    with pytest.raises(FastpathError, match="in vain for the vDPA management device pci/0000:02:10.0"):
        concern._work._add_device(_operation("add_device", "x", {"mgmtdev": "pci/0000:02:10.0"}))


def _operation(action, target, after):
    return _vdpa_apply.Operation(action, target, None, after)


def test_a_bus_driver_that_does_not_take_a_device_leaves_it_with_its_former(node):
    apply(node, SPEC)
    node.refusing_bus.add("virtio_vdpa")
    node.kernel_log = f"[1.0] other\n[2.0] virtio_vdpa: probe of {NAMES[0]} failed with error -22\n"
    with pytest.raises(FastpathError, match=r"cannot have the bus driver virtio_vdpa: No such device. .*error -22"):
        apply(node, [entry(bus="virtio_vdpa")], disruption_ok=True)
    assert bus_driver(node, NAMES[0]) == VHOST


def test_a_device_file_that_never_comes(node, monkeypatch):
    monkeypatch.setattr(_vdpa_apply, "DEVICE_SECONDS", 0.0)
    real = node._attach_bus

    def without_file(name, driver):
        real(name, driver)
        os.unlink(node.path(f"/dev/vhost-vdpa-{node.devices[name].number}"))

    monkeypatch.setattr(node, "_attach_bus", without_file)
    monkeypatch.setattr(node, "_unbind", lambda _name: None)
    with pytest.raises(FastpathError, match=f"in vain for the device file of {NAMES[0]}"):
        apply(node, SPEC)


def test_a_kernel_that_never_answers(node, monkeypatch):
    """Somebody opened the device in the last moment: the kernel then waits, and cannot be interrupted."""
    apply(node, SPEC)
    monkeypatch.setattr(_vdpa_apply, "KERNEL_SECONDS", 0.05)
    released = threading.Event()
    monkeypatch.setattr(_vdpa_apply._vdpa_tool, "delete", lambda *_: released.wait(5))
    with pytest.raises(FastpathError, match=f"Cannot remove {NAMES[0]}: the kernel has not answered for 0.05 s"):
        tear_down(node)
    released.set()
    assert record(node)["devices"]


def hold(monkeypatch, name):
    """Somebody whom no process of the node shows has a device file open."""
    real = os.open

    def busy(path, *more):
        if str(path).endswith(f"/dev/{name}"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return real(path, *more)

    monkeypatch.setattr(_vhost_vdpa, "os", SimpleNamespace(open=busy, close=os.close, O_RDWR=os.O_RDWR))


def test_a_user_that_no_process_shows(node, monkeypatch):
    apply(node, SPEC)
    hold(monkeypatch, "vhost-vdpa-1")
    with pytest.raises(FastpathError, match=f"{NAMES[1]} stays as it is: somebody has /dev/vhost-vdpa-1 open"):
        tear_down(node)
    assert list(node.devices) == [NAMES[1]]
    with pytest.raises(FastpathError, match="stays as it is"):
        apply(node, [entry(indexes=1, bus="virtio_vdpa")], disruption_ok=True)
    assert bus_driver(node, NAMES[1]) == VHOST


def test_who_comes_while_a_device_goes_finds_it_taken(node):
    apply(node, SPEC)
    node.late_openers = True
    apply(node, [entry(indexes=0, bus="virtio_vdpa"), entry(indexes=1)], disruption_ok=True)
    assert node.turned_away == 1
    tear_down(node)
    assert node.turned_away == 2 and node.devices == {}


def test_what_cannot_be_taken_back_is_told(node):
    apply(node, SPEC)
    node.refusing_bus |= {"virtio_vdpa", "vhost_vdpa"}
    with pytest.raises(FastpathError, match="cannot have the bus driver virtio_vdpa.* This could not be taken back"):
        apply(node, [entry(bus="virtio_vdpa")], disruption_ok=True)


def test_a_device_that_is_gone_meanwhile_is_no_failure(node):
    apply(node, SPEC)
    node._delete(NAMES[0])
    assert actions(tear_down(node)) == ["remove_device", "remove_file", "forget"]


def test_a_vf_that_is_gone_with_its_device(node):
    apply(node, SPEC)
    node._remove_vfs(node.functions[PF])
    with pytest.raises(Refused, match="vf 0 is not there"):
        apply(node, SPEC)
    assert actions(apply(node, [])) == ["save_desired", "remove_file", "release", "release"]
    assert not apply(node, []).changed


# At boot


def test_after_a_reboot_all_comes_back_and_the_record_stays(node):
    before = node.snapshot()
    spec = [entry(indexes=0, features=["MAC", "VERSION_1"]), entry(indexes=1, bus="virtio_vdpa")]
    apply(node, spec)
    recorded = record(node)
    node.reboot()
    assert node.devices == {}
    node.add_vfs()
    concern = VdpaConcern(node, booting=True)
    plan = converge(concern, Request(spec=concern.store.desired(), persist=False))
    assert actions(plan) == ["add_device", "bind_device"] * 2 and not plan.disruptive
    assert [bus_driver(node, name)[0] for name in NAMES] == ["vhost_vdpa", "virtio_vdpa"]
    assert record(node) == recorded
    tear_down(node)
    assert node.snapshot() == before


def test_a_vduse_device(node):
    with pytest.raises(Refused, match="start the program that makes it first"):
        apply(node, VDUSE)
    node.offer("soft")
    apply(node, VDUSE)
    assert node.devices["soft"].mgmtdev == "vduse" and bus_driver(node, "soft") == VHOST
    assert "vduse" in node.read("/etc/modules-load.d/fastpath-vdpa.conf")
    assert not apply(node, VDUSE).changed
    node.open("soft")
    with pytest.raises(Refused, match="used by vhost-vdpa:4711"):
        tear_down(node)
    node.close()
    tear_down(node)
    assert node.devices == {} and node.listdir("/sys/class/vduse") == ["soft"]


def test_a_vduse_program_that_is_not_ready(node):
    node.offer("soft", ready=False)
    with pytest.raises(FastpathError, match="has to set up its queues first"):
        apply(node, VDUSE)
    node.vduse["soft"] = True
    apply(node, VDUSE)


def test_at_boot_a_vduse_program_may_come_later(node):
    spec = [*SPEC, *VDUSE]
    node.offer("soft")
    apply(node, spec)
    recorded = record(node)
    node.reboot()
    node.add_vfs()

    def boot():
        return converge(VdpaConcern(node, booting=True), Request(spec=spec, persist=False))

    plan = boot()
    assert plan.warnings == ("soft: no program offers it through VDUSE yet.",)
    assert set(node.devices) == set(NAMES) and record(node) == recorded
    node.offer("soft")
    assert actions(boot()) == ["add_device", "bind_device"]
    assert set(node.devices) == {*NAMES, "soft"}


# Looking ahead


def ahead(node, spec, **more):
    return apply(node, spec, VdpaConcern(node, looking_ahead=True), dry_run=True, **more)


# The PF in other words than those of the devices.
by_address = partial(sriov, pf={"address": PF})


@pytest.fixture
def bare(tmp_path):
    """Before the role sriov has made any VF."""
    return virtio_node(tmp_path, 0)


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


# Verification


def checks(node: VdpaNode, spec: Any, **more: Any) -> dict[tuple[str, str], Any]:
    found = verify(VdpaConcern(node, ioctl=more.pop("ioctl", ioctl()), **more), spec)
    return {(check.id, check.target): check for check in found}


def test_verification(node):
    spec = [entry(indexes=0, features=["MAC", "VERSION_1", "ACCESS_PLATFORM"]), entry(indexes=1, bus="virtio_vdpa")]
    apply(node, spec)
    found = checks(node, spec)
    assert [key for key, check in found.items() if not check.ok] == []
    assert [check_id for check_id, _target in found] == [
        "vdpa.device",
        "vdpa.driver",
        "vdpa.node",
        "vdpa.features",
        "vdpa.device",
        "vdpa.driver",
        "vdpa.netdev",
    ]


def test_verification_of_attributes(tmp_path):
    node = mlx5_node(tmp_path)
    spec = [entry(indexes=0, mac="02:00:00:00:00:01", mtu=9000)]
    apply(node, spec)
    check = checks(node, spec)[("vdpa.attributes", NAMES[0])]
    assert check.ok and check.seen == {"mac": "02:00:00:00:00:01", "mtu": 9000}
    node.devices[NAMES[0]].config["mtu"] = 1500
    check = checks(node, spec)[("vdpa.attributes", NAMES[0])]
    assert check.seen == {"mac": "02:00:00:00:00:01", "mtu": 1500}


def test_verification_of_a_node_that_lost_it(node):
    apply(node, SPEC)
    node.reboot()
    node.add_vfs()
    found = checks(node, SPEC)
    assert {key for key, check in found.items() if not check.ok} == {
        (check_id, name) for name in NAMES for check_id in ("vdpa.device", "vdpa.driver")
    }
    assert found[("vdpa.device", NAMES[0])].seen is None


def test_verification_without_vfs(node):
    node._remove_vfs(node.functions[PF])
    found = checks(node, SPEC)
    assert found[("vdpa.device", NAMES[0])].expected == "0000:02:00.0 vf 0"
    assert ("vdpa.spec", "fastpath_vdpa[0].pf") in checks(node, [entry(pf={"netdev": "ens9"})])


def test_verification_sees_a_device_that_no_program_can_have(node):
    apply(node, SPEC)
    os.unlink(node.path("/dev/vhost-vdpa-0"))
    found = checks(node, SPEC)
    assert found[("vdpa.node", NAMES[0])].seen == "there is no /dev/vhost-vdpa-0"
    assert found[("vdpa.node", NAMES[1])].ok
    node.write_attribute(f"{BUS}/devices/{NAMES[1]}/driver/unbind", NAMES[1])
    found = checks(node, SPEC)
    assert found[("vdpa.driver", NAMES[1])].seen is None and ("vdpa.node", NAMES[1]) not in found


def test_verification_sees_other_features_and_a_missing_interface(node):
    spec = [entry(indexes=0, features=["MAC", "VERSION_1"]), entry(indexes=1, bus="virtio_vdpa")]
    apply(node, spec)
    folder = node.path(f"{node.devices[NAMES[1]].virtio}/net")
    shutil.rmtree(folder)
    found = checks(node, spec, ioctl=ioctl(1 << 5))
    assert (found[("vdpa.features", NAMES[0])].expected, found[("vdpa.features", NAMES[0])].seen) == (
        ["MAC", "VERSION_1"],
        ["MAC"],
    )
    assert found[("vdpa.netdev", NAMES[1])].seen == "none"


# Any story

BUSES = st.sampled_from(["vhost_vdpa", "virtio_vdpa"])
FEATURES = st.sampled_from([["MAC", "VERSION_1"], ["VERSION_1"]])


@st.composite
def specs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any valid spec for the four VFs of the model."""
    owners = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    entries = []
    for owner in sorted(set(owners) - {0}):
        indexes = [index for index, number in enumerate(owners) if number == owner]
        more = draw(st.fixed_dictionaries({"bus": BUSES}, optional={"features": FEATURES}))
        if len(indexes) == 1 and draw(st.booleans()):
            more["name"] = f"vdpa{owner}"
        entries.append(entry(indexes=indexes, **more))
    return entries


def fresh(foreign: bool) -> VdpaNode:
    node = virtio_node(tempfile.mkdtemp(prefix="fastpath-", dir=MEMORY))
    if foreign:
        node.load("virtio_vdpa")
        node.add_foreign("vdpa-0000-02-00.0-vf3", VFS[3])
    return node


def without_features_on_foreign(spec: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A device of others on VF 3 can only be taken as it is, by its name."""
    return [
        {**item, "features": None} if 3 in item["indexes"] else item
        for item in spec
        if 3 not in item["indexes"] or "name" not in item
    ]


thorough = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(first=specs(), second=specs(), foreign=st.booleans())
def test_any_spec_after_any_other_is_kept_and_can_be_given_back(first, second, foreign):
    node = fresh(foreign)
    before = node.snapshot()
    for spec in (first, second):
        wanted = without_features_on_foreign(spec) if foreign else spec
        apply(node, wanted, disruption_ok=True)
        assert not apply(node, wanted).changed
        count = sum(len(item["indexes"]) for item in wanted)
        kept = foreign and not any(3 in item["indexes"] for item in wanted)
        assert len(node.devices) == count + kept
    tear_down(node)
    assert node.snapshot() == before
    shutil.rmtree(node.root)


@thorough
@given(former=specs(), spec=specs(), cut=st.integers(0, 40), reboots=st.booleans())
def test_a_run_that_is_cut_anywhere_is_finished_by_the_next(former, spec, cut, reboots):
    node = fresh(False)
    before = node.snapshot()
    apply(node, former, disruption_ok=True)
    with node.cut_off(cut) as power:
        apply(node, spec, disruption_ok=True)
    if power.gone and reboots:
        node.reboot()
        node.add_vfs()
    apply(node, spec, disruption_ok=True)
    assert not apply(node, spec).changed
    for name, device in node.devices.items():
        made = record(node)["devices"][name]
        assert device.features == made.get("features")
    tear_down(node)
    assert node.snapshot() == before
    shutil.rmtree(node.root)


@thorough
@given(spec=specs(), cut=st.integers(0, 30))
def test_a_teardown_that_is_cut_anywhere_is_finished_by_the_next(spec, cut):
    node = fresh(True)
    before = node.snapshot()
    apply(node, without_features_on_foreign(spec), disruption_ok=True)
    with node.cut_off(cut) as power:
        tear_down(node)
    if power.gone:
        tear_down(node)
    assert node.snapshot() == before
    assert node.listdir("/var/lib/fastpath") == node.listdir("/etc/fastpath") == []
    shutil.rmtree(node.root)


def test_the_pci_drivers_are_never_touched(node):
    apply(node, SPEC)
    tear_down(node)
    assert not [path for path, _text in node.writes if path.startswith(DEVICES)]
