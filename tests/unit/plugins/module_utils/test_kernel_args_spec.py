# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import (
    KernelArgsSpec,
    cpu_list,
    parse_cpu_list,
    parse_kernel_args,
)
from hypothesis import given
from hypothesis import strategies as st


def good(spec) -> KernelArgsSpec:
    parsed, problems = parse_kernel_args(spec)
    assert problems == []
    return parsed


def bad(spec) -> list[str]:
    return [problem.variable for problem in parse_kernel_args(spec)[1]]


@pytest.mark.parametrize("empty", [None, {}, {"iommu": None, "isolated_cpus": None, "extra": None, "remove": None}])
def test_nothing_asked_for_is_fine(empty):
    assert good(empty) == KernelArgsSpec()


@pytest.mark.parametrize(
    ("value", "mode"), [(True, "on"), (False, "off"), ("on", "on"), ("passthrough", "passthrough")]
)
def test_yaml_turns_on_and_off_into_booleans(value, mode):
    assert good({"iommu": value}).iommu == mode


@pytest.mark.parametrize(
    ("value", "cpus"), [("2-5,8", (2, 3, 4, 5, 8)), (3, (3,)), ([4, 2], (2, 4)), ("", ()), ("1, 2", (1, 2)), ([], ())]
)
def test_cpu_lists(value, cpus):
    assert good({"isolated_cpus": value}).isolated_cpus == cpus


@pytest.mark.parametrize("value", ["5-2", "a", "1-", "1;2", 1.5, True, {"a": 1}, [1, "x"], "1-99999999", [True]])
def test_what_is_no_cpu_list(value):
    assert bad({"isolated_cpus": value}) == ["fastpath_kernel_args.isolated_cpus"]


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_cpu_list_is_read_as_it_was_written(cpus):
    assert parse_cpu_list(cpu_list(tuple(cpus))) == tuple(sorted(cpus))


def test_extra_keeps_its_order_and_repeats():
    extra = {"console": ["tty0", "ttyS0,115200"], "nosmt": None, "log_buf_len": 16, "dyndbg": "file a.c +p", "b": ""}
    expected = 'console=tty0 console=ttyS0,115200 nosmt log_buf_len=16 dyndbg="file a.c +p" b='
    assert as_line(good({"extra": extra}).extra) == expected


@pytest.mark.parametrize("value", [True, False, 1.1, {"a": 1}, 'a"b', "a'b", "a\\b", "a`b", "a\nb", "é", "a\tb"])
def test_values_that_cannot_be_meant_or_carried(value):
    assert bad({"extra": {"x": value}}) == ["fastpath_kernel_args.extra.x"]
    assert bad({"extra": {"x": ["fine", value]}}) == ["fastpath_kernel_args.extra.x[1]"]


@pytest.mark.parametrize("name", ["a b", "", "a=b", "-x", "--", True, 7, None, "x;y", "$x", "root", "BOOT_IMAGE", "ro"])
def test_names_that_are_none_or_not_ours(name):
    assert bad({"extra": {name: "1"}}) == [f"fastpath_kernel_args.extra.{name}"]


def test_a_name_has_one_place():
    assert bad({"extra": {"a-b": "1", "a_b": "2"}}) == ["fastpath_kernel_args.extra.a_b"]
    assert bad({"iommu": "on", "extra": {"intel-iommu": "sm_on"}}) == ["fastpath_kernel_args.extra.intel-iommu"]
    assert bad({"isolated_cpus": "1", "extra": {"nohz_full": "1"}}) == ["fastpath_kernel_args.extra.nohz_full"]
    assert bad({"extra": {"hugepages": 4}}) == ["fastpath_kernel_args.extra.hugepages"]
    assert good({"extra": {"intel_iommu": "on,sm_on", "nohz_full": "1"}})


def test_a_value_that_no_kernel_knows_is_refused():
    problems = parse_kernel_args({"extra": {"amd_iommu": "on"}})[1]
    assert len(problems) == 1
    assert "no such value" in problems[0].message


def test_remove_takes_names_and_pairs():
    assert as_line(good({"remove": ["quiet", "intel_iommu=off"]}).remove) == "quiet intel_iommu=off"


@pytest.mark.parametrize("item", [1, None, {"a": 1}, "root", "root=/dev/sda", "a b", "x='1'", "dyndbg=file a", "=1"])
def test_what_cannot_be_removed(item):
    assert bad({"remove": [item]}) == ["fastpath_kernel_args.remove[0]"]


@pytest.mark.parametrize(
    ("spec", "variables"),
    [
        ("iommu=pt", [""]),
        (["iommu"], [""]),
        ({"iommu": "yes"}, [".iommu"]),
        ({"iommu": 1}, [".iommu"]),
        ({"extra": ["quiet"]}, [".extra"]),
        ({"extra": {"x": []}}, [".extra.x"]),
        ({"remove": "quiet"}, [".remove"]),
        ({"iomu": "on", "iommu": "x", "isolated_cpus": "x"}, [".iomu", ".iommu", ".isolated_cpus"]),
    ],
)
def test_all_that_is_wrong_is_named_at_once(spec, variables):
    assert bad(spec) == [f"fastpath_kernel_args{variable}" for variable in variables]
