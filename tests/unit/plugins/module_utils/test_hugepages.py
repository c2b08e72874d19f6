# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner of hugepages: pure, so tables and properties are enough."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages import (
    HugepagesState,
    Pages,
    boot_arguments,
    classify,
    place_name,
    plan,
    plan_teardown,
    promoted_sizes,
    target_place,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_mounts import (
    OURS,
    MountState,
    parse_mounts,
    unit_name,
    unit_text,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Mount, Pool
from hypothesis import given
from hypothesis import strategies as st

M2, G1 = 2048, 1048576


@pytest.mark.parametrize(
    ("pool", "promoted", "place"),
    [
        (Pool(M2, 1), (), "runtime"),
        (Pool(M2, 1, at="boot"), (), "boot"),
        (Pool(524288, 1), (), "runtime"),
        (Pool(G1, 1), (), "boot"),
        (Pool(16 * G1, 1), (), "boot"),
        (Pool(G1, 1, at="runtime"), (), "runtime"),
        (Pool(G1, 1, at="runtime"), (G1,), "boot"),
        (Pool(M2, 1, at="runtime"), (G1,), "runtime"),
    ],
)
def test_where_pages_come_from(pool, promoted, place):
    assert classify(pool, promoted) == place


@pytest.mark.parametrize(
    ("pools", "promoted", "arguments"),
    [
        ((), (), ""),
        ((Pool(M2, 512, 0),), (), ""),
        ((Pool(G1, 4),), (), "hugepagesz=1G hugepages=4"),
        ((Pool(G1, 4, 1), Pool(G1, 8, 0)), (), "hugepagesz=1G hugepages=0:8,1:4"),
        ((Pool(G1, 1, 1, default=True), Pool(M2, 5)), (), "default_hugepagesz=1G hugepagesz=1G hugepages=1:1"),
        ((Pool(M2, 5, default=True),), (), "default_hugepagesz=2M"),
        (
            (Pool(G1, 1), Pool(M2, 5, at="boot", default=True)),
            (),
            "default_hugepagesz=2M hugepagesz=2M hugepages=5 hugepagesz=1G hugepages=1",
        ),
        (
            (Pool(M2, 5, at="boot"), Pool(G1, 1)),
            (),
            "hugepagesz=1G hugepages=1 hugepagesz=2M hugepages=5",
        ),
        ((Pool(G1, 0),), (), ""),
        ((Pool(M2, 0, at="boot"),), (), "hugepagesz=2M hugepages=0"),
        ((Pool(G1, 2, at="runtime"),), (), ""),
        ((Pool(G1, 2, at="runtime"),), (G1,), "hugepagesz=1G hugepages=2"),
        ((Pool(M2, 5, 0, at="boot"), Pool(M2, 6, 1)), (), "hugepagesz=2M hugepages=0:5"),
    ],
)
def test_boot_arguments(pools, promoted, arguments):
    assert " ".join(f"{key}={value}" for key, value in boot_arguments(pools, promoted)) == arguments


def test_promotions_are_read_from_the_record():
    assert promoted_sizes({}) == ()
    assert promoted_sizes({"promoted": [G1]}) == (G1,)


@pytest.mark.parametrize("place", [(M2, None), (M2, 0), (G1, 11), (64, 1)])
def test_a_target_names_its_place(place):
    assert target_place(place_name(place)) == place


def state(counts=None, **changes):
    counts = {(M2, 0): 0, (M2, 1): 0, (G1, 0): 0, (G1, 1): 0, **(counts or {})}
    pages = {place: count if isinstance(count, Pages) else Pages(count, count) for place, count in counts.items()}
    for size in {size for size, _node in pages}:
        nodes = [each for (kb, _node), each in pages.items() if kb == size]
        pages[(size, None)] = Pages(
            sum(each.total for each in nodes), sum(each.free for each in nodes), sum(each.surplus for each in nodes)
        )
    memory = {None: 8 << 20, 0: 4 << 20, 1: 4 << 20}
    return replace(
        HugepagesState(pages=pages, memory_kb=memory, default_kb=M2, bootable_kb=frozenset({M2, G1})), **changes
    )


def steps(result):
    return [(step.action, step.target, step.before, step.after) for step in result.operations]


def test_reserved_pages_count_as_used():
    pages = {**state().pages, (M2, None): Pages(10, 10, reserved=4)}
    result = plan(state(pages=pages), [Pool(M2, 3)])
    assert result.disruptive[0].reason == "4 of 10 pages of 2M on all nodes are in use"


def test_surplus_is_not_counted():
    result = plan(state({(M2, 0): Pages(10, 0, 4)}), [Pool(M2, 6, 0)])
    assert result.operations == ()


def test_boot_pages_of_another_count_wait_for_the_boot():
    current = state({(G1, 0): 1}, boot_counts={(G1, 0): 1})
    assert "1 of 2 pages" in plan(current, [Pool(G1, 2, 0)]).reboot_reason
    assert plan(current, [Pool(G1, 1, 0)]).reboot_reason == ""
    assert steps(plan(current, [Pool(G1, 0, 0)])) == [("set_pages", "1G on NUMA node 0", 1, 0)]


def test_boot_arguments_without_a_node_do_not_answer_for_one():
    current = state({(G1, 0): 1}, boot_counts={(G1, None): 2})
    assert plan(current, [Pool(G1, 2, 0)]).reboot_reason


def test_default_size_waits_for_one_boot_only():
    pool = Pool(G1, 0, default=True)
    assert plan(state(), [pool]).reboot_reason == "the default page size is 2M and becomes 1G at boot"
    assert plan(state(boot_default_kb=G1), [pool]).reboot_reason == ""
    assert plan(state(default_kb=G1), [pool]).reboot_reason == ""


def test_what_is_taken_at_once_must_be_available():
    current = state({(M2, 1): 512}, available_kb=1 << 20)
    assert plan(current, [Pool(M2, 384, 0)]).changed
    with pytest.raises(Refused, match=r"\+385 x 2M on NUMA node 0.*takes 770 MiB at once, but only 1024 MiB"):
        plan(current, [Pool(M2, 385, 0)])
    assert plan(current, [Pool(M2, 800, 0), Pool(M2, 0, 1)]).changed
    assert plan(replace(current, available_kb=0), [Pool(M2, 5, 1)]).changed
    assert plan(replace(current, available_kb=0), [Pool(G1, 1, 0)]).reboot_reason


def test_teardown_without_a_record_is_empty():
    assert plan_teardown(state({(M2, 0): 7})).operations == ()


def test_teardown_takes_used_pages_only_with_consent():
    current = state({(M2, 0): Pages(512, 100)}, record={"pages": {"2048": {"0": 0}}})
    assert plan_teardown(current).disruptive[0].reason == "412 of 512 pages of 2M on NUMA node 0 are in use"


def test_a_machine_without_numa():
    current = state(pages={(M2, None): Pages(0, 0)}, memory_kb={None: 1 << 20})
    assert steps(plan(current, [Pool(M2, 5)])) == [("set_pages", "2M on all nodes", 0, 5)]
    assert current.places(M2) == ((M2, None),)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/mnt/huge", "mnt-huge.mount"),
        ("/mnt/huge-2m", "mnt-huge\\x2d2m.mount"),
        ("/mnt/.a-b@c/d", "mnt-.a\\x2db\\x40c-d.mount"),
        ("/.x/y:z_1", "\\x2ex-y:z_1.mount"),
    ],
)
def test_unit_names_are_those_of_systemd(path, unit):
    assert unit_name(path) == unit


def test_mounts_are_read_by_path():
    text = (
        "/dev/vda2 / ext4 rw 0 0\n"
        "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n"
        "none /mnt/1g hugetlbfs rw,pagesize=1024M,mode=700 0 0\n"
        "none /mnt/default hugetlbfs rw 0 0\n"
        "tmpfs /mnt/1g/over tmpfs rw 0 0\nbroken\n"
    )
    assert parse_mounts(text, M2) == {
        "/": ("ext4", None),
        "/dev/hugepages": ("hugetlbfs", M2),
        "/mnt/1g": ("hugetlbfs", G1),
        "/mnt/default": ("hugetlbfs", M2),
        "/mnt/1g/over": ("tmpfs", None),
    }


def test_a_unit_that_somebody_put_in_our_place_stays():
    mounts = {"/mnt/x": MountState("[Mount]\nWhere=/mnt/x\n", True, M2, "hugetlbfs")}
    assert plan_teardown(state(mounts=mounts, record={"mounts": ["/mnt/x"]})).operations == ()


def test_a_half_made_mount_is_finished():
    text = unit_text(M2, Mount("/mnt/x"))
    assert text.startswith(OURS)
    for half in (MountState(text), MountState(text, True), MountState(text, False, M2, "hugetlbfs")):
        result = plan(state(mounts={"/mnt/x": half}), [Pool(M2, 0, 0, mount=Mount("/mnt/x"))])
        assert [(step.action, step.disruptive) for step in result.operations] == [("mount", False)]


# Properties: a model that does what operations say.

COUNTS = st.integers(0, 4)


@st.composite
def pool_lists(draw):
    pools = []
    for size, at in ((M2, "auto"), (G1, "runtime")):
        nodes = draw(st.sampled_from([(), (None,), (0,), (1,), (0, 1)]))
        mount = Mount(f"/mnt/{size}") if draw(st.booleans()) else None
        pools += [Pool(size, draw(COUNTS), node, at=at, mount=mount) for node in nodes]
    return draw(st.permutations(pools))


def carried_out(current, result, record):
    counts = {place: pages.total for place, pages in current.pages.items() if place[1] is not None}
    mounts = dict(current.mounts)
    record = {"pages": {size: dict(nodes) for size, nodes in record["pages"].items()}, "mounts": list(record["mounts"])}
    for step in result.operations:
        if step.action.endswith("_pages"):
            size, node = target_place(step.target)
            if node is None:
                counts[(size, 0)], counts[(size, 1)] = step.after - step.after // 2, step.after // 2
            else:
                counts[(size, node)] = step.after
        elif step.action == "mount":
            size = M2 if step.after["mounted"] == "2M" else G1
            mounts[step.target] = MountState(step.after["unit"], True, size, "hugetlbfs")
            record["mounts"].append(step.target)
        elif step.action == "unmount":
            mounts.pop(step.target, None)
            record["mounts"].remove(step.target)
        elif step.action == "forget_former":
            size, node = target_place(step.target)
            record["pages"][str(size)].pop(str(node))
    return state(counts, mounts=mounts, record=record)


def noted(current, pools):
    """What the concern writes down before the first change."""
    pages = {size: dict(nodes) for size, nodes in current.record.get("pages", {}).items()}
    for pool in pools:
        for place in current.places(pool.size_kb) if pool.numa_node is None else ((pool.size_kb, pool.numa_node),):
            pages.setdefault(str(place[0]), {}).setdefault(str(place[1]), current.pages[place].total)
    return {"pages": pages, "mounts": list(current.record.get("mounts", []))}


@given(st.dictionaries(st.sampled_from([(M2, 0), (M2, 1)]), COUNTS), st.lists(pool_lists(), min_size=1, max_size=4))
def test_plan_after_apply_is_empty_and_teardown_returns_to_the_start(start, story):
    first = current = state(start)
    for pools in story:
        try:
            result = plan(current, pools)
        except Refused:
            continue
        current = carried_out(current, result, noted(current, pools))
        assert plan(current, pools).operations == ()
    back = carried_out(current, plan_teardown(current), {"pages": {}, "mounts": list(current.record.get("mounts", []))})
    assert (back.pages, back.mounts) == (first.pages, first.mounts)
