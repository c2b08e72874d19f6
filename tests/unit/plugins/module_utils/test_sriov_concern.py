# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The whole concern on a model of a node: apply, run again, cut, reboot, give back."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, InUse, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES, FakeNode
from ansible_collections.nfv.fastpath.tests.unit.sriov_words import (
    PF,
    SECOND,
    SPEC,
    actions,
    apply,
    foreign_vfs,
    tear_down,
    use,
    vf,
)


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1)
    return node


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
        with pytest.raises(Refused, match=f"VF {address}.* is used by address:192.0.2.7") as refused:
            work()
        assert all(isinstance(problem, InUse) for problem in refused.value.problems)
    assert node.writes == []


def test_vfs_in_use_keep_their_driver(node):
    apply(node, SPEC)
    address = use(node, 4)
    other = [{**SPEC[0], "vfs": [*SPEC[0]["vfs"][:3], {"indexes": "4-5", "driver": "vfio-pci"}]}]
    with pytest.raises(Refused, match=f"VF {address} has driver igbvf and is used by") as refused:
        apply(node, other, disruption_ok=True)
    assert [type(problem) for problem in refused.value.problems] == [InUse]


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


def test_a_driver_that_is_coming_is_planned_with_and_never_counted_on(node):
    pfs = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "mlx5_core"}]}]
    ahead = apply(node, {"pfs": pfs, "coming_drivers": ["mlx5_core"]}, dry_run=True)
    assert "bind_driver" in actions(ahead) and node.writes == []
    with pytest.raises(Refused, match="mlx5_core.*not installed"):
        apply(node, {"pfs": pfs, "coming_drivers": []})


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
