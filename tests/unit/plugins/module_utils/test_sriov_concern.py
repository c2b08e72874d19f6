# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole concern on a model of a node: apply, run again, cut, reboot, give back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
import tempfile
import threading
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_apply
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES, Cut, FakeNode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PF, SECOND = "0000:81:00.0", "0000:01:00.0"
SPEC = [
    {
        "pf": {"netdev": "ens1"},
        "num_vfs": 7,
        "mtu": 9000,
        "vfs": [
            {"indexes": "0-1", "driver": "vfio-pci", "pool": "dpdk"},
            {"indexes": 2, "driver": "igbvf", "vlan": 100, "qos": 3, "trust": True},
            {"indexes": 3, "driver": None},
            {"indexes": "4-5", "macs": ["02:00:00:00:00:04", "02:00:00:00:00:05"], "max_rate": 100},
        ],
    }
]


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1)
    return node


def apply(node: FakeNode, spec: Any, **more: Any) -> Plan:
    return converge(SriovConcern(node), Request(spec=spec, **more))


def tear_down(node: FakeNode, **more: Any) -> Plan:
    return converge(SriovConcern(node), Request(present=False, **more))


def actions(plan: Plan) -> list[str]:
    return [operation.action for operation in plan.operations]


def vf(node: FakeNode, index: int, pf: str = PF) -> tuple[str | None, str]:
    """Driver and override."""
    address = node.link_name(f"{DEVICES}/{pf}/virtfn{index}")
    return node.link_name(f"{DEVICES}/{address}/driver"), node.read_value(f"{DEVICES}/{address}/driver_override")


def use(node: FakeNode, index: int, pf: str = PF) -> str:
    """Give a VF's interface an address, so that it is in use."""
    name = node.functions[node.functions[pf].vfs[index]].netdev
    node.links[name]["addr_info"].append({"local": "192.0.2.7", "scope": "global"})
    return node.functions[pf].vfs[index]


def test_everything_that_is_asked_for(node):
    apply(node, SPEC)
    assert [vf(node, index) for index in range(7)] == [
        ("vfio-pci", "vfio-pci"),
        ("vfio-pci", "vfio-pci"),
        ("igbvf", "igbvf"),
        (None, "none"),
        ("igbvf", "(null)"),
        ("igbvf", "(null)"),
        ("igbvf", "(null)"),
    ]
    pf = node.functions[PF]
    assert pf.autoprobe
    assert {name: pf.attributes[2][name] for name in ("vlan", "qos", "trust")} == {"vlan": 100, "qos": 3, "trust": True}
    assert (pf.attributes[5]["mac"], pf.attributes[5]["max_tx_rate"]) == ("02:00:00:00:00:05", 100)
    assert node.links["ens1"]["mtu"] == 9000 and "UP" in node.links["ens1"]["flags"]


def test_the_order_of_what_is_written(node):
    apply(node, [{"pf": {"address": PF}, "num_vfs": 2, "vfs": [{"indexes": 0, "driver": "vfio-pci"}]}])
    first, second = "0000:81:10.0", "0000:81:10.1"
    assert node.writes == [
        (f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "0"),
        (f"{DEVICES}/{PF}/sriov_numvfs", "2"),
        (f"{DEVICES}/{first}/driver_override", "vfio-pci\n"),
        ("/sys/bus/pci/drivers/vfio-pci/bind", first),
        (f"{DEVICES}/{second}/driver_override", "igbvf\n"),
        ("/sys/bus/pci/drivers/igbvf/bind", second),
        (f"{DEVICES}/{second}/driver_override", "\n"),
        (f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "1"),
    ]
    changing = [argv for argv in node.commands if (argv[0] == "modprobe" and argv[1][0] != "-") or "link" in argv]
    assert changing == [["modprobe", "vfio-pci"], ["ip", "link", "set", "dev", "ens1", "up"]]


def test_one_process_for_all_attributes_of_a_pf(node):
    apply(node, [{"pf": {"address": PF}, "num_vfs": 7, "vfs": [{"indexes": "0-6", "vlan": 5, "trust": True}]}])
    assert node.commands.count(["ip", "-batch", "-"]) == 1


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


def test_teardown_gives_back_what_was_there(node):
    before = node.snapshot()
    apply(node, SPEC)
    plan = tear_down(node)
    assert actions(plan) == ["set_mtu", "set_numvfs", "set_link", "forget"]
    assert not plan.disruptive
    assert node.snapshot() == before
    assert node.listdir("/etc/fastpath") == node.listdir("/var/lib/fastpath") == []
    assert not tear_down(node).changed


def foreign_vfs(node: FakeNode) -> dict[str, Any]:
    """Three VFs that somebody else made, one of them bound and set otherwise; the node as it then is."""
    node.write_attribute(f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "0")
    node.write_attribute(f"{DEVICES}/{PF}/sriov_numvfs", "3")
    node.load("vfio_pci")
    node.write_attribute(f"{DEVICES}/0000:81:10.1/driver_override", "vfio-pci")
    node.write_attribute("/sys/bus/pci/drivers/vfio-pci/bind", "0000:81:10.1")
    node.functions[PF].attributes[1].update(vlan=7, trust=True)
    return node.snapshot()


def test_vfs_of_others_come_back_as_they_were(node):
    before = foreign_vfs(node)
    apply(node, [{**SPEC[0], "num_vfs": 3, "vfs": [{"indexes": "0-1", "driver": "igbvf", "vlan": 9}]}])
    assert vf(node, 1) == ("igbvf", "igbvf") and node.functions[PF].attributes[1]["vlan"] == 9
    tear_down(node)
    assert node.snapshot() == before


def test_vfs_of_others_come_back_also_when_their_number_changed(node):
    before = foreign_vfs(node)
    apply(node, SPEC, disruption_ok=True)
    assert len(node.functions[PF].vfs) == 7
    tear_down(node)
    assert node.snapshot() == before


def test_the_record_is_of_before_the_first_change(node):
    foreign_vfs(node)
    apply(node, [{**SPEC[0], "num_vfs": 3, "vfs": []}])
    recorded = SriovConcern(node).store.record()
    apply(node, SPEC, disruption_ok=True)
    assert SriovConcern(node).store.record() == recorded
    assert recorded["pfs"][PF]["numvfs"] == 3 and recorded["pfs"][PF]["vfs"][1]["driver"] == "vfio-pci"
    assert (recorded["pfs"][PF]["mtu"], recorded["pfs"][PF]["up"]) == (1500, False)


def test_a_pf_that_is_no_longer_asked_for_is_given_back(node):
    node.add_pf(SECOND, "ens2")
    before = node.snapshot()
    second = {"pf": {"netdev": "ens2"}, "num_vfs": 2}
    apply(node, [*SPEC, second])
    plan = apply(node, SPEC)
    assert actions(plan) == ["save_desired", "set_numvfs", "set_link", "release"]
    assert list(SriovConcern(node).store.record()["pfs"]) == [PF]
    node.functions[SECOND].autoprobe = False
    assert not apply(node, SPEC).changed
    node.functions[SECOND].autoprobe = True
    tear_down(node)
    assert node.snapshot() == before


def test_a_pf_that_left_the_machine(node):
    node.add_pf(SECOND, "ens2")
    apply(node, [*SPEC, {"pf": {"netdev": "ens2"}, "num_vfs": 2}])
    node._remove_vfs(node.functions[SECOND])
    node._detach(node.functions[SECOND])
    os.unlink(node.path(f"{DEVICES}/{SECOND}"))
    plan = apply(node, SPEC)
    assert actions(plan) == ["save_desired", "release"]
    assert plan.warnings == (f"PF {SECOND} of an earlier run is no longer in this machine.",)


def test_another_number_needs_consent(node):
    apply(node, SPEC)
    fewer = [{"pf": {"netdev": "ens1"}, "num_vfs": 4}]
    with pytest.raises(FastpathError, match="all 7 are removed first"):
        apply(node, fewer)
    assert len(node.functions[PF].vfs) == 7
    apply(node, fewer, disruption_ok=True)
    assert [text for path, text in node.writes if path.endswith("numvfs")] == ["7", "0", "4"]
    assert [vf(node, index)[0] for index in range(4)] == ["igbvf"] * 4


@pytest.mark.parametrize("consent", [True, False])
def test_vfs_in_use_are_never_removed(node, consent):
    apply(node, SPEC)
    address = use(node, 2)
    node.writes.clear()
    for work in (
        lambda: apply(node, [{"pf": {"netdev": "ens1"}, "num_vfs": 4}], disruption_ok=consent),
        lambda: apply(node, [], disruption_ok=consent),
        lambda: tear_down(node, disruption_ok=consent),
    ):
        with pytest.raises(Refused, match=f"VF {address}.* is used by address:192.0.2.7"):
            work()
    assert node.writes == []


def test_vfs_in_use_keep_their_driver(node):
    apply(node, SPEC)
    address = use(node, 4)
    other = [{**SPEC[0], "vfs": [*SPEC[0]["vfs"][:3], {"indexes": "4-5", "driver": "vfio-pci"}]}]
    with pytest.raises(Refused, match=f"VF {address} has driver igbvf and is used by"):
        apply(node, other, disruption_ok=True)


def test_other_vfs_of_the_pf_may_change_meanwhile(node):
    apply(node, SPEC)
    use(node, 4)
    apply(node, [{**SPEC[0], "vfs": [*SPEC[0]["vfs"], {"indexes": 6, "driver": "vfio-pci"}]}])
    assert vf(node, 6) == ("vfio-pci", "vfio-pci")


def test_attributes_of_vfs_in_use_need_consent(node):
    apply(node, SPEC)
    use(node, 2)
    other = json.loads(json.dumps(SPEC))
    other[0]["vfs"][1]["vlan"] = 200
    with pytest.raises(FastpathError, match="set_vf_attributes"):
        apply(node, other)
    apply(node, other, disruption_ok=True)
    assert (node.functions[PF].attributes[2]["vlan"], node.functions[PF].attributes[2]["qos"]) == (200, 3)


def talk_through(node: FakeNode) -> None:
    node.links["ens1"]["addr_info"].append({"local": "192.0.2.10", "scope": "global"})
    node.routes.append({"dst": "default", "dev": "ens1"})


def test_a_pf_that_the_node_needs_is_refused_unless_its_entry_consents(node):
    talk_through(node)
    with pytest.raises(Refused, match="through which the node itself talks .default-route, address:192.0.2.10."):
        apply(node, SPEC, disruption_ok=True)
    plan = apply(node, [{**SPEC[0], "in_use_ok": True}])
    assert "may interrupt its link" in plan.warnings[0]


def test_a_pf_that_the_node_needs_may_stay_as_it_is(node):
    apply(node, SPEC)
    talk_through(node)
    assert not apply(node, SPEC).changed


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"num_vfs": 8}, "supports 7 VFs"),
        ({"num_vfs": 1, "vfs": [{"indexes": 0, "driver": "mlx5_core"}]}, "mlx5_core.*not installed"),
        (
            {"num_vfs": 1, "pf": {"netdev": "ens9"}},
            "fits no PF. PFs here: .* 0000:81:00.0 .8086:10c9, ens1, NUMA",
        ),
        ({"num_vfs": 1, "pf": {"address": "0000:00:1f.0"}}, "offers no SR-IOV"),
        ({"num_vfs": 1, "pf": {"vendor": "8086", "device": "10c9"}}, "fits several PFs"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_changed(node, spec, told):
    node.add_pf(SECOND, "ens2")
    node.add_function("0000:00:1f.0", "8086", "0001", class_code="60100")
    with pytest.raises(Refused, match=told):
        apply(node, [{"pf": {"netdev": "ens1"}, **spec}])
    assert node.writes == [] and not node.exists("/etc/fastpath/sriov.json")


def test_the_same_pf_in_other_words(node):
    with pytest.raises(Refused, match=r"fastpath_sriov\[1\].pf = .*: is .*, as is fastpath_sriov\[0\]"):
        apply(node, [*SPEC, {"pf": {"address": PF}, "num_vfs": 1}])


def test_a_vf_is_no_pf(node):
    apply(node, SPEC)
    with pytest.raises(Refused, match="is a VF of 0000:81:00.0: name the PF"):
        apply(node, [{"pf": {"address": "0000:81:10.2"}, "num_vfs": 1}])


def test_a_pf_without_a_driver(tmp_path):
    node = FakeNode(tmp_path)
    node.add_function(PF, "8086", "ffff", total=4)
    with pytest.raises(Refused, match="has no driver") as refused:
        apply(node, [{"pf": {"address": PF}, "num_vfs": 1, "mtu": 9000}])
    assert "has no network interface" in refused.value.message


def test_a_pf_by_its_permanent_address(node):
    node.links["ens1"].update(address="02:ff:00:00:00:01", permaddr="02:00:00:00:81:00")
    for mac in ("02:ff:00:00:00:01", "02:00:00:00:81:00"):
        assert apply(node, [{"pf": {"mac": mac}, "num_vfs": 1}], dry_run=True).changed


def test_vfio_without_an_iommu_needs_consent_and_is_taken_back(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(iommu=False)
    before = node.snapshot()
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "vfio-pci"}]}]
    with pytest.raises(Refused, match="VFIO needs an IOMMU.*noiommu_ok"):
        apply(node, spec)
    with_consent = {"pfs": spec, "noiommu_ok": True}
    assert "enable_noiommu" in actions(apply(node, with_consent))
    parameter = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"
    assert node.read_value(parameter) == "Y"
    assert not apply(node, with_consent).changed
    tear_down(node)
    assert node.read_value(parameter) == "N"
    assert node.snapshot() == before


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
    node.changes, node.cut_after = 0, cut
    try:
        apply(node, spec, disruption_ok=True)
    except Cut:
        if reboots and not foreign:
            node.reboot()
    node.cut_after = None
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
    node.changes, node.cut_after = 0, cut
    try:
        tear_down(node)
    except Cut:
        node.cut_after = None
        tear_down(node)
    assert node.snapshot() == before
    assert node.listdir("/var/lib/fastpath") == node.listdir("/etc/fastpath") == []
    removed(node)
