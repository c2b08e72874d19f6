# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images are wanted, what is wrong with that, and what a node has to load and to remove for them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import (
    ImagesState,
    parse_builds,
    parse_bundle,
    parse_listed,
    plan_images,
    plan_images_teardown,
    pull_policy,
    record_images,
    way_of,
)
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.image_models import LISTED
from hypothesis import given
from hypothesis import strategies as st


def test_every_problem_at_once():
    with pytest.raises(Refused) as caught:
        parse_builds(
            [
                {"name": "A", "tag": 1.0, "context": "/x"},
                {"name": "a", "tag": "latest", "archive": "/a", "context": "/b"},
                {"name": "b", "tag": "1", "archive": 3, "args": ["x"], "contxt": "y"},
                "c",
                {"name": "d", "tag": "1", "context": "/x"},
                {"name": "d", "tag": "1", "context": "/y"},
            ],
            registry="http://x",
            way="send",
        )
    names = {problem.variable.removeprefix("fastpath_image_builds") for problem in caught.value.problems}
    assert names == {
        "[0].name",
        "[0].tag",
        "[1].tag",
        "[1]",
        "[2].archive",
        "[2].args",
        "[2].contxt",
        "[3]",
        "",
        "fastpath_registry",
        "images_way",
    }
    with pytest.raises(Refused, match="must be a list"):
        parse_builds("x")
    with pytest.raises(Refused, match="needs fastpath_registry"):
        parse_builds([], way="push")
    assert (way_of(""), way_of("r"), way_of("r", "load")) == ("load", "push", "load")
    assert (pull_policy("push"), pull_policy("load")) == ("IfNotPresent", "Never")


@pytest.mark.parametrize("bundle", [3, {"schema": "x"}, {"schema": "nfv.fastpath/images/1", "images": {"A": "b"}}])
def test_what_is_no_manifest(bundle):
    with pytest.raises(Refused):
        parse_bundle({"bundle": bundle})


def test_lists_of_containerd():
    digest = "sha256:" + "a" * 64
    assert parse_listed(LISTED.format(rows=f"a:1 x {digest} - - -\nb:2 x - - -\n\n")) == {"a:1": digest}


NAMES = st.sampled_from(["localhost/a:1", "localhost/b:1", "r.example.com/c:2"])
DIGESTS = st.sampled_from(["sha256:" + letter * 64 for letter in "12"])


@given(there=st.dictionaries(NAMES, DIGESTS), steps=st.lists(st.dictionaries(NAMES, DIGESTS), max_size=4))
def test_whatever_is_wanted_in_turn(there, steps):
    """After each step a second one is empty, and at the end is there what was there before."""
    state = ImagesState(dict(there))

    def carried_out(state: ImagesState, plan: Any) -> ImagesState:
        record = record_images(state, plan)
        now = dict(state.there)
        for step in plan.operations:
            if step.action == "load_images":
                now[step.target] = step.after
            else:
                record["loaded"].pop(step.target)
                if step.before is not None:
                    del now[step.target]
        return ImagesState(now, True, record)

    for wanted in steps:
        try:
            state = carried_out(state, plan_images(state, wanted))
        except Refused:
            continue
        assert not plan_images(state, wanted).operations
        assert wanted.items() <= state.there.items()
    state = carried_out(state, plan_images_teardown(state))
    assert state.there == there
