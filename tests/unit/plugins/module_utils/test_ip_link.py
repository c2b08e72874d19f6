# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seam around ``ip``: recorded answers in, exact command lines out."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import (
    Link,
    links_and_default_routes,
    parse_links,
    set_mtu,
    set_up,
    set_vfs,
    vf_changes,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import VfAttributes

PF = {
    "ifindex": 5,
    "ifname": "ens1",
    "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
    "mtu": 1500,
    "address": "52:54:00:01:01:00",
    "permaddr": "52:54:00:01:01:01",
    "master": "bond0",
    "parentbus": "pci",
    "parentdev": "0000:81:00.0",
    "vfinfo_list": [
        {
            "vf": 0,
            "address": "5a:14:46:d0:65:d7",
            "vlan_list": [{"vlan": 100, "qos": 3}],
            "rate": {"max_tx": 50, "min_tx": 0},
            "spoofchk": False,
            "link_state": "auto",
            "trust": True,
        },
        {"vf": 1, "mac": "00:00:00:00:00:00"},
    ],
    "addr_info": [
        {"family": "inet", "local": "192.0.2.1", "scope": "global"},
        {"family": "inet6", "local": "fe80::1", "scope": "link"},
    ],
}


class Transcript:
    """Commands in exact order; any other call fails."""

    def __init__(self, *expected: tuple[list[str], str, Completed]) -> None:
        self.expected = list(expected)

    def __call__(self, argv, timeout, stdin):
        wanted, text, answer = self.expected.pop(0)
        assert (list(argv), stdin) == (wanted, text)
        assert timeout > 0
        return answer


def done(out: str = "") -> Completed:
    return Completed(0, out, "")


def test_a_pf_with_vfs():
    (link,) = parse_links(json.dumps([PF, {}]))
    assert link == Link(
        name="ens1",
        master="bond0",
        addresses=("192.0.2.1",),
        mac="52:54:00:01:01:00",
        permanent_mac="52:54:00:01:01:01",
        mtu=1500,
        up=True,
        parent="0000:81:00.0",
        vfs={
            0: VfAttributes("5a:14:46:d0:65:d7", 100, 3, True, False, 0, 50, "auto"),
            1: VfAttributes(mac="00:00:00:00:00:00", vlan=0, qos=0, min_rate=0, max_rate=0),
        },
    )


def test_one_process_tells_links_and_routes():
    routes = [{"dst": "default", "dev": "e0"}, {"dst": "default", "nexthops": [{"dev": "e1"}, {"dev": "e0"}]}]
    text = f"{json.dumps([PF])}\n{json.dumps(routes)}\n"
    batch = "addr show\nroute show table all default\n"
    run = Transcript((["ip", "-j", "-d", "-batch", "-"], batch, done(text)))
    found, netdevs = links_and_default_routes(Host(run=run))
    assert [link.name for link in found] == ["ens1"] and netdevs == ("e0", "e1")


def test_half_an_answer_is_no_answer():
    host = Host(run=lambda *_: Completed(1, "[]\n", "Command failed -:2"))
    with pytest.raises(FastpathError, match="could not list interfaces and routes: Command failed"):
        links_and_default_routes(host)


def test_mtu_and_link():
    run = Transcript(
        (["ip", "link", "set", "dev", "ens1", "mtu", "9000"], "", done()),
        (["ip", "link", "set", "dev", "ens1", "down"], "", done()),
    )
    set_mtu(Host(run=run), "ens1", 9000)
    set_up(Host(run=run), "ens1", False)
    assert run.expected == []


def lines(before: VfAttributes, after: VfAttributes) -> str:
    return "".join(change.line("ens1", change.after) for change in vf_changes(2, before, after))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (VfAttributes(vlan=5), VfAttributes(), ""),
        (VfAttributes(vlan=5), VfAttributes(vlan=5), ""),
        (VfAttributes(), VfAttributes(mac="02:00:00:00:00:01"), "mac 02:00:00:00:00:01"),
        (VfAttributes(vlan=5, qos=3), VfAttributes(vlan=6), "vlan 6 qos 3"),
        (VfAttributes(vlan=5, qos=3), VfAttributes(vlan=0), "vlan 0 qos 0"),
        (VfAttributes(min_rate=1, max_rate=9), VfAttributes(max_rate=8), "min_tx_rate 1 max_tx_rate 8"),
        (VfAttributes(trust=False), VfAttributes(trust=True), "trust on"),
        (VfAttributes(spoofchk=True), VfAttributes(spoofchk=False), "spoofchk off"),
        (VfAttributes(), VfAttributes(link_state="enable"), "state enable"),
    ],
)
def test_changes_of_a_vf(before, after, words):
    assert lines(before, after) == (f"link set dev ens1 vf 2 {words}\n" if words else "")


CHANGES = vf_changes(0, VfAttributes(vlan=0, qos=0, trust=False), VfAttributes(vlan=5, trust=True))


def test_all_changes_in_one_batch():
    text = "link set dev ens1 vf 0 vlan 5 qos 0\nlink set dev ens1 vf 0 trust on\n"
    run = Transcript((["ip", "-batch", "-"], text, done()))
    set_vfs(Host(run=run), "ens1", "igb", CHANGES)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Operation not supported", "the driver igb of the PF does not support it"),
        ("Invalid argument", "RTNETLINK answers: Invalid argument"),
    ],
)
def test_what_was_set_before_a_failure_is_taken_back(said, told):
    text = "link set dev ens1 vf 0 vlan 5 qos 0\nlink set dev ens1 vf 0 trust on\n"
    run = Transcript(
        (["ip", "-batch", "-"], text, Completed(1, "", f"RTNETLINK answers: {said}\nCommand failed -:2\n")),
        (["ip", "-force", "-batch", "-"], "link set dev ens1 vf 0 vlan 0 qos 0\n", done()),
    )
    with pytest.raises(FastpathError, match=f"Cannot set trust on of VF 0 through ens1: {told}.*as they were"):
        set_vfs(Host(run=run), "ens1", "igb", CHANGES)
    assert run.expected == []


def test_what_cannot_be_taken_back_is_told():
    text = "link set dev ens1 vf 0 vlan 5 qos 0\nlink set dev ens1 vf 0 trust on\n"
    run = Transcript(
        (["ip", "-batch", "-"], text, Completed(1, "", "RTNETLINK answers: Invalid argument\nCommand failed -:2\n")),
        (["ip", "-force", "-batch", "-"], "link set dev ens1 vf 0 vlan 0 qos 0\n", Completed(1, "", "No.")),
    )
    with pytest.raises(FastpathError, match="could not all be taken back"):
        set_vfs(Host(run=run), "ens1", "igb", CHANGES)
