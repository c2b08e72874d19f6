# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import (
    Argument,
    as_line,
    as_texts,
    hugepage_part,
    matches_any,
    missing_in,
    parse_line,
    parse_words,
    split_off,
    union,
    without,
)
from hypothesis import given
from hypothesis import strategies as st

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,6}", fullmatch=True)
values = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='"'), max_size=8)
arguments = st.builds(Argument, names, values)
lists = st.lists(arguments, max_size=8).map(tuple)
few = st.lists(st.sampled_from(parse_line("a b=1 b=2 c=x,y d-e=1")), max_size=7).map(tuple)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", ()),
        ("  quiet\n", (Argument("quiet"),)),
        ("a= b=c=d", (Argument("a", ""), Argument("b", "c=d"))),
        ('dyndbg="file x.c +p" ro', (Argument("dyndbg", "file x.c +p"), Argument("ro"))),
        ('"dyndbg=file x.c +p" ro', (Argument("dyndbg", "file x.c +p"), Argument("ro"))),
        ("console=tty0 console=ttyS0,115200", (Argument("console", "tty0"), Argument("console", "ttyS0,115200"))),
        ("ro -- single a=b", (Argument("ro"),)),
        ('a=""', (Argument("a", ""),)),
        ("a\tb", (Argument("a"), Argument("b"))),
    ],
)
def test_a_line_is_parsed_as_the_kernel_parses_it(line, expected):
    assert parse_line(line) == expected


@given(lists)
def test_what_is_written_is_read_again(items):
    assert parse_line(as_line(items)) == items
    assert parse_words(as_texts(items)) == items


def test_dash_and_underscore_are_the_same_in_names_but_not_in_values():
    assert Argument("log-buf-len", "1M").same(Argument("log_buf_len", "1M"))
    assert not Argument("x", "a-b").same(Argument("x", "a_b"))
    assert not Argument("x").same(Argument("x", ""))


@pytest.mark.parametrize(
    ("given_text", "wanted", "says"),
    [
        ("intel_iommu=on,sm_on", "intel_iommu=on", True),
        ("intel-iommu=sm_on,on", "intel_iommu=on", True),
        ("intel_iommu=on", "intel_iommu=on,sm_on", False),
        ("intel_iommu=strict", "intel_iommu=on", False),
        ("isolcpus=domain,2", "isolcpus=domain", False),
        ("quiet", "quiet", True),
        ("quiet=1", "quiet", False),
        ("iommu", "iommu=pt", False),
    ],
)
def test_an_option_list_says_each_of_its_options(given_text, wanted, says):
    assert parse_line(given_text)[0].says(parse_line(wanted)[0]) is says


@pytest.mark.parametrize(
    ("line", "wanted", "missing"),
    [
        ("ro iommu=pt quiet", "iommu=pt", ""),
        ("ro iommu=pty", "iommu=pt", "iommu=pt"),
        ("ro iommu.passthrough=1", "iommu=pt", "iommu=pt"),
        # Of a name that does not add up, the last one is heeded.
        ("intel_iommu=on intel_iommu=off", "intel_iommu=on", "intel_iommu=on"),
        ("intel_iommu=off intel_iommu=on", "intel_iommu=on", ""),
        ("console=ttyS0 console=tty0", "console=ttyS0", ""),
        ("rd.lvm.lv=a/b rd.lvm.lv=c/d", "rd.lvm.lv=a/b", ""),
        ("x=1 x=2", "x=1 x=2", ""),
        # Pages: only together and in order.
        ("hugepagesz=1G hugepages=4", "hugepagesz=1G hugepages=4", ""),
        ("hugepagesz=1G a=b hugepages=4", "hugepagesz=1G hugepages=4", ""),
        (
            "hugepagesz=1G hugepagesz=2M hugepages=4 hugepages=8",
            "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=8",
            "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=8",
        ),
        (
            "hugepagesz=2M hugepages=8 hugepagesz=1G hugepages=4",
            "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=8",
            "hugepagesz=1G hugepages=4 hugepagesz=2M hugepages=8",
        ),
        ("hugepagesz=1G hugepages=4 hugepages=8", "hugepagesz=1G hugepages=4", "hugepagesz=1G hugepages=4"),
        ("hugepages=4", "quiet", "quiet"),
    ],
)
def test_missing_is_what_has_no_effect(line, wanted, missing):
    assert as_line(missing_in(parse_line(line), parse_line(wanted))) == missing


@given(few, few)
def test_taking_away_counts_occurrences(items, taken):
    found, rest = split_off(items, taken)
    assert sorted(as_texts(found + rest)) == sorted(as_texts(items))
    assert without(found, taken) == ()
    assert rest == without(items, taken)


@given(few, few)
def test_a_union_holds_both_and_no_more(one, other):
    both = union(one, other)
    assert not without(one, both)
    assert not without(other, both)
    for item in both:
        assert both.count(item) == max(one.count(item), other.count(item))


@given(few)
def test_nothing_is_missing_in_itself_but_for_what_it_overrides(items):
    assert not [item for item in missing_in(items, items) if items.count(item) == len(items)]


def test_a_pattern_without_value_means_any_value():
    patterns = parse_line("quiet intel-iommu=off")
    assert matches_any(Argument("quiet", "1"), patterns)
    assert matches_any(Argument("intel_iommu", "off"), patterns)
    assert not matches_any(Argument("intel_iommu", "on"), patterns)
    assert not matches_any(Argument("quiets"), patterns)


def test_the_hugepage_part_keeps_its_order():
    line = parse_line("default_hugepagesz=1G a hugepagesz=1G b hugepages=0:2,1:1 transparent_hugepage=never")
    assert as_line(hugepage_part(line)) == "default_hugepagesz=1G hugepagesz=1G hugepages=0:2,1:1"
