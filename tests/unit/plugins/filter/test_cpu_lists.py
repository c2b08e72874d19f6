# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.nfv.fastpath.plugins.filter.cpu_lists import FilterModule
from hypothesis import given
from hypothesis import strategies as st

FILTERS = FilterModule().filters()
FOLDER = Path(__file__).resolve().parents[4] / "plugins/filter"
CPUS = st.sets(st.integers(0, 130))


def spelled(cpus):
    return ",".join(map(str, sorted(cpus)))


def members(text):
    """An independent reader of lists."""
    found = set()
    for part in filter(None, text.split(",")):
        ends = [int(end) for end in part.split("-")]
        found |= set(range(ends[0], ends[-1] + 1))
    return found


@given(CPUS)
def test_there_and_back(cpus):
    mask = FILTERS["cpu_list_to_mask"](spelled(cpus))
    assert int(mask, 16) == sum(2**cpu for cpu in cpus)
    assert members(FILTERS["mask_to_cpu_list"](mask)) == cpus


@given(CPUS, CPUS, CPUS)
def test_union_and_difference_are_those_of_sets(first, second, third):
    texts = [spelled(cpus) for cpus in (first, second, third)]
    assert members(FILTERS["cpu_list_union"](*texts)) == first | second | third
    assert members(FILTERS["cpu_list_difference"](*texts)) == first - second - third


def test_an_error_names_filter_and_value():
    with pytest.raises(AnsibleFilterError, match=r"cpu_list_to_mask\('0x6'\): is a mask"):
        FILTERS["cpu_list_to_mask"]("0x6")


def test_every_filter_has_its_page():
    assert {path.stem for path in FOLDER.glob("cpu_list*.yml")} | {"mask_to_cpu_list"} == set(FILTERS) | set()
    for name in FILTERS:
        page = yaml.safe_load((FOLDER / f"{name}.yml").read_text())
        assert page["DOCUMENTATION"]["name"] == name
        assert {"EXAMPLES", "RETURN"} < set(page)
