# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of VFs: unique in the cluster, and the same for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host_nic_spec import HostNics, parse_host_nics
from ansible_collections.nfv.fastpath.plugins.module_utils._host_nics import host_nics, plan_numbers
from fastpath_agent.cni.hostnic import parse_host_nic
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=3), max_size=12)


def networks(*entries: dict[str, Any], pools: tuple[str, ...] = ("a", "b")) -> tuple[HostNics, ...]:
    problems: list[Problem] = []
    found = parse_host_nics(list(entries), pools, "host_nic", problems)
    assert problems == []
    return found


NETWORKS = networks(
    {"pool": "a", "network": "198.18.0.0/20", "per_node": 4, "mac": True},
    {"pool": "b", "network": "192.0.2.0/24", "first": "192.0.2.32", "per_node": 8, "gateway": "192.0.2.1"},
)


@given(NAMES, NAMES, st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 20), max_size=12))
def test_numbers_are_unique_and_stay(asked, further, former):
    first = plan_numbers(asked, former)
    assert len(set(first.values())) == len(first) == len(asked)
    kept = {**former, **first}
    assert plan_numbers(asked, kept) == first
    more = plan_numbers(asked | further, kept)
    assert {name: more[name] for name in asked} == first
    assert len(set(more.values())) == len(more)


@given(NAMES, st.integers(1, 4), st.integers(1, 8))
def test_no_address_is_there_twice(nodes, of_a, of_b):
    numbers = plan_numbers(nodes, {})
    addresses = {"a": [f"0000:01:00.{n}" for n in range(of_a)], "b": [f"0000:02:00.{n % 8}" for n in range(of_b)]}
    entries = [entry for number in numbers.values() for entry in host_nics(NETWORKS, number, addresses)]
    assert len({entry["ipAddr"] for entry in entries}) == len(entries) == len(nodes) * (of_a + of_b)
    macs = [entry["mac"] for entry in entries if "mac" in entry]
    assert len(set(macs)) == len(macs) == len(nodes) * of_a


def test_the_agents_plugin_reads_it():
    entries = host_nics(NETWORKS, 1, {"a": ["0000:01:00.1"], "b": ["0000:02:00.1"]})
    text = json.dumps(entries).encode()
    first, second = (parse_host_nic(text, f"0000:0{bus}:00.1", "hostNic.json") for bus in (1, 2))
    assert (first.address, first.mac) == ("198.18.0.5/20", "02:fa:c6:12:00:05")
    assert (second.address, second.mac, second.gateway) == ("192.0.2.40/24", "", "192.0.2.1")


@pytest.mark.parametrize(
    ("number", "devices", "said"),
    [(0, 5, "is less than the 5 VFs that a has on a node"), (1023, 1, "has room for 1023 nodes")],
)
def test_no_room(number, devices, said):
    with pytest.raises(Refused) as refused:
        host_nics(NETWORKS[:1], number, {"a": [f"0000:01:00.{n}" for n in range(devices)]})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("a", "must be a mapping"),
        ({"pool": "a"}, "host_nic[0].network = None: is missing"),
        ({"pool": "c", "network": "192.0.2.0/24"}, "is no pool of the node agent"),
        ({"pool": "a", "network": "192.0.2.1/24"}, "must be an IPv4 network"),
        ({"pool": "a", "network": "192.0.2.0/31"}, "must be an IPv4 network"),
        ({"pool": "a", "network": "192.0.2.0/24", "first": "192.0.3.1"}, "is not in 192.0.2.0/24"),
        ({"pool": "a", "network": "192.0.2.0/28", "per_node": 15}, "is more than 192.0.2.0/28 has"),
        ({"pool": "a", "network": "192.0.2.0/24", "gateway": "192.0.2.9"}, "is among the addresses that VFs get"),
    ],
)
def test_what_cannot_be(entry, said):
    problems: list[Problem] = []
    parse_host_nics([entry], ("a",), "host_nic", problems)
    assert any(said in str(problem) for problem in problems), problems


def test_networks_do_not_overlap():
    problems: list[Problem] = []
    entries = [{"pool": "a", "network": "192.0.2.0/24"}, {"pool": "b", "network": "192.0.2.128/25"}]
    parse_host_nics(entries, ("a", "b"), "host_nic", problems)
    assert "overlaps 192.0.2.0/24" in str(problems[0])
