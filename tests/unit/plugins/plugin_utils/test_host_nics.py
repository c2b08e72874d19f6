# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of VFs over a whole cluster: never one twice, and never another than before."""

from __future__ import annotations

import ipaddress
import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.plugin_utils import _host_nics
from ansible_collections.nfv.fastpath.plugins.plugin_utils._host_nics import parse_host_nics, plan_host_nics, text
from fastpath_agent.cni.hostnic import HostNic, parse_host_nic
from hypothesis import given
from hypothesis import strategies as st

SUBNET = "192.168.132.0/22"
names = st.from_regex(r"node-[a-z0-9]{1,6}", fullmatch=True)
pci_addresses = st.builds("0000:{:02x}:{:02x}.{}".format, st.integers(0, 3), st.integers(0, 3), st.integers(0, 7))
clusters = st.dictionaries(names, st.lists(pci_addresses, unique=True, max_size=12), max_size=6)
subnets = st.sampled_from([SUBNET, "10.0.0.0/8", "2001:db8::/64", "198.51.100.0/24"])


def everything(planned, key: str) -> list[str]:
    return [entry[key] for entries in planned.values() for entry in entries]


def unique(planned) -> bool:
    return all(len(set(everything(planned, key))) == len(everything(planned, key)) for key in ("ipAddr", "mac"))


@given(clusters, subnets)
def test_no_address_is_given_twice_and_each_is_of_the_subnet(nodes, subnet):
    planned = plan_host_nics(parse_host_nics({"subnet": subnet}), nodes)
    assert {node: [entry["pciAddress"] for entry in entries] for node, entries in planned.items()} == {
        node: sorted(vfs) for node, vfs in nodes.items()
    }
    assert unique(planned)
    network = ipaddress.ip_network(subnet)
    for each in map(ipaddress.ip_address, everything(planned, "ipAddr")):
        assert each in network and each not in (network.network_address, network.broadcast_address)
    assert all(mac.startswith("02:") for mac in everything(planned, "mac"))


@given(clusters, clusters)
def test_a_node_that_comes_changes_nothing_for_the_others(nodes, more):
    spec = parse_host_nics({"subnet": "198.51.100.0/24"})
    before = plan_host_nics(spec, nodes)
    after = plan_host_nics(spec, {**more, **nodes}, before)
    assert {node: after[node] for node in nodes} == before
    assert unique(after)


@given(clusters, st.data())
def test_nodes_that_are_not_in_the_run_keep_what_they_have(nodes, data):
    spec = parse_host_nics({"subnet": "198.51.100.0/24"})
    before = plan_host_nics(spec, nodes)
    some = data.draw(st.lists(st.sampled_from(sorted(nodes)), unique=True)) if nodes else []
    again = plan_host_nics(spec, {node: nodes[node] for node in some}, before)
    assert again == {node: before[node] for node in sorted(some)}


@given(clusters, clusters)
def test_vfs_and_nodes_that_go_free_their_addresses_only(nodes, fewer):
    spec = parse_host_nics({"subnet": SUBNET})
    before = plan_host_nics(spec, nodes)
    left = {node: [vf for vf in vfs if vf not in fewer.get(node, ())] for node, vfs in nodes.items()}
    after = plan_host_nics(spec, left, {node: before[node] for node in left})
    for node, entries in after.items():
        assert all(entry in before[node] for entry in entries)


@given(clusters)
def test_the_order_of_nodes_and_vfs_does_not_matter(nodes):
    spec = parse_host_nics({"subnet": SUBNET})
    turned = {node: list(reversed(vfs)) for node, vfs in reversed(list(nodes.items()))}
    assert plan_host_nics(spec, nodes) == plan_host_nics(spec, turned)


junk = st.none() | st.text(max_size=8) | st.integers() | st.sampled_from(["192.168.132.9", "02:00:00:00:00:01"])


@given(clusters, st.lists(st.fixed_dictionaries({"pciAddress": pci_addresses, "ipAddr": junk, "mac": junk})))
def test_former_lists_that_people_edited_make_nothing_twice(nodes, odd):
    former = dict.fromkeys(nodes, odd)
    planned = plan_host_nics(parse_host_nics({"subnet": SUBNET}), nodes, former)
    assert unique(planned)
    assert planned == plan_host_nics(parse_host_nics({"subnet": SUBNET}), nodes, planned)


@given(st.integers(0, 14))
def test_a_subnet_is_used_to_its_last_address(count):
    spec = parse_host_nics({"subnet": "192.0.2.0/28", "gateway": "192.0.2.1"})
    nodes = {"a": [f"0000:02:{number:02x}.0" for number in range(count)]}
    if count > 13:
        with pytest.raises(Refused, match="has 13 addresses to give, and 14 VFs need one"):
            plan_host_nics(spec, nodes)
        return
    planned = plan_host_nics(spec, nodes)
    assert unique(planned) and "192.0.2.1" not in everything(planned, "ipAddr")


def test_the_agent_understands_it():
    spec = parse_host_nics({"subnet": "192.0.2.0/29", "gateway": "192.0.2.1", "exclude": ["192.0.2.2-192.0.2.5"]})
    planned = plan_host_nics(spec, {"node1": ["0000:83:00.5"]})
    (entry,) = planned["node1"]
    assert entry == {
        "pciAddress": "0000:83:00.5",
        "ipAddr": "192.0.2.6",
        "ipMask": "255.255.255.248",
        "mac": entry["mac"],
        "gateway": "192.0.2.1",
    }
    written = text(planned["node1"])
    assert json.loads(written) == planned["node1"] and written.endswith("]\n")
    found = parse_host_nic(written.encode(), "0000:83:00.5", "f")
    assert found == HostNic(entry["mac"], "192.0.2.6/29", "192.0.2.1")


def test_version_6():
    spec = parse_host_nics({"subnet": "2001:db8::/64", "mac_prefix": "02:00:5E"})
    (entry,) = plan_host_nics(spec, {"node1": ["0000:83:00.5"]})["node1"]
    assert entry["ipMask"] == "64" and entry["mac"].startswith("02:00:5e:")
    found = parse_host_nic(text([entry]).encode(), "0000:83:00.5", "f")
    assert found is not None and found.address == f"{entry['ipAddr']}/64"


def test_two_that_share_a_choice_get_two_addresses(monkeypatch):
    monkeypatch.setattr(_host_nics, "_digest", lambda vf: 5)
    assert unique(plan_host_nics(parse_host_nics({"subnet": SUBNET}), {"a": ["0000:02:00.1"], "b": ["0000:02:00.1"]}))


@pytest.mark.parametrize(
    ("given_spec", "said"),
    [
        (None, "must be a mapping"),
        ({}, "subnet = None: must be a network"),
        ({"subnet": "192.0.2.1/24"}, 'write "192.0.2.0/24"'),
        ({"subnet": "192.0.2.0"}, "must be a network"),
        ({"subnet": "x/24"}, "must be a network"),
        ({"subnet": SUBNET, "gateway": "192.0.2.1"}, "gateway = '192.0.2.1': must be an address of"),
        ({"subnet": SUBNET, "gateway": "x"}, "must be an address of"),
        ({"subnet": SUBNET, "exclude": ["x"]}, r"exclude\[0\] = 'x': must be an address, a network"),
        ({"subnet": SUBNET, "exclude": [7]}, r"exclude\[0\] = 7"),
        ({"subnet": SUBNET, "exclude": "192.0.2.1"}, "exclude = '192.0.2.1': must be a list"),
        ({"subnet": SUBNET, "mac_prefix": "00:11"}, "octets of local addresses"),
        ({"subnet": SUBNET, "mac_prefix": "02:00:00:00"}, "one to three octets"),
        ({"subnet": SUBNET, "mac_prefix": 2}, "one to three octets"),
        ({"subnets": SUBNET}, "Did you mean subnet"),
    ],
)
def test_what_is_wrong_is_told(given_spec, said):
    with pytest.raises(Refused, match=said):
        parse_host_nics(given_spec)


def test_vfs_that_are_wrong_are_told_together():
    spec = parse_host_nics({"subnet": SUBNET})
    with pytest.raises(Refused) as raised:
        plan_host_nics(spec, {"a": ["x", "0000:02:00.1", "0000:02:00.1"]})
    assert [problem.value for problem in raised.value.problems] == ["x", "0000:02:00.1"]


def test_without_the_library_it_is_named(monkeypatch):
    monkeypatch.setattr(_host_nics, "netaddr", None)
    with pytest.raises(FastpathError, match="netaddr is missing"):
        parse_host_nics({"subnet": SUBNET})
