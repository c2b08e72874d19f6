# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups of nodes: who runs which configuration, who is left alone, and what happens to whom."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import PoolOptions, as_text, group_name
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import (
    GROUP_LABEL,
    SEEN_ANNOTATION,
    GroupsPlan,
    Member,
    NodeView,
    plan_groups,
    plan_groups_teardown,
    view,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import node
from hypothesis import given
from hypothesis import strategies as st

PF = "0000:81:00.0"


def member(name: str, *indexes: int, seen: str = "f1", driver: str = "vfio-pci", **more: Any) -> Member:
    state = more.pop("state", tuple({"address": f"{PF}{index}", "driver": driver} for index in indexes))
    devices = (PoolDevices("dpdk", PF, indexes, driver, state=state, **more),) if indexes else ()
    return Member(name, devices, seen, {}, "example.com")


TWO, FOUR = group_name(member("n", 0, 1).config()), group_name(member("n", 0, 1, 2, 3).config())
CONFIGS = {TWO: member("n", 0, 1).config(), FOUR: member("n", 0, 1, 2, 3).config()}


def applied(plan: GroupsPlan, nodes: list[NodeView]) -> tuple[list[NodeView], dict[str, str]]:
    """The cluster after a plan."""
    after = [
        NodeView(one.name, plan.moves.get(one.name, ("", one.group))[1], plan.marks.get(one.name, one.seen))
        for one in nodes
    ]
    return after, dict(plan.groups)


def test_the_first_nodes():
    plan = plan_groups([member("n1", 0, 1), member("n2", 0, 1), member("n3")], [NodeView(f"n{n}") for n in "1234"], {})
    assert plan.groups == {TWO: CONFIGS[TWO]}
    assert plan.members == {TWO: ("n1", "n2")}
    assert plan.moves == {"n1": ("", TWO), "n2": ("", TWO)}
    assert plan.restarts == ()
    assert plan.marks == {"n1": "f1", "n2": "f1", "n3": ""}
    assert [step.action for step in plan.operations()] == ["move_device_plugin", "move_device_plugin"]


def test_nothing_to_do():
    plan = plan_groups([member("n1", 0, 1)], [NodeView("n1", TWO, "f1")], CONFIGS)
    assert (plan.operations(), plan.moves, plan.restarts) == ((), {}, ())
    assert plan.groups == {TWO: CONFIGS[TWO]}


def test_a_node_outside_the_batch_keeps_what_it_has():
    plan = plan_groups([member("n1", 0, 1, 2, 3)], [NodeView("n1", TWO, "f0"), NodeView("n2", TWO, "f9")], CONFIGS)
    assert plan.moves == {"n1": (TWO, FOUR)}
    assert plan.members == {TWO: ("n2",), FOUR: ("n1",)}
    assert "n2" not in plan.marks


def test_the_last_node_leaves_a_group():
    plan = plan_groups([member("n1", 0, 1, 2, 3)], [NodeView("n1", TWO, "f0")], CONFIGS)
    assert list(plan.groups) == [FOUR]


def test_devices_changed_and_the_configuration_did_not():
    plan = plan_groups([member("n1", 0, 1, seen="f2")], [NodeView("n1", TWO, "f1")], CONFIGS)
    assert (plan.restarts, plan.moves, plan.marks) == (("n1",), {}, {"n1": "f2"})
    assert [step.action for step in plan.operations()] == ["restart_device_plugin"]


@pytest.mark.parametrize(
    ("offers", "restarts"),
    [
        (None, ()),
        ({"example.com/dpdk": "2"}, ()),
        ({"example.com/dpdk": "2", "cpu": "4", "example.com/other": "1"}, ()),
        ({"example.com/dpdk": "0"}, ("n1",)),
        ({}, ("n1",)),
        ({"example.com/dpdk": "3"}, ("n1",)),
    ],
)
def test_the_same_devices_are_back_and_the_plugin_started_without_them(offers, restarts):
    plan = plan_groups([member("n1", 0, 1)], [NodeView("n1", TWO, "f1", offers)], CONFIGS)
    assert (plan.restarts, plan.moves) == (restarts, {})


def test_what_a_node_offers_does_not_matter_where_its_plugin_starts_anyway():
    moving = plan_groups([member("n1", 0, 1, 2, 3)], [NodeView("n1", TWO, "f1", {})], CONFIGS)
    assert (moving.restarts, moving.moves) == ((), {"n1": (TWO, FOUR)})
    assert plan_groups([member("n1")], [NodeView("n1", "", "", {})], {}).restarts == ()
    nothing_there = member("n1", 0, 1, state=())
    assert plan_groups([nothing_there], [NodeView("n1", TWO, "f1", {})], CONFIGS).restarts == ()


def test_a_node_that_moves_needs_no_restart():
    plan = plan_groups([member("n1", 0, 1, 2, 3, seen="f2")], [NodeView("n1", TWO, "f1")], CONFIGS)
    assert plan.restarts == ()


def test_a_node_without_pools_has_no_plugin():
    plan = plan_groups([member("n1")], [NodeView("n1", TWO, "f1")], CONFIGS)
    assert (plan.moves, plan.marks, plan.groups) == ({"n1": (TWO, "")}, {"n1": ""}, {})


def test_a_name_that_is_no_node():
    plan = plan_groups([member("host1", 0, 1)], [NodeView("n1"), NodeView("n2")], {})
    (problem,) = plan.problems
    assert (problem.variable, problem.value) == ("fastpath_node_name", "host1")
    assert "is no node of the cluster (n1, n2)" in problem.message
    assert plan_groups([member("a")], [], {}).problems[0].message.startswith("is no node of the cluster (it has none)")


def test_a_label_whose_configuration_is_gone():
    plan = plan_groups([], [NodeView("n1", "abc", "f")], {})
    (warning,) = plan.warnings
    assert "nfv.fastpath/device-plugin=abc" in warning
    assert plan.groups == {}


def test_teardown_takes_labels_from_all_nodes():
    plan = plan_groups_teardown([NodeView("n1", TWO, "f"), NodeView("n2", "", "f"), NodeView("n3")])
    assert plan.moves == {"n1": (TWO, ""), "n2": ("", "")}
    assert plan.marks == {"n1": "", "n2": ""}
    assert plan.groups == {}


def test_a_view_of_a_node():
    assert view(node("n1")) == NodeView("n1")
    labelled = node("n1", labels={GROUP_LABEL: "g"}, annotations={SEEN_ANNOTATION: "s"})
    assert view(labelled) == NodeView("n1", "g", "s")
    assert view(node("n1", allocatable={"e.c/x": "1"}), has_settled=True).offers == {"cpu": "4", "e.c/x": "1"}


def test_what_a_plugin_finds_now():
    assert member("n", 0, 1).found_now() == {"example.com/dpdk": 2}
    assert member("n", 0, 1, state=()).found_now() == {"example.com/dpdk": 0}
    unbound = ({"address": "a", "driver": None}, {"address": "b", "driver": "igbvf"})
    assert member("n", 0, 1, state=unbound).found_now() == {"example.com/dpdk": 0}
    any_driver = Member("n", (PoolDevices("k", PF, (0, 1), "kernel", state=unbound),), "", {}, "e.c")
    assert any_driver.found_now() == {"e.c/k": 1}
    buses = ("vhost_vdpa", "virtio_vdpa", None)
    vdpa = [{"driver": "mlx5_core", "vdpa_devices": [{"name": "vdpa0", "bus": bus, "file": None}]} for bus in buses]
    vdpa += [{"driver": "mlx5_core", "vdpa_devices": []}]
    several = Member("n", (PoolDevices("v", PF, (0, 1, 2, 3), "kernel", "vhost", state=tuple(vdpa)),), "", {}, "e.c")
    assert several.found_now() == {"e.c/v": 1}


def test_the_prefix_and_options_are_part_of_the_configuration():
    plain = member("n", 0)
    other = Member("n", plain.devices, "f", {"dpdk": PoolOptions(exclude_topology=True)}, "example.com")
    assert plain.config() != other.config() != as_text({"resourceList": []})


SPECS = st.dictionaries(
    st.sampled_from(["n1", "n2", "n3", "n4"]),
    st.tuples(st.sampled_from([(), (0,), (0, 1), (2,)]), st.sampled_from(["f1", "f2"])),
)


@given(SPECS, SPECS, SPECS)
def test_batches_in_any_order_end_where_one_run_of_all_ends(first, second, third):
    """After each batch: nothing left to do for it, others untouched, and no group without a node."""
    nodes = [NodeView(name) for name in ("n1", "n2", "n3", "n4")]
    known: dict[str, str] = {}
    state: dict[str, tuple[Any, str]] = {}
    for batch in (first, second, third):
        members = [member(name, *indexes, seen=seen) for name, (indexes, seen) in batch.items()]
        plan = plan_groups(members, nodes, known)
        assert set(plan.moves) | set(plan.restarts) | set(plan.marks) <= set(batch)
        nodes, known = applied(plan, nodes)
        assert plan_groups(members, nodes, known).operations() == ()
        state.update(batch)
        assert {one.group for one in nodes if one.group} == set(known)
    everything = [member(name, *indexes, seen=seen) for name, (indexes, seen) in state.items()]
    assert plan_groups(everything, nodes, known).operations() == ()
    assert plan_groups(everything, nodes, known).groups == known
