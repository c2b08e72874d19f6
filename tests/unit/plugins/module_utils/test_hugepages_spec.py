# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users may write for hugepages, and what they are told otherwise."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import (
    Mount,
    Pool,
    parse_hugepages,
    parse_size,
    size_name,
)
from hypothesis import given
from hypothesis import strategies as st

GOOD = {"size": "2M", "count": 4}


def problems(*pools):
    return [(problem.variable, problem.message) for problem in parse_hugepages(list(pools))[1]]


@pytest.mark.parametrize(
    ("text", "size_kb"),
    [
        ("2M", 2048),
        ("2MB", 2048),
        ("2MiB", 2048),
        ("2048kB", 2048),
        ("2048 kB", 2048),
        ("2m", 2048),
        ("1G", 1048576),
        ("1024M", 1048576),
        ("64K", 64),
        ("32M", 32768),
        ("512M", 524288),
        ("16G", 16777216),
        ("3M", None),
        ("4K", None),
        ("32G", None),
        ("2", None),
        ("", None),
        ("M", None),
        ("-2M", None),
        ("2M\n", None),
        ("2T", None),
        (2, None),
        (2.0, None),
        (None, None),
        (True, None),
        (["2M"], None),
    ],
)
def test_sizes(text, size_kb):
    assert parse_size(text) == size_kb


@given(st.sampled_from([64 << shift for shift in range(19)]))
def test_every_size_has_a_name_that_is_read_back(size_kb):
    assert parse_size(size_name(size_kb)) == size_kb


def test_a_whole_list():
    pools, wrong = parse_hugepages(
        [
            {"size": "1G", "count": 1, "numa_node": 1, "default": True},
            {"size": "2M", "count": "512", "numa_node": "0", "mount": "/mnt/huge2m"},
            {"size": "2M", "count": 0, "numa_node": 1, "at": "boot", "mount": {"path": "/mnt/huge2m"}},
            {"size": "64K", "count": 8, "mount": {"path": "/mnt/small", "options": "mode=0770,gid=64055"}},
        ]
    )
    assert wrong == []
    assert pools == (
        Pool(1048576, 1, 1, default=True),
        Pool(2048, 512, 0, mount=Mount("/mnt/huge2m")),
        Pool(2048, 0, 1, at="boot", mount=Mount("/mnt/huge2m")),
        Pool(64, 8, mount=Mount("/mnt/small", "mode=0770,gid=64055")),
    )


def test_nothing_asked_for():
    assert parse_hugepages(None) == ((), [])
    assert parse_hugepages([]) == ((), [])


@pytest.mark.parametrize("spec", [{"size": "2M"}, "2M", 5])
def test_no_list(spec):
    pools, wrong = parse_hugepages(spec, "pools")
    assert (pools, wrong[0].variable) == ((), "pools")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"size": 1073741824}, ".size"),
        ({"size": None}, ".size"),
        ({"count": -1}, ".count"),
        ({"count": 1.5}, ".count"),
        ({"count": True}, ".count"),
        ({"count": "many"}, ".count"),
        ({"count": None}, ".count"),
        ({"numa_node": -1}, ".numa_node"),
        ({"numa_node": "x"}, ".numa_node"),
        ({"numa_node": [0, 1]}, ".numa_node"),
        ({"default": "yes"}, ".default"),
        ({"at": "later"}, ".at"),
        ({"at": ["boot"]}, ".at"),
        ({"node": 0}, ".node"),
        ({"mount": 5}, ".mount"),
        ({"mount": "mnt"}, ".mount.path"),
        ({"mount": "/mnt/"}, ".mount.path"),
        ({"mount": "/mnt/../etc"}, ".mount.path"),
        ({"mount": "/"}, ".mount.path"),
        ({"mount": "/a b"}, ".mount.path"),
        ({"mount": "/mnt\nWhat=/dev/sda"}, ".mount.path"),
        ({"mount": {}}, ".mount.path"),
        ({"mount": {"path": "/mnt/x", "option": "y"}}, ".mount.option"),
        ({"mount": {"path": "/mnt/x", "options": "mode=0770, gid=1"}}, ".mount.options"),
        ({"mount": {"path": "/mnt/x", "options": ["mode=0770"]}}, ".mount.options"),
        ({"mount": {"path": "/mnt/x", "options": "pagesize=1G"}}, ".mount.options"),
    ],
)
def test_each_mistake_is_named(change, key):
    found = problems(GOOD, {**GOOD, "size": "1G", **change})
    assert [variable for variable, _message in found] == [f"fastpath_hugepages[1]{key}"]


def test_all_mistakes_at_once():
    found = problems({"size": 2, "count": -1, "colour": "red"}, "2M", {**GOOD, "at": "noon"})
    assert [variable for variable, _message in found] == [
        "fastpath_hugepages[0].colour",
        "fastpath_hugepages[0].size",
        "fastpath_hugepages[0].count",
        "fastpath_hugepages[1]",
        "fastpath_hugepages[2].at",
    ]


@pytest.mark.parametrize(
    ("pools", "variable", "message"),
    [
        ((GOOD, GOOD), "[1]", "second pool of 2M without a NUMA node, after fastpath_hugepages[0]"),
        (
            ({**GOOD, "numa_node": 0}, {"size": "2048kB", "count": 1, "numa_node": 0}),
            "[1]",
            "second pool of 2M of NUMA node 0",
        ),
        (({**GOOD, "numa_node": 0}, GOOD), "[1]", "mixes pools of 2M with and without numa_node"),
        ((GOOD, {**GOOD, "numa_node": 0}), "[1]", "mixes pools of 2M with and without numa_node"),
        (({**GOOD, "default": True}, {"size": "1G", "count": 1, "default": True}), "", "several default page sizes"),
        (
            ({**GOOD, "mount": "/mnt/x"}, {"size": "1G", "count": 1, "mount": "/mnt/x"}),
            "[1].mount",
            "by a pool of another size",
        ),
    ],
)
def test_pools_that_do_not_go_together(pools, variable, message):
    ((where, text),) = problems(*pools)
    assert where == f"fastpath_hugepages{variable}" and message in text


def test_same_size_on_several_nodes_may_be_the_default_and_share_a_mount():
    pool = {**GOOD, "default": True, "mount": "/mnt/x"}
    assert problems({**pool, "numa_node": 0}, {**pool, "numa_node": 1}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["size", "count", "numa_node", "default", "at", "mount", "path", "options", "x"])


@given(JSON | st.lists(st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON)), max_size=4))
def test_no_input_is_worse_than_a_problem(spec):
    pools, wrong = parse_hugepages(spec)
    assert wrong or all(isinstance(pool, Pool) for pool in pools)
