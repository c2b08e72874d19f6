# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The concern as a whole, on a node whose GRUB configuration a real shell reads, and which reboots."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import (
    node_facts,
)
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.grub_node import (
    AMD,
    MAIN,
    OWN,
    PAGES,
    PAGES_LINE,
    PASSTHROUGH,
    STOCK,
    GrubNode,
    actions,
)


@pytest.fixture
def node(tmp_path):
    return GrubNode(tmp_path)


def record(node: GrubNode) -> dict[str, Any]:
    return json.loads((node.root / "var/lib/fastpath/kernel_args.json").read_text())


# One request, start to end


def test_a_request_is_written_waits_for_the_reboot_and_is_live(node):
    plan = node.apply(PASSTHROUGH, PAGES)
    assert actions(plan) == ["save_desired", "set_boot_arguments", "remember"]
    assert node.boot_lines() == [f"root=UUID=1234 ro intel_iommu=on iommu=pt {PAGES_LINE} quiet"] * 2
    assert plan.reboot_reason == f"the running kernel is without intel_iommu=on iommu=pt {PAGES_LINE}"
    again = node.apply(PASSTHROUGH, PAGES)
    assert (again.changed, again.reboot_reason) == (False, plan.reboot_reason)
    node.reboot()
    live = node.apply(PASSTHROUGH, PAGES)
    assert (live.changed, live.reboot_reason) == (False, "")
    assert node.commands == [("update-grub",)]


def test_what_the_boot_loader_reads_is_in_its_place_before_a_reboot_is_asked_for(node, monkeypatch):
    """A power cut in between boots the former entries, and is not taken for a reboot that brought nothing."""
    seen = []
    monkeypatch.setattr(
        Host,
        "flush_for_boot_loader",
        lambda host, folder: seen.append((folder, "iommu=pt" in node.boot_lines()[0], "asked" in record(node))),
    )
    node.apply(PASSTHROUGH)
    assert seen == [("/boot/grub", True, False)]
    assert record(node)["asked"]["arguments"] == ["intel_iommu=on", "iommu=pt"]


def test_nothing_asked_for_changes_nothing_of_the_boot_loader(node):
    before = node.boot_files()
    plan = node.apply({}, [])
    assert actions(plan) == ["save_desired"]
    assert {path: text for path, text in node.boot_files().items() if path in before} == before
    assert node.commands == []
    assert not node.apply({}, []).changed


def test_a_second_run_writes_nothing(node):
    node.apply(PASSTHROUGH, PAGES)
    times = {path: os.stat(path).st_mtime_ns for path in node.root.rglob("*") if path.is_file()}
    node.apply(PASSTHROUGH, PAGES)
    del times[node.root / "run/fastpath.lock"]
    assert times == {path: os.stat(path).st_mtime_ns for path in times}


def test_teardown_gives_back_what_was_there(node):
    before = node.boot_files()
    node.apply({**PASSTHROUGH, "remove": ["quiet"]}, PAGES)
    node.reboot()
    plan = node.teardown()
    assert actions(plan) == ["set_boot_arguments", "forget"]
    assert plan.reboot_reason.startswith("the running kernel is without quiet and still with intel_iommu=on")
    assert node.boot_files() == before
    again = node.teardown()
    assert (again.changed, again.reboot_reason) == (False, plan.reboot_reason)
    node.reboot()
    assert node.teardown().reboot_reason == ""
    assert node.live().endswith(STOCK)


def test_teardown_before_the_reboot_needs_none(node):
    node.apply(PASSTHROUGH)
    assert node.teardown().reboot_reason == ""
    assert not node.teardown().changed


def test_teardown_of_nothing_is_nothing(node):
    before = node.files()
    assert not node.teardown().changed
    assert node.files() == before


def test_what_is_no_longer_asked_for_goes(node):
    node.apply({**PASSTHROUGH, "extra": {"nosmt": None}})
    node.reboot()
    plan = node.apply(PASSTHROUGH)
    assert plan.reboot_reason == "the running kernel is still with nosmt"
    assert node.apply(PASSTHROUGH).reboot_reason == plan.reboot_reason
    node.reboot()
    settled = node.apply(PASSTHROUGH)
    assert (settled.changed, settled.reboot_reason) == (False, "")
    node.apply({})
    assert OWN not in node.files()


# Check mode


@pytest.mark.parametrize("spec", [{}, PASSTHROUGH, {"remove": ["quiet"]}, {"extra": {"console": ["tty0", "ttyS0"]}}])
def test_check_mode_says_what_then_happens_and_touches_nothing(node, spec):
    before = node.files()
    expected = node.apply(spec, PAGES, dry_run=True)
    assert node.files() == before
    assert node.commands == []
    assert node.apply(spec, PAGES) == expected
    node.reboot()
    expected = node.teardown(dry_run=True)
    assert node.teardown() == expected


# The node's own arguments


def test_ours_in_the_place_of_the_same_of_the_node_gives_way_to_it_again(tmp_path):
    node = GrubNode(tmp_path, linux="console=tty0")
    node.apply({"extra": {"console": ["tty0", "ttyS0"]}, "remove": ["console=tty0"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 console=ttyS0 quiet"
    node.reboot()
    assert node.apply({}).reboot_reason == "the running kernel is still with console=ttyS0"
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 quiet"
    assert not node.apply({}).changed


def test_an_argument_of_the_node_is_neither_added_twice_nor_taken_away(tmp_path):
    node = GrubNode(tmp_path, linux="intel-iommu=on,sm_on", default="quiet")
    node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel-iommu=on,sm_on iommu=pt quiet"
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel-iommu=on,sm_on quiet"


def test_an_argument_that_the_node_gets_by_itself_later_is_handed_over(node):
    node.apply(PASSTHROUGH)
    node.put(MAIN, node.get(MAIN).replace("quiet", "quiet iommu=pt"))
    node.update_grub()
    assert node.apply(PASSTHROUGH).changed
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on quiet iommu=pt"
    assert not node.apply(PASSTHROUGH).changed
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro quiet iommu=pt"


def test_another_value_of_the_node_is_refused_with_the_file(tmp_path):
    node = GrubNode(tmp_path, default="quiet intel_iommu=off")
    before = node.files()
    with pytest.raises(Refused, match=r"intel_iommu=off \(see /etc/default/grub\).*remove: \[intel_iommu\]"):
        node.apply(PASSTHROUGH)
    assert node.files() == before
    node.apply({**PASSTHROUGH, "remove": ["intel_iommu"]})
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on iommu=pt quiet"
    node.reboot()
    assert not node.apply({**PASSTHROUGH, "remove": ["intel_iommu"]}).changed
    node.teardown()
    assert node.boot_lines()[0] == "root=UUID=1234 ro quiet intel_iommu=off"


def test_pages_of_the_node_are_refused_since_pairs_cannot_be_mixed(tmp_path):
    node = GrubNode(tmp_path, linux="hugepagesz=2M hugepages=8")
    with pytest.raises(Refused, match="hugepagesz=2M hugepages=8"):
        node.apply({}, [{"size": "1G", "count": 2}])
    node.apply({"remove": ["hugepagesz", "hugepages"]}, [{"size": "1G", "count": 2}])
    assert node.boot_lines()[0] == "root=UUID=1234 ro hugepagesz=1G hugepages=2 quiet"


def test_the_same_pages_of_the_node_are_enough(tmp_path):
    node = GrubNode(tmp_path, linux="hugepagesz=1G hugepages=2")
    assert actions(node.apply({}, [{"size": "1G", "count": 2}])) == ["save_desired"]


def test_pages_that_could_not_be_had_at_run_time_come_at_boot(node):
    node.put("var/lib/fastpath/hugepages.json", json.dumps({"promoted": [1048576]}))
    node.apply({}, [{"size": "1G", "count": 2, "at": "runtime"}])
    assert node.boot_lines()[0] == "root=UUID=1234 ro hugepagesz=1G hugepages=2 quiet"


def test_names_that_add_up_are_shared_with_the_node(tmp_path):
    node = GrubNode(tmp_path, linux="console=tty0")
    node.apply({"extra": {"console": "ttyS0"}})
    assert node.boot_lines()[0] == "root=UUID=1234 ro console=tty0 console=ttyS0 quiet"


def test_a_line_that_the_kernel_would_cut_is_refused(node):
    with pytest.raises(Refused, match="the kernel cuts off"):
        node.apply({"extra": {"memmap": [f"4K$0x{number:08x}" for number in range(200)]}})
    assert node.commands == []


# IOMMU by what the kernel does


def test_an_iommu_that_is_on_anyway_needs_no_argument(node):
    node.set_iommu_groups(3)
    assert actions(node.apply({"iommu": "on"})) == ["save_desired"]


def test_groups_without_an_iommu_do_not_count(node):
    node.set_iommu_groups(3, "vfio-noiommu")
    assert node_facts(node.host).iommu_groups == 0
    node.apply({"iommu": "on"})
    assert "intel_iommu=on" in node.boot_lines()[0]


def test_an_iommu_that_is_on_because_of_us_stays(node):
    node.apply({"iommu": "on"})
    node.reboot()
    node.set_iommu_groups(3)
    plan = node.apply({"iommu": "on"})
    assert (plan.changed, plan.reboot_reason) == (False, "")


def test_amd(tmp_path):
    node = GrubNode(tmp_path, cpuinfo=AMD)
    plan = node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro iommu=pt quiet"
    assert any("AMD-Vi" in warning for warning in plan.warnings)


def test_an_intel_iommu_beside_an_amd_cpu(tmp_path):
    node = GrubNode(tmp_path, cpuinfo=AMD)
    node.put("sys/firmware/acpi/tables/DMAR", "")
    plan = node.apply(PASSTHROUGH)
    assert node.boot_lines()[0] == "root=UUID=1234 ro intel_iommu=on iommu=pt quiet"
    assert plan.warnings == ()


def test_all_that_is_wrong_with_a_request_is_said_at_once(node):
    with pytest.raises(Refused) as error:
        node.apply({"iomu": "on", "isolated_cpus": "x"}, [{"size": "3M", "count": 1}])
    assert len(error.value.problems) == 3
    with pytest.raises(Refused, match="no CPU 9"):
        node.apply({"isolated_cpus": "9"})
    assert node.commands == []
