# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the vDPA concern does when the kernel or a program fails it, and after a reboot."""

from __future__ import annotations

import errno
import os
import threading
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_apply, _vhost_vdpa
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import PF
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VHOST,
    actions,
    apply,
    bus_driver,
    entry,
    record,
    tear_down,
    virtio_node,
)

node = pytest.fixture(virtio_node)


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
