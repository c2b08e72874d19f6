# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of a cluster: what differs is applied, what nobody asks for goes, what others made stays as it is."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import (
    CHECKSUM,
    covers,
    is_ours,
    marked,
    needs_apply,
    plan_objects,
    selector,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import ORDER, key_of
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from hypothesis import given
from hypothesis import strategies as st

Item = dict[str, Any]


def config_map(name: str, namespace: str = "kube-system", **data: str) -> Item:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": dict(data),
    }


def crd(name: str = "things.example.com") -> Item:
    plural, _dot, group = name.partition(".")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "names": {"kind": plural.title()[:-1], "plural": plural},
            "versions": [{"name": "v1", "storage": True}],
        },
    }


def account(name: str) -> Item:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}}


def live(*items: Item) -> dict[Any, Item]:
    return {key_of(item): item for item in items}


def plan(desired: list[Item], *there: Item, **more: Any) -> Any:
    return plan_objects(desired, live(*there), "multus", **more)


def test_what_is_not_there_is_applied_kinds_first():
    found = plan([config_map("a"), account("b"), crd()])
    assert [item["kind"] for item in found.apply] == ["CustomResourceDefinition", "ServiceAccount", "ConfigMap"]
    assert all(is_ours(item) for item in found.apply)
    assert found.remove == ()
    assert found.plan().changed
    assert [step.target for step in found.plan().operations][2] == "ConfigMap kube-system/a"


def test_what_is_there_as_it_shall_be_is_left():
    found = plan([config_map("a", x="1")], marked(config_map("a", x="1"), "multus"))
    assert (found.apply, found.remove, found.plan().changed) == ((), (), False)


def test_what_the_server_added_is_no_difference():
    there = marked(config_map("a", x="1"), "multus")
    there["metadata"].update(uid="u", resourceVersion="7", creationTimestamp="now")
    there["metadata"]["labels"]["of-others"] = "1"
    there["status"] = {"x": 1}
    assert plan([config_map("a", x="1")], there).apply == ()


def test_what_somebody_changed_is_applied_again():
    there = marked(config_map("a", x="1"), "multus")
    there["data"]["x"] = "2"
    found = plan([config_map("a", x="1")], there)
    assert [item["data"] for item in found.apply] == [{"x": "1"}]
    assert found.before == {"ConfigMap kube-system/a": {**marked(config_map("a", x="1"), "multus"), "data": {"x": "2"}}}
    assert found.after["ConfigMap kube-system/a"]["data"] == {"x": "1"}


def test_what_is_no_longer_asked_for_within_an_object():
    """The object still has all that is wanted; only the checksum knows that there was more."""
    there = marked(config_map("a", x="1", y="2"), "multus")
    assert covers(there["data"], {"x": "1"})
    assert len(plan([config_map("a", x="1")], there).apply) == 1


def test_what_nobody_asks_for_is_removed_and_that_of_others_stays():
    other = config_map("other")
    found = plan([], marked(config_map("a"), "multus"), marked(account("b"), "multus"), marked(crd(), "multus"), other)
    assert [item["kind"] for item in found.remove] == ["ConfigMap", "ServiceAccount", "CustomResourceDefinition"]
    assert found.remove[0] == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "kube-system"},
    }
    assert found.plan().operations[0].action == "remove_object"


def test_teardown_is_the_same_whatever_is_asked_for():
    there = marked(config_map("a"), "multus")
    assert plan([config_map("a")], there, present=False).remove == plan([], there).remove


def test_a_kind_that_others_use_stays():
    found = plan([], marked(crd(), "multus"), used_kinds=["things.example.com"])
    assert found.remove == ()
    assert found.warnings == (
        "CustomResourceDefinition things.example.com stays: others made objects of that kind, or pods need some.",
    )


def test_an_object_of_others_with_our_name_is_refused():
    found = plan([config_map("a", x="1")], config_map("a", x="1"))
    (problem,) = found.problems
    assert problem.value == "ConfigMap kube-system/a"
    assert "was not made by this collection" in problem.message
    assert found.apply == ()


def test_a_kind_that_others_brought_is_used_as_it_is():
    found = plan([crd()], crd())
    assert (found.apply, found.remove, found.problems) == ((), (), ())


def test_the_label_finds_what_is_ours():
    (item,) = plan([config_map("a")]).apply
    labels = item["metadata"]["labels"]
    assert selector("multus") == ",".join(f"{key}={value}" for key, value in labels.items())


def test_marking_changes_nothing_else():
    item = config_map("a", x="1")
    before = copy.deepcopy(item)
    made = marked(item, "multus")
    assert item == before
    assert made["data"] == item["data"]
    assert made == marked(item, "multus")
    assert made["metadata"]["annotations"][CHECKSUM] != marked(item, "other")["metadata"]["annotations"][CHECKSUM]


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"a": 2}, False),
        ({}, {"emptyDir": {}}, True),
        ({}, {"readOnly": False}, True),
        ({}, {"items": []}, True),
        ({}, {"readOnly": True}, False),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({"a": "x"}, {"a": ["x"]}, False),
        ({"a": ["x", "y"]}, {"a": ["x"]}, False),
        ({"a": ["x"]}, {"a": ["x"]}, True),
        ({"a": [{"name": "x", "v": 1, "w": 2}]}, {"a": [{"name": "x", "v": 1}]}, True),
        ({"a": [{"name": "y"}, {"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 1}]}, True),
        ({"a": [{"name": "x", "v": 1}]}, {"a": [{"name": "x", "v": 2}]}, False),
        ({"a": [{"name": "y"}]}, {"a": [{"name": "x"}]}, False),
        ({"a": [{"verbs": ["get"]}]}, {"a": [{"verbs": ["get"]}]}, True),
        ({"a": [{"verbs": ["get"]}, {"verbs": []}]}, {"a": [{"verbs": ["get"]}]}, False),
        ({"a": [{"operator": "Exists"}]}, {"a": [{"operator": "Exists", "effect": "NoSchedule"}]}, False),
    ],
)
def test_covering(there, wanted, same):
    assert covers(there, wanted) is same


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ("1Gi", "1024Mi", True),
        ("500m", "0.5", True),
        ("100m", 0.1, True),
        ("2", 2, True),
        ("2k", "2000", True),
        ("1Gi", "1G", False),
        ("1Gi", "1025Mi", False),
        ("1Gi", "much", False),
        (None, "1Gi", False),
    ],
)
@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_amounts_are_compared_and_not_their_texts(there, wanted, same, kind):
    have = {"resources": {kind: {"memory": there, "cpu": "1"}}}
    assert covers(have, {"resources": {kind: {"memory": wanted}}}) is same


def test_without_the_library_texts_are_compared(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes.utils", None)
    assert covers({"resources": {"limits": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "1"}}})
    assert not covers({"resources": {"limits": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "1000m"}}})


def test_elsewhere_texts_are_compared():
    assert not covers({"data": {"memory": "1Gi"}}, {"data": {"memory": "1024Mi"}})
    assert not covers({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}})
    assert covers({"resources": {"limits": {"memory": "1Gi"}}}, {"resources": {"limits": {"memory": "1Gi"}}})
    assert not covers({"resources": {}}, {"resources": {"limits": {"memory": "1Gi"}}})
    assert covers({"resources": {"limits": {"memory": "1Gi"}, "x": 1}}, {"resources": {}})
    assert covers({"rules": [{"resources": ["pods"]}]}, {"rules": [{"resources": ["pods"]}]})


JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from(["", "x", "1"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_everything_covers_itself(value):
    assert covers(value, value)


@st.composite
def objects(draw: Any) -> list[Item]:
    """Any set of objects, each of its own name."""
    names = draw(st.sets(st.sampled_from(["a", "b", "c"])))
    makers = {"a": config_map, "b": lambda name, **data: account(name), "c": lambda name, **data: crd(f"{name}s.e.com")}
    values = st.dictionaries(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2"]))
    return [makers[name](name, **draw(values)) for name in sorted(names)]


@given(objects(), objects(), st.booleans())
def test_after_an_apply_nothing_is_left_to_do(first, second, drift):
    """From any state that was applied before to any other, whatever the cluster added or somebody changed."""
    cluster = FakeCluster(config_map("foreign", "apps"))

    def carried_out(desired: list[Item]) -> Any:
        there = {key: item for key, item in cluster.items.items() if item["metadata"]["name"] != "foreign"}
        found = plan_objects(desired, there, "multus")
        for item in found.apply:
            cluster.apply(item)
        for item in found.remove:
            cluster.drop(item)
        return found

    carried_out(first)
    if drift:
        for item in cluster.of("ConfigMap"):
            item["metadata"]["labels"] = {**item["metadata"].get("labels", {}), "seen": "1"}
            item.setdefault("data", {})["x"] = "changed"
    found = carried_out(second)
    assert found.problems == ()
    again = carried_out(second)
    assert (again.apply, again.remove) == ((), ())
    assert {key_of(item) for item in second} == {key for key in cluster.items if key[2] != "foreign"}
    for item in second:
        assert not needs_apply(marked(item, "multus"), cluster.items[key_of(item)])
    carried_out([])
    assert list(cluster.items) == [("ConfigMap", "apps", "foreign")]


@given(objects(), st.integers(0, 3))
def test_cut_off_after_any_object_the_next_run_goes_on(desired, done):
    cluster = FakeCluster()
    for item in plan_objects(desired, cluster.items, "multus").apply[:done]:
        cluster.apply(item)
    rest = plan_objects(desired, cluster.items, "multus").apply
    assert len(rest) == max(0, len(desired) - done)
    for item in rest:
        cluster.apply(item)
    assert not plan_objects(desired, cluster.items, "multus").plan().changed


def test_every_kind_has_its_place():
    assert ORDER[0] == "CustomResourceDefinition"
    assert ORDER.index("ConfigMap") < ORDER.index("DaemonSet") < ORDER.index("NetworkAttachmentDefinition")
