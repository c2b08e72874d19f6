# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The concern hugepages against a node that behaves like a kernel and a systemd."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages import boot_arguments, promoted_sizes
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import reasons
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import HugepagesNode
from ansible_collections.nfv.fastpath.tests.unit.hugepages_words import (
    GIGANTIC,
    MOUNTED,
    SMALL,
    apply,
    record,
    teardown,
)
from ansible_collections.nfv.fastpath.tests.unit.power_cut import power_cut


@pytest.fixture
def node(tmp_path):
    return HugepagesNode(tmp_path)


def test_run_time_pages_go_where_they_were_asked_for(node):
    result = apply(node, SMALL).result()
    assert node.pages(2048) == {0: 512, 1: 0}
    assert result["changed"] and not result["reboot_required"] and not result["disruptive"]
    assert result["diff"] == {
        "before": {"pages": {"2M on NUMA node 0": 0}, "mounts": {}},
        "after": {"pages": {"2M on NUMA node 0": 512}, "mounts": {}},
    }
    assert node.writes == [("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "512")]


def test_second_run_changes_and_writes_nothing(node):
    apply(node, MOUNTED)
    node.writes.clear()
    node.calls.clear()
    before = {path: path.stat().st_mtime_ns for path in node.tree.rglob("*") if path.is_file()}
    assert not apply(node, MOUNTED).changed
    assert (node.writes, node.calls) == ([], [])
    after = {path: path.stat().st_mtime_ns for path in node.tree.rglob("*") if path.is_file()}
    lock = node.tree / "run/fastpath.lock"
    assert {**after, lock: 0} == {**before, lock: 0}


@pytest.mark.parametrize("pools", [(SMALL,), (MOUNTED,), (GIGANTIC,), (MOUNTED, GIGANTIC), ()])
def test_check_mode_tells_what_the_run_does(node, pools):
    before = node.snapshot()
    foretold = apply(node, *pools, dry_run=True)
    assert node.snapshot() == before and not (node.tree / "etc/fastpath").exists()
    assert foretold == apply(node, *pools)


def test_nodeless_pages_are_spread(node):
    apply(node, {"size": "2M", "count": 9})
    assert node.pages(2048) == {0: 5, 1: 4}
    assert node.writes == [("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "9")]


def test_pages_there_already_are_counted_and_other_sizes_left_alone(node):
    node.have(2048, 0, 512)
    node.have(1048576, 1, 1)
    apply(node, SMALL)
    assert node.writes == []
    assert node.pages(1048576) == {0: 0, 1: 1}


def test_gigantic_pages_wait_for_the_boot(node):
    plan = apply(node, {**GIGANTIC, "default": True})
    assert node.writes == []
    assert plan.reboot_reason == (
        "the default page size is 2M and becomes 1G at boot; "
        "0 of 1 pages of 1G on NUMA node 1 are there, the others are reserved at boot"
    )
    assert reasons(node) == {"hugepages": plan.reboot_reason}
    assert [step.action for step in plan.operations] == ["save_desired"]


def test_after_the_reboot_nothing_is_left_to_do(node):
    pool = {**GIGANTIC, "default": True}
    apply(node, pool)
    node.reboot("ro default_hugepagesz=1G hugepagesz=1G hugepages=1:1", {(1048576, 1): 1})
    meminfo = node.tree / "proc/meminfo"
    meminfo.write_text(meminfo.read_text().replace("2048 kB", "1048576 kB"))
    plan = apply(node, pool)
    assert (plan.operations, plan.reboot_reason) == ((), "")
    assert all(check.ok for check in verify(HugepagesConcern(node), [pool]))


def test_boot_pages_that_the_memory_did_not_give_are_no_reason_to_boot_again(node):
    node.reboot("ro hugepagesz=1G hugepages=1:1")
    node.limits[(1048576, 1)] = 0
    with pytest.raises(FastpathError, match="1G on NUMA node 1: wanted 1, got 0"):
        apply(node, GIGANTIC)
    assert reasons(node) == {}


def test_enough_gigantic_pages_need_no_boot(node):
    node.have(1048576, 1, 1)
    plan = apply(node, GIGANTIC)
    assert plan.reboot_reason == ""


def test_gigantic_pages_at_run_time(node):
    plan = apply(node, {**GIGANTIC, "at": "runtime"})
    assert node.pages(1048576) == {0: 0, 1: 1}
    assert plan.reboot_reason == "" and promoted_sizes(record(node)) == ()


@pytest.mark.parametrize("refused", [True, False])
def test_gigantic_pages_short_at_run_time_are_promoted(node, refused):
    pool = {**GIGANTIC, "count": 1, "at": "runtime"}
    node.limits[(1048576, 1)] = 0
    node.refuses_gigantic = refused
    plan = apply(node, pool)
    assert promoted_sizes(record(node)) == (1048576,)
    assert "0 of 1 pages of 1G on NUMA node 1" in plan.reboot_reason
    assert "wanted 1, got 0" in plan.warnings[0]
    pools = HugepagesConcern(node).parse([pool])
    assert boot_arguments(pools, promoted_sizes(record(node))) == (("hugepagesz", "1G"), ("hugepages", "1:1"))
    again = apply(node, pool)
    assert not again.changed and again.reboot_reason == plan.reboot_reason
    node.reboot("hugepagesz=1G hugepages=1:1", {(1048576, 1): 1})
    settled = apply(node, pool)
    assert not settled.changed and not settled.reboot_reason and not settled.warnings
    assert promoted_sizes(record(node)) == (1048576,)


def test_promotion_ends_with_the_pool(node):
    node.limits[(1048576, 1)] = 0
    apply(node, {**GIGANTIC, "at": "runtime"})
    plan = apply(node, SMALL)
    assert "forget_promotion" in [step.action for step in plan.operations]
    assert promoted_sizes(record(node)) == ()
    assert not apply(node, SMALL).changed


def test_compaction_makes_room(node):
    node.limits[(2048, 0)] = 100
    node.compacted[(2048, 0)] = 600
    apply(node, SMALL)
    assert node.pages(2048)[0] == 512
    assert [path.rsplit("/", 1)[1] for path, _value in node.writes] == ["nr_hugepages", "compact", "nr_hugepages"]


def test_shortfall_says_what_is_free_and_what_is_fragmented(node):
    node.limits[(2048, 1)] = 100
    with pytest.raises(FastpathError) as short:
        apply(node, {**SMALL, "numa_node": 1})
    assert "2M on NUMA node 1: wanted 512, got 100; 1536 MiB are free, which would be 768 more" in short.value.message
    assert short.value.details["shortfall"] == [
        {
            "size_kb": 2048,
            "numa_node": 1,
            "wanted": 512,
            "got": 100,
            "free_kb": 1572864,
            "blocks": 7,
            "unmovable": 37,
        }
    ]
    assert len([path for path, _value in node.writes if path.endswith("nr_hugepages")]) == 2


def test_a_run_after_a_shortfall_goes_on(node):
    node.limits[(2048, 0)] = 100
    with pytest.raises(FastpathError):
        apply(node, SMALL)
    node.limits.clear()
    apply(node, SMALL)
    assert node.pages(2048)[0] == 512
    teardown(node)
    assert node.pages(2048)[0] == 0


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"size": "16M", "count": 1}, "16M': is not offered by the kernel; it offers: 2M, 1G"),
        ({"size": "2M", "count": 1, "numa_node": 2}, "is no NUMA node with memory of this machine; there are: 0, 1"),
        ({**SMALL, "count": 1025}, "is more than NUMA node 0 has: 2050 MiB of pages in 2048 MiB"),
        ({"size": "2M", "count": 2049}, "is more than the machine has: 4098 MiB of pages in 4096 MiB"),
        ({"size": "2M", "count": 1921}, "3842 MiB of pages in 4096 MiB of memory, of which 256 MiB stay for"),
        ({"size": "2M", "count": 1900}, "takes 3800 MiB at once, but only 3796 MiB are available, of which 256 MiB"),
        ({**GIGANTIC, "count": 3}, "is more than NUMA node 1 has"),
        ({**SMALL, "mount": "/proc"}, "is a mount of proc already"),
        ({**GIGANTIC, "mount": "/dev/hugepages"}, "is a mount of hugetlbfs of 2M already"),
        ({**SMALL, "count": -1}, "must be a number of pages"),
    ],
)
def test_refused_before_anything_is_changed(node, pool, message):
    before = node.snapshot()
    with pytest.raises(Refused, match=message):
        apply(node, pool)
    assert node.snapshot() == before and node.writes == []
    assert not (node.tree / "etc/fastpath").exists() and not (node.tree / "var/lib/fastpath").exists()


def test_pages_left_alone_count_as_taken(node):
    node.have(1048576, 0, 1)
    with pytest.raises(Refused, match="is more than NUMA node 0 has: 2050 MiB"):
        apply(node, {**SMALL, "count": 513})


def test_all_problems_at_once(node):
    with pytest.raises(Refused) as refused:
        apply(node, {"size": "16M", "count": 1}, {**SMALL, "numa_node": 7, "mount": "/proc"}, {**SMALL, "count": 1025})
    assert [problem.variable for problem in refused.value.problems] == [
        "fastpath_hugepages[0].size",
        "fastpath_hugepages[1].numa_node",
        "fastpath_hugepages",
        "fastpath_hugepages[1].mount.path",
    ]


def test_size_that_only_a_boot_brings(tmp_path):
    node = HugepagesNode(tmp_path, sizes=(2048,))
    plan = apply(node, {**GIGANTIC, "mount": "/mnt/huge1g"})
    assert "0 of 1 pages of 1G" in plan.reboot_reason
    assert node.calls == [("systemctl", "enable", "mnt-huge1g.mount")]
    with pytest.raises(Refused, match="ask for it with at: boot"):
        apply(node, {**GIGANTIC, "at": "runtime"})


def test_pages_in_use_are_only_given_up_with_consent(node):
    apply(node, SMALL)
    node.have(2048, 0, 512, used=40)
    with pytest.raises(FastpathError, match="40 of 512 pages of 2M on NUMA node 0 are in use"):
        apply(node, {**SMALL, "count": 10})
    assert node.pages(2048)[0] == 512
    apply(node, {**SMALL, "count": 40})
    plan = apply(node, {**SMALL, "count": 10}, disruption_ok=True)
    assert plan.result()["disruptive"]
    assert node.counters(2048, 0) == (40, 0, 30)
    assert not apply(node, {**SMALL, "count": 10}).changed


def test_surplus_of_another_node_does_not_shift_the_count(node):
    node.have(2048, 1, 8, used=8, surplus=3)
    apply(node, SMALL)
    assert node.writes == [("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "509")]


def test_dropped_pool_is_given_back_once(node):
    node.have(2048, 0, 16)
    apply(node, SMALL, {**SMALL, "numa_node": 1, "count": 4})
    apply(node, {**SMALL, "numa_node": 1, "count": 4})
    assert node.pages(2048) == {0: 16, 1: 4}
    node.have(2048, 0, 99)
    assert not apply(node, {**SMALL, "numa_node": 1, "count": 4}).changed
    assert node.pages(2048) == {0: 99, 1: 4}
    teardown(node)
    assert node.pages(2048) == {0: 99, 1: 0}


def test_from_nodeless_to_one_node(node):
    node.have(2048, 1, 3)
    apply(node, {"size": "2M", "count": 20})
    assert node.pages(2048) == {0: 10, 1: 10}
    apply(node, {**SMALL, "count": 20})
    assert node.pages(2048) == {0: 20, 1: 3}
    teardown(node)
    assert node.pages(2048) == {0: 0, 1: 3}


def test_shrinking_comes_first_and_gigantic_before_small(node):
    node.have(2048, 1, 100)
    plan = apply(node, {**SMALL, "count": 5}, {**SMALL, "numa_node": 1, "count": 5}, {**GIGANTIC, "at": "runtime"})
    targets = [step.target for step in plan.operations if step.action.endswith("_pages")]
    assert targets == ["2M on NUMA node 1", "1G on NUMA node 1", "2M on NUMA node 0"]


def test_teardown_gives_back_everything(node):
    node.have(2048, 0, 7)
    before = node.snapshot()
    apply(node, MOUNTED, {**GIGANTIC, "at": "runtime"})
    foretold = teardown(node, dry_run=True)
    assert foretold == teardown(node)
    assert node.snapshot() == before
    assert not (node.tree / "etc/fastpath").exists() and not (node.tree / "var/lib/fastpath").exists()
    assert not teardown(node).changed


def test_verify_names_what_is_missing(node):
    found = verify(HugepagesConcern(node), [MOUNTED, {**GIGANTIC, "default": True}])
    assert [(check.id, check.target, check.expected, check.seen) for check in found] == [
        ("hugepages.pages", "2M on NUMA node 0", 512, 0),
        ("hugepages.mount", "/mnt/pages/huge-2m", "2M", None),
        ("hugepages.pages", "1G on NUMA node 1", 1, 0),
        ("hugepages.default_size", "default size", "1G", "2M"),
    ]
    assert all(check.remedy for check in found)
    node.reboot("hugepagesz=1G hugepages=1:1")
    (pages,) = verify(HugepagesConcern(node), [GIGANTIC])
    assert "ask for fewer pages" in pages.remedy


def test_at_boot_pages_come_back_and_mounts_are_left_to_systemd(node):
    apply(node, MOUNTED)
    kept = record(node)
    node.reboot("ro quiet")
    node.calls.clear()
    booting = HugepagesConcern(node, booting=True)
    plan = converge(booting, Request(spec=booting.store.desired(), persist=False))
    assert [step.action for step in plan.operations] == ["set_pages"]
    assert node.pages(2048)[0] == 512 and node.calls == [] and record(node) == kept


def test_without_numa(tmp_path):
    node = HugepagesNode(tmp_path, nodes=())
    with pytest.raises(Refused, match="there are: none"):
        apply(node, SMALL)


@pytest.mark.parametrize("step", range(12))
def test_power_cut_between_any_two_writes(node, step):
    node.have(2048, 0, 7)
    before = node.snapshot()
    with power_cut(node, step, "write_attribute", "write_file", "remove", "must_run"):
        apply(node, MOUNTED, {**GIGANTIC, "at": "runtime"})
        teardown(node)
    apply(node, MOUNTED, {**GIGANTIC, "at": "runtime"})
    assert (node.pages(2048), node.pages(1048576)) == ({0: 512, 1: 0}, {0: 0, 1: 1})
    assert not apply(node, MOUNTED, {**GIGANTIC, "at": "runtime"}).changed
    teardown(node)
    assert node.snapshot() == before
