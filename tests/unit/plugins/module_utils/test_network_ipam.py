# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses: what each IPAM plugin gets, and every way of writing them wrongly."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._network_ipam import parse_ipam
from hypothesis import given
from hypothesis import strategies as st


def taken(**ipam: Any) -> dict[str, Any]:
    problems: list[Problem] = []
    found = parse_ipam(ipam, "ipam", problems)
    assert problems == []
    return found


def said(ipam: Any) -> list[str]:
    problems: list[Problem] = []
    parse_ipam(ipam, "ipam", problems)
    return [str(problem) for problem in problems]


def test_none():
    problems: list[Problem] = []
    assert parse_ipam(None, "ipam", problems) == {}
    assert problems == []


def test_host_local():
    assert taken(
        type="host-local",
        subnet="192.0.2.0/24",
        range_start="192.0.2.10",
        range_end="192.0.2.20",
        gateway="192.0.2.1",
        routes=[{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}],
        dns={"nameservers": ["192.0.2.53"], "search": ["example.com"]},
        data_dir="/run/cni/networks",
    ) == {
        "type": "host-local",
        "ranges": [
            [
                {
                    "subnet": "192.0.2.0/24",
                    "rangeStart": "192.0.2.10",
                    "rangeEnd": "192.0.2.20",
                    "gateway": "192.0.2.1",
                }
            ]
        ],
        "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}],
        "dns": {"nameservers": ["192.0.2.53"], "search": ["example.com"]},
        "dataDir": "/run/cni/networks",
    }


def test_host_local_with_both_families():
    found = taken(type="host-local", ranges=[{"subnet": "192.0.2.0/24"}, {"subnet": "2001:db8::/64"}])
    assert found["ranges"] == [[{"subnet": "192.0.2.0/24"}], [{"subnet": "2001:db8::/64"}]]


def test_static():
    assert taken(type="static") == {"type": "static"}
    found = taken(type="static", addresses=[{"address": "192.0.2.5/24", "gateway": "192.0.2.1"}])
    assert found == {"type": "static", "addresses": [{"address": "192.0.2.5/24", "gateway": "192.0.2.1"}]}


def test_whereabouts():
    assert taken(
        type="whereabouts",
        range="192.0.2.0/24",
        range_start="192.0.2.10",
        exclude=["192.0.2.16/30", "192.0.2.200/32"],
        gateway="192.0.2.1",
        network_name="blue",
        enable_overlapping_ranges=False,
    ) == {
        "type": "whereabouts",
        "range": "192.0.2.0/24",
        "range_start": "192.0.2.10",
        "exclude": ["192.0.2.16/30", "192.0.2.200/32"],
        "gateway": "192.0.2.1",
        "network_name": "blue",
        "enable_overlapping_ranges": False,
    }
    assert taken(type="whereabouts", range="192.0.2.10-192.0.2.20/24")["range"] == "192.0.2.10-192.0.2.20/24"
    assert taken(type="whereabouts", range="192.0.2.225/28")["range"] == "192.0.2.225/28"
    both = taken(type="whereabouts", ranges=[{"range": "192.0.2.0/24"}, {"range": "2001:db8::/64"}])
    assert both["ipRanges"] == [{"range": "192.0.2.0/24"}, {"range": "2001:db8::/64"}]


@pytest.mark.parametrize(
    ("ipam", "variable", "words"),
    [
        ("static", "ipam", "must be one of host-local, static, whereabouts"),
        ({}, "ipam.type", "must be one of"),
        ({"type": "dhcp"}, "ipam.type", "must be one of"),
        ({"type": "static", "addreses": []}, "ipam.addreses", "Did you mean addresses?"),
        ({"type": "static", "addresses": []}, "ipam.addresses", "must be a list"),
        ({"type": "static", "addresses": ["192.0.2.1/24"]}, "ipam.addresses[0]", "must be a mapping"),
        ({"type": "static", "addresses": [{"address": "192.0.2.1"}]}, "ipam.addresses[0].address", "prefix length"),
        ({"type": "static", "addresses": [{"gateway": "192.0.2.1"}]}, "ipam.addresses[0].address", "is missing"),
        ({"type": "static", "addresses": [{"address": 1.5}]}, "ipam.addresses[0].address", "prefix length"),
        (
            {"type": "static", "addresses": [{"address": "192.0.2.5/24", "gateway": "198.51.100.1"}]},
            "ipam.addresses[0].gateway",
            "is not in 192.0.2.0/24",
        ),
        ({"type": "static", "routes": [{"gw": "192.0.2.1"}]}, "ipam.routes[0].dst", "is missing"),
        ({"type": "static", "routes": {"dst": "0.0.0.0/0"}}, "ipam.routes", "must be a list of mappings"),
        ({"type": "static", "dns": {"nameserver": "x"}}, "ipam.dns.nameserver", "Did you mean nameservers?"),
        ({"type": "static", "dns": {"nameservers": "192.0.2.1"}}, "ipam.dns.nameservers", "must be a list"),
        ({"type": "static", "dns": {"domain": "a b"}}, "ipam.dns.domain", "without spaces"),
        ({"type": "host-local"}, "ipam.subnet", "is missing"),
        ({"type": "host-local", "subnet": "192.0.2.5/24"}, "ipam.subnet", 'write "192.0.2.0/24"'),
        ({"type": "host-local", "subnet": "192.0.2.0"}, "ipam.subnet", "with its prefix length"),
        ({"type": "host-local", "subnet": "192.0.2.0/24", "range_end": "192.0.3.1"}, "ipam.range_end", "is not in"),
        ({"type": "host-local", "subnet": "192.0.2.0/24", "data_dir": "x"}, "ipam.data_dir", "absolute path"),
        ({"type": "host-local", "subnet": "192.0.2.0/24", "ranges": []}, "ipam.ranges", "use one of them"),
        ({"type": "host-local", "ranges": [{}]}, "ipam.ranges[0].subnet", "is missing"),
        ({"type": "host-local", "ranges": [{"subnet": "x/y"}]}, "ipam.ranges[0].subnet", "must be a network"),
        ({"type": "whereabouts"}, "ipam.range", "give either range or ranges"),
        ({"type": "whereabouts", "range": "192.0.2.0/24", "ranges": []}, "ipam.range", "give either"),
        ({"type": "whereabouts", "range": "192.0.2.9-198.51.100.1/24"}, "ipam.range", "which is not in 192.0.2.0/24"),
        ({"type": "whereabouts", "range_start": "192.0.2.1"}, "ipam.range", "is missing"),
        ({"type": "whereabouts", "ranges": [{"range_end": "192.0.2.1"}]}, "ipam.ranges[0].range", "is missing"),
        ({"type": "whereabouts", "range": "192.0.2.0/24", "range_end": "192.0.9.1"}, "ipam.range_end", "is not in"),
        ({"type": "whereabouts", "range": "192.0.2.0/24", "exclude": "x"}, "ipam.exclude", "must be a list"),
        ({"type": "whereabouts", "range": "192.0.2.0/24", "network_name": "A_b"}, "ipam.network_name", "DNS label"),
        ({"type": "whereabouts", "range": "192.0.2.0/24", "gateway": "x"}, "ipam.gateway", "must be an IP address"),
    ],
)
def test_what_is_refused(ipam, variable, words):
    (problem,) = said(ipam)
    assert problem.startswith(f"{variable} = "), problem
    assert words in problem


NETWORKS = st.builds(
    lambda base, length: ipaddress.ip_network((base, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(8, 30),
)


@given(NETWORKS, st.data())
def test_any_network_with_addresses_of_its_own_is_taken(network, data):
    inside = data.draw(st.integers(0, network.num_addresses - 1))
    address = str(network[inside])
    assert taken(type="host-local", subnet=str(network), gateway=address)["ranges"][0][0]["gateway"] == address
    assert taken(type="whereabouts", range=str(network), range_start=address)["range_start"] == address
    static = taken(type="static", addresses=[{"address": f"{address}/{network.prefixlen}", "gateway": address}])
    assert static["addresses"][0]["gateway"] == address
