# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Patches of a node on its way out and back."""

from __future__ import annotations

from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import (
    CUT_OFF,
    back_patch,
    failed_patch,
    is_out,
    is_tainted,
    out_patch,
    stays_cordoned,
)
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import node
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster, merged
from hypothesis import given
from hypothesis import strategies as st

OTHER = {"key": "other", "effect": "NoExecute"}


def stored(**more: Any) -> dict[str, Any]:
    return FakeCluster().put(node("n", **more))


def after(item: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return merged(item, patch)


def test_out():
    item = stored()
    patch = out_patch(item, "reboot:  boot\narguments", "2026-01-02T03:04:05Z")
    assert patch == {
        "metadata": {
            "annotations": {
                "nfv.fastpath/rollout": "out",
                "nfv.fastpath/rollout-reason": f"reboot: boot arguments{CUT_OFF}",
                "nfv.fastpath/rollout-since": "2026-01-02T03:04:05Z",
                "nfv.fastpath/rollout-cordoned": "true",
            },
            "resourceVersion": item["metadata"]["resourceVersion"],
        },
        "spec": {"unschedulable": True, "taints": [{"key": "nfv.fastpath/not-ready", "effect": "NoSchedule"}]},
    }
    assert not is_out(item)
    assert is_out(after(item, patch))
    assert out_patch(after(item, patch), "reboot: boot arguments", "later") == {}


def test_another_reason_keeps_since_when():
    item = after(stored(), out_patch(stored(), "a", "then"))
    assert out_patch(item, "b", "now") == {"metadata": {"annotations": {"nfv.fastpath/rollout-reason": f"b{CUT_OFF}"}}}


def test_failed_and_out_again():
    item = after(stored(), out_patch(stored(), "a", "then"))
    item = after(item, failed_patch(item, "x" * 5000))
    assert len(item["metadata"]["annotations"]["nfv.fastpath/rollout-reason"]) == 1000
    assert item["metadata"]["annotations"]["nfv.fastpath/rollout"] == "failed"
    assert failed_patch(item, "x" * 5000) == {}
    again = out_patch(item, "a", "now")
    assert again["metadata"]["annotations"] == {
        "nfv.fastpath/rollout": "out",
        "nfv.fastpath/rollout-reason": f"a{CUT_OFF}",
    }


def test_a_reason_says_what_it_means_when_it_is_read_later():
    reason = out_patch(stored(), "x" * 5000, "now")["metadata"]["annotations"]["nfv.fastpath/rollout-reason"]
    assert len(reason) == 1000
    assert reason.endswith("x... (if no run is going on, the last one was cut off)")


def test_a_node_in_service_cannot_fail():
    assert failed_patch(stored(), "x") == {}


def test_a_node_that_somebody_else_cordoned_stays_so():
    item = stored(unschedulable=True)
    out = after(item, out_patch(item, "a", "then"))
    assert stays_cordoned(out)
    back = after(out, back_patch(out))
    assert back["spec"]["unschedulable"] is True
    assert not is_out(back) and not is_tainted(back)


def test_a_node_that_joined_with_the_taint():
    item = stored(taints=[OTHER, {"key": "nfv.fastpath/not-ready", "effect": "NoSchedule"}])
    assert is_tainted(item)
    back = after(item, back_patch(item))
    assert back["spec"]["taints"] == [OTHER]


def test_a_node_in_service_needs_nothing():
    assert back_patch(stored()) == {}
    assert back_patch(stored(unschedulable=True)) == {}
    assert back_patch(stored(taints=[OTHER])) == {}


@given(st.booleans(), st.lists(st.just(OTHER), max_size=1), st.dictionaries(st.sampled_from("ab"), st.just("1")))
def test_out_and_back_is_where_it_began(unschedulable, taints, annotations):
    more: dict[str, Any] = {"annotations": annotations, "unschedulable": unschedulable}
    if taints:
        more["taints"] = taints
    item = stored(**more)
    out = after(item, out_patch(item, "r", "t"))
    out = after(out, failed_patch(out, "f"))
    back = after(out, back_patch(out))
    del back["metadata"]["resourceVersion"], item["metadata"]["resourceVersion"]
    assert back == item
    assert back_patch(back) == {}
