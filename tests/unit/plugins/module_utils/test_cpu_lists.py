# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import (
    WrongCpus,
    cpus_to_mask,
    format_cpu_list,
    mask_to_cpus,
    parse_cpu_list,
)
from hypothesis import given
from hypothesis import strategies as st

CPUS = st.sets(st.integers(0, 300))


def bits_by_text(mask: str) -> set[int]:
    """An independent way: the digits in base 2, read from the right."""
    digits = f"{int(mask, 16):b}"
    return {place for place, digit in enumerate(reversed(digits)) if digit == "1"}


def spelled(cpus: set[int]) -> str:
    """An independent way: every CPU on its own."""
    return ",".join(map(str, sorted(cpus)))


@given(CPUS)
def test_a_mask_has_the_bits_of_the_list(cpus):
    assert bits_by_text(cpus_to_mask(cpus)) == cpus
    assert set(mask_to_cpus(cpus_to_mask(cpus))) == cpus


@given(CPUS)
def test_a_list_is_read_back(cpus):
    assert set(parse_cpu_list(format_cpu_list(cpus))) == cpus
    assert parse_cpu_list(spelled(cpus)) == parse_cpu_list(sorted(cpus)) == tuple(sorted(cpus))


@given(CPUS)
def test_a_list_is_the_shortest(cpus):
    text = format_cpu_list(cpus)
    starts = [cpu for cpu in cpus if cpu - 1 not in cpus]
    assert len([part for part in text.split(",") if part]) == len(starts)


@given(CPUS)
def test_sysfs_groups_of_32_bits_are_the_same_mask(cpus):
    number = int(cpus_to_mask(cpus), 16)
    groups = []
    while number:
        groups.insert(0, f"{number & 0xFFFFFFFF:08x}")
        number >>= 32
    assert set(mask_to_cpus(",".join(groups) or "0")) == cpus


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)), max_size=6))
def test_ranges_may_overlap(ranges):
    text = ",".join(f"{first}-{first + length}" for first, length in ranges)
    expected = {cpu for first, length in ranges for cpu in range(first, first + length + 1)}
    assert set(parse_cpu_list(text)) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("3", (3,)),
        ("2-5,8", (2, 3, 4, 5, 8)),
        (" 2 - 3 , 5 ", (2, 3, 5)),
        ([2, "4-5", 2], (2, 4, 5)),
    ],
)
def test_lists(value, expected):
    assert parse_cpu_list(value) == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (6, 'for CPU 6 alone write "6" in quotes'),
        ("0x6", 'is a mask, but must be a list of CPUs, such as "2-5,8" or [2, 3]: 0x6 is "1-2"'),
        ("0xzz", "is a mask"),
        ("5-2", "must ascend: 2-5"),
        ("a", "must be a list"),
        ("1,,2", "must be a list"),
        ("-1", "must be a list"),
        ([-1], "must be a list"),
        ([True], "must be a list"),
        (True, "must be a list"),
        (2.5, "must be a list"),
        ({}, "must be a list"),
        ("70000", "the largest number is 65535"),
    ],
)
def test_what_is_no_list(value, said):
    with pytest.raises(WrongCpus) as wrong:
        parse_cpu_list(value)
    assert said in str(wrong.value)


@pytest.mark.parametrize("value", [None, 6, "", "0x", "xyz", "1,123456789"])
def test_what_is_no_mask(value):
    with pytest.raises(WrongCpus, match="must be a mask"):
        mask_to_cpus(value)
