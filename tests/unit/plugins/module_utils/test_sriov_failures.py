# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the SR-IOV concern does when the kernel or the power fails, and that any story ends where it began."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _host, _sriov_apply
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES, FakeNode
from ansible_collections.nfv.fastpath.tests.unit.sriov_words import (
    PF,
    SECOND,
    SPEC,
    actions,
    apply,
    tear_down,
    vf,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1)
    return node


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOMEM, "pci=realloc"),
        (errno.EBUSY, "something keeps them"),
        (errno.ENOENT, "makes no VFs"),
        (errno.ERANGE, "more than sriov_totalvfs"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_kernel_says_to_the_number_of_vfs(node, code, told):
    node.sriov_errno[PF] = code
    with pytest.raises(FastpathError, match=f"Cannot set 7 VFs on {PF}: .*{told}"):
        apply(node, SPEC)
    node.sriov_errno.clear()
    apply(node, SPEC)
    assert node.functions[PF].autoprobe


def test_a_driver_that_never_answers(node, monkeypatch):
    monkeypatch.setattr(_sriov_apply, "NUMVFS_SECONDS", 0.05)
    released = threading.Event()
    real = node.write_attribute
    monkeypatch.setattr(
        node, "write_attribute", lambda path, value: released.wait(5) if "numvfs" in path else real(path, value)
    )
    with pytest.raises(FastpathError, match="has not answered for 0.05 s"):
        apply(node, SPEC)
    released.set()


def test_vfs_that_never_appear(node, monkeypatch):
    monkeypatch.setattr(_sriov_apply, "VF_SECONDS", 0.05)
    monkeypatch.setattr(node, "_create_vfs", lambda *_: None)
    with pytest.raises(FastpathError, match="in vain for 7 VFs of 0000:81:00.0"):
        apply(node, SPEC)


def test_a_driver_that_does_not_bind_leaves_the_vf_as_it_was(node):
    apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 1}])
    node.refusing.add("uio_pci_generic")
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "uio_pci_generic"}]}]
    node.kernel_log = "[1.0] igb 0000:81:00.0: x\n[2.0] uio_pci_generic 0000:81:10.0: No IRQ\n[3.0] other\n"
    with pytest.raises(FastpathError, match=r"Driver uio_pci_generic does not take 0000:81:10.0: .*No IRQ"):
        apply(node, spec)
    assert vf(node, 0) == ("igbvf", "(null)")


def test_a_vf_that_no_driver_takes_any_more_is_told(node):
    apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 1}])
    node.refusing |= {"uio_pci_generic", "igbvf"}
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "uio_pci_generic"}]}]
    with pytest.raises(FastpathError, match="could not be taken back: Driver igbvf does not take 0000:81:10.0"):
        apply(node, spec)


def test_no_kernel_driver_for_the_vfs(tmp_path):
    node = FakeNode(tmp_path, installed=["igb", "vfio-pci"])
    node.add_pf()
    with pytest.raises(FastpathError, match="No kernel driver is installed for VF 0000:81:10.0"):
        apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 1}])


def test_an_attribute_that_the_driver_does_not_know(node):
    apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 1}])
    node.unsupported.add("trust")
    before = node.snapshot()
    wanted = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "vlan": 5, "trust": True}]}]
    with pytest.raises(FastpathError, match="Cannot set trust on of VF 0 through ens1: the driver igb of the"):
        apply(node, wanted)
    assert node.snapshot() == before


def test_a_pf_that_knows_no_attributes(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(vendor="1af4", device="1041", vf_device="1041", driver="virtio-pci", total=4)
    with pytest.raises(FastpathError, match="Cannot set vlan 5 of VF 0 .* driver virtio-pci"):
        apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "vlan": 5}]}])


def test_virtio_vfs(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(vendor="1af4", device="1041", vf_device="1041", driver="virtio-pci", total=4)
    before = node.snapshot()
    apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 4, "vfs": [{"indexes": "0-1", "driver": "vp-vdpa"}]}])
    assert [vf(node, index)[0] for index in range(4)] == ["vp-vdpa", "vp-vdpa", "virtio-pci", "virtio-pci"]
    apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 4}])
    assert vf(node, 0) == ("virtio-pci", "(null)")
    tear_down(node)
    assert node.snapshot() == before


def test_vfs_whose_driver_is_built_in(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(vendor="1af4", device="1041", vf_device="1041", driver="virtio-pci", total=4)
    node.built_in.add("virtio-pci")
    before = node.snapshot()
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 2}]
    apply(node, spec)
    assert [vf(node, index) for index in range(2)] == [("virtio-pci", "(null)")] * 2
    assert node.functions[PF].autoprobe
    assert not apply(node, spec).changed
    tear_down(node)
    assert node.snapshot() == before


def test_a_run_that_fails_gives_autoprobe_back(node):
    node.refusing.add("igbvf")
    with pytest.raises(FastpathError, match="Driver igbvf does not take"):
        apply(node, SPEC)
    assert node.functions[PF].autoprobe


def test_autoprobe_that_cannot_be_given_back_is_told(node, monkeypatch):
    write = FakeNode.write_attribute

    def refused(host, path, value):
        if path.endswith("sriov_drivers_autoprobe") and value == "1":
            raise OSError(errno.EIO, "Input/output error")
        write(host, path, value)

    monkeypatch.setattr(FakeNode, "write_attribute", refused)
    node.refusing.add("igbvf")
    with pytest.raises(FastpathError, match=f"igbvf does not take.*sriov_drivers_autoprobe of {PF} stays off"):
        apply(node, SPEC)


RATE = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "max_rate": 100}]}]


def without_a_link(node: FakeNode) -> Path:
    carrier = Path(node.path("/sys/class/net/ens1")).resolve() / "carrier"
    carrier.parent.mkdir(parents=True, exist_ok=True)
    carrier.write_text("0\n")
    return carrier


def test_a_rate_waits_for_the_link_that_drivers_compare_it_with(node, monkeypatch):
    carrier = without_a_link(node)
    monkeypatch.setattr(_host.time, "sleep", lambda _seconds: carrier.write_text("1\n"))
    apply(node, RATE)
    assert carrier.read_text() == "1\n"


def test_a_rate_without_a_cable_is_left_to_the_driver(node, monkeypatch):
    without_a_link(node)
    monkeypatch.setattr(_sriov_apply, "CARRIER_SECONDS", 0.0)
    assert "set_vf_attributes" in actions(apply(node, RATE))


def legacy(node: FakeNode) -> None:
    node._put("/sys/module/oldnic/parameters/max_vfs", "0")
    node.add_pf("0000:05:00.0", "old0", vendor="abcd", device="0001", driver="oldnic", total=None, vf_device="0002")


def test_a_driver_that_takes_max_vfs(node):
    legacy(node)
    before = node.snapshot()
    spec = [{"pf": {"netdev": "old0"}, "num_vfs": 3, "vfs": [{"indexes": 0, "driver": "vfio-pci"}]}]
    with pytest.raises(FastpathError, match="driver oldnic takes the number of VFs only when it is loaded"):
        apply(node, spec)
    apply(node, spec, disruption_ok=True)
    assert "options oldnic max_vfs=3\n" in node.read("/etc/modprobe.d/fastpath-oldnic.conf")
    assert [vf(node, index, "0000:05:00.0")[0] for index in range(3)] == ["vfio-pci", "oldnicvf", "oldnicvf"]
    assert not apply(node, spec).changed
    tear_down(node, disruption_ok=True)
    assert node.listdir("/etc/modprobe.d") == []
    assert node.snapshot() == before


def test_a_driver_is_not_loaded_anew_under_the_nodes_feet(node):
    legacy(node)
    node.links["old0"]["addr_info"].append({"local": "192.0.2.10", "scope": "global"})
    with pytest.raises(Refused, match="must be loaded anew, and the node talks through its function 0000:05:00.0"):
        apply(node, [{"pf": {"netdev": "old0"}, "num_vfs": 3, "in_use_ok": True}], disruption_ok=True)


def test_after_a_reboot_all_comes_back_and_the_record_stays(node):
    before = node.snapshot()
    apply(node, SPEC)
    applied, recorded = node.snapshot(), SriovConcern(node).store.record()
    node.reboot()
    spec = SriovConcern(node).store.desired()
    plan = converge(SriovConcern(node), Request(spec=spec))
    assert not plan.disruptive
    assert node.snapshot() == applied and SriovConcern(node).store.record() == recorded
    tear_down(node)
    assert node.snapshot() == before


def checks(node: FakeNode, spec: Any, **more: Any) -> dict[tuple[str, str], Any]:
    found = verify(SriovConcern(node, **more), spec)
    return {(check.id, check.target): check for check in found}


def test_verification(node):
    apply(node, SPEC)
    for address in ("0000:81:10.0", "0000:81:10.1"):
        group = node.link_name(f"{DEVICES}/{address}/iommu_group")
        node._put(f"/dev/vfio/{group}", "")
    node._put("/dev/vfio/vfio", "")
    viable = struct.pack("=II", 8, 1)
    found = checks(node, SPEC, ioctl=lambda *_: viable)
    assert [key for key, check in found.items() if not check.ok] == []
    assert {check_id for check_id, _target in found} == {
        "sriov.numvfs",
        "sriov.mtu",
        "sriov.link",
        "sriov.driver",
        "sriov.attributes",
        "sriov.vfio",
    }


def test_verification_of_a_node_that_lost_it(node):
    apply(node, SPEC)
    node.reboot()
    failed = {key for key, check in checks(node, SPEC).items() if not check.ok}
    assert {("sriov.numvfs", PF), ("sriov.mtu", PF), ("sriov.driver", f"{PF} vf 0")} <= failed
    assert ("sriov.pf", "netdev ens9") in checks(node, [{"pf": {"netdev": "ens9"}, "num_vfs": 1}])


def test_verification_sees_vfio_that_does_not_work(node):
    apply(node, SPEC)
    found = checks(node, SPEC)
    assert "there is no /dev/vfio/" in found[("sriov.vfio", "0000:81:10.0")].seen


MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
DRIVERS = st.sampled_from(["vfio-pci", "igbvf", "kernel", "uio_pci_generic", None])


@st.composite
def specs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any valid spec for the two PFs of the model."""
    pfs = []
    for netdev in draw(st.sets(st.sampled_from(["ens1", "ens2"]))):
        count = draw(st.integers(0, 5))
        owners = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
        groups = []
        for owner in sorted(set(owners) - {0}):
            more = draw(st.fixed_dictionaries({}, optional={"vlan": st.integers(0, 9), "trust": st.booleans()}))
            indexes = [index for index, number in enumerate(owners) if number == owner]
            groups.append({"indexes": indexes, "driver": draw(DRIVERS), **more})
        pf = {"pf": {"netdev": netdev}, "num_vfs": count, "vfs": groups}
        pfs.append({**pf, **draw(st.fixed_dictionaries({}, optional={"mtu": st.sampled_from([1500, 9000])}))})
    return pfs


def two_pfs(foreign: int) -> FakeNode:
    node = FakeNode(tempfile.mkdtemp(prefix="fastpath-", dir=MEMORY))
    node.add_pf()
    node.add_pf(SECOND, "ens2")
    node.load("vfio_pci")
    if foreign:
        node.write_attribute(f"{DEVICES}/{PF}/sriov_numvfs", str(foreign))
    return node


def removed(node: FakeNode) -> None:
    shutil.rmtree(node.root)


thorough = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(first=specs(), second=specs(), foreign=st.integers(0, 3))
def test_any_spec_after_any_other_is_kept_and_can_be_given_back(first, second, foreign):
    node = two_pfs(foreign)
    before = node.snapshot()
    for spec in (first, second):
        apply(node, spec, disruption_ok=True)
        assert not apply(node, spec).changed
    tear_down(node)
    assert node.snapshot() == before
    removed(node)


@thorough
@given(spec=specs(), foreign=st.integers(0, 3), cut=st.integers(0, 60), reboots=st.booleans())
def test_a_run_that_is_cut_anywhere_is_finished_by_the_next(spec, foreign, cut, reboots):
    node = two_pfs(foreign)
    before = node.snapshot()
    with node.cut_off(cut) as power:
        apply(node, spec, disruption_ok=True)
    if power.gone and reboots and not foreign:
        node.reboot()
    apply(node, spec, disruption_ok=True)
    assert not apply(node, spec).changed
    assert all(function.autoprobe for function in node.functions.values())
    tear_down(node)
    assert node.snapshot() == before
    removed(node)


@thorough
@given(spec=specs(), foreign=st.integers(0, 3), cut=st.integers(0, 40))
def test_a_teardown_that_is_cut_anywhere_is_finished_by_the_next(spec, foreign, cut):
    node = two_pfs(foreign)
    before = node.snapshot()
    apply(node, spec, disruption_ok=True)
    with node.cut_off(cut) as power:
        tear_down(node)
    if power.gone:
        tear_down(node)
    assert node.snapshot() == before
    assert node.listdir("/var/lib/fastpath") == node.listdir("/etc/fastpath") == []
    removed(node)
