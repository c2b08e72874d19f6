# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Levels of instruction sets, manifests, and whether a bundle fits a node."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import (
    Manifest,
    NodeAbi,
    fits,
    oldest,
    parse_manifest,
    version_tuple,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import (
    LEVELS,
    NAMES,
    common_level,
    flags_of,
    level_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from hypothesis import given
from hypothesis import strategies as st

ALL_FLAGS = sorted({flag for flags in LEVELS.values() for flag in flags})


def manifest(**changes):
    values = {
        "name": "dpdk",
        "version": "24.11.6",
        "key": "0123456789abcdef",
        "architecture": "x86_64",
        "baseline": "x86-64-v2",
        "cpu_flags": flags_of("x86-64-v2"),
        "os_id": "debian",
        "release": "trixie",
        "glibc": "2.38",
    }
    return Manifest(**{**values, **changes})


def node(**changes):
    values = {
        "node": "node1",
        "architecture": "x86_64",
        "cpu_flags": flags_of("x86-64-v3"),
        "glibc": "2.41",
        "os_id": "debian",
        "release": "trixie",
    }
    return NodeAbi(**{**values, **changes})


@pytest.mark.parametrize("name", NAMES)
def test_a_cpu_with_the_flags_of_a_level_has_that_level(name):
    assert level_of(flags_of(name)) == name


def test_levels_grow():
    assert [set(flags_of(low)) < set(flags_of(high)) for low, high in zip(NAMES, NAMES[1:])] == [True] * 3


@given(st.sets(st.sampled_from(ALL_FLAGS)))
def test_level_against_its_definition(flags):
    fitting = [name for name in NAMES if set(flags_of(name)) <= flags]
    assert level_of(flags) == (fitting[-1] if fitting else None)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6))
def test_common_level_is_the_oldest_cpus(levels):
    assert common_level(flags_of(level) for level in levels) == min(levels, key=NAMES.index)


def test_no_common_level():
    assert common_level([]) is None
    assert common_level([flags_of("x86-64-v4"), ("sse",)]) is None


def test_a_hole_ends_the_ladder():
    assert level_of(set(flags_of("x86-64-v4")) - {"sse4_2"}) == "x86-64"


def test_fitting():
    assert fits(manifest(), node()) == []
    assert fits(manifest(glibc="2.41"), node(glibc="2.41")) == []
    assert fits(manifest(glibc=""), node(glibc="2.3")) == []


def test_glibc_is_compared_as_numbers():
    assert fits(manifest(glibc="2.9"), node(glibc="2.10")) == []
    assert fits(manifest(glibc="2.10"), node(glibc="2.9"))[0].variable == "bundle.glibc"


@pytest.mark.parametrize(
    ("of_bundle", "of_node", "variable", "text"),
    [
        ({"architecture": "aarch64"}, {}, "bundle.architecture", "node1 is x86_64"),
        ({"cpu_flags": flags_of("x86-64-v4")}, {}, "bundle.baseline", "avx512bw"),
        ({}, {"glibc": "2.36"}, "bundle.glibc", "node1 has 2.36"),
        ({}, {"glibc": ""}, "bundle.glibc", "has none"),
        ({}, {"os_id": "rhel"}, "bundle.os_id", "node1 runs rhel"),
    ],
)
def test_not_fitting(of_bundle, of_node, variable, text):
    problems = fits(manifest(**of_bundle), node(**of_node))
    assert [problem.variable for problem in problems] == [variable]
    assert text in problems[0].message


def test_all_misfits_at_once():
    assert len(fits(manifest(), node(cpu_flags=(), glibc="2.1", os_id="alpine"))) == 3


@given(st.sets(st.sampled_from(ALL_FLAGS)), st.sampled_from(NAMES))
def test_fitting_is_having_every_flag(flags, level):
    problems = fits(manifest(cpu_flags=flags_of(level)), node(cpu_flags=tuple(flags)))
    assert (not problems) == (set(flags_of(level)) <= flags)


def test_prefix_names_version_and_key():
    assert manifest().prefix == "/opt/fastpath/dpdk/24.11.6-0123456789abcdef"


def test_a_manifest_survives_json():
    one = manifest(packages=("libnuma1",), commands=("bin/dpdk-testpmd",), options={"tests": "false"}, size=5)
    assert parse_manifest(json.loads(json.dumps(one.as_json()))) == one


def test_what_a_later_builder_adds_is_left_out():
    assert parse_manifest({**manifest().as_json(), "colour": "blue"}) == manifest()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "24.11.6",
        {},
        {"schema": "nfv.fastpath/bundle/2"},
        {"schema": "nfv.fastpath/bundle/1", "name": "dpdk"},
        {**manifest().as_json(), "key": "../../etc"},
        {**manifest().as_json(), "name": "../dpdk"},
        {**manifest().as_json(), "version": "24/11"},
        {**manifest().as_json(), "version": 24.11},
    ],
)
def test_what_is_no_manifest(value):
    with pytest.raises(Refused):
        parse_manifest(value)


def test_oldest_by_c_library():
    nodes = [node(node="b", glibc="2.41"), node(node="a", glibc="2.9"), node(node="c", glibc="2.36")]
    assert oldest(nodes).node == "a"
    assert version_tuple("2.36.1-9") == (2, 36, 1, 9)
