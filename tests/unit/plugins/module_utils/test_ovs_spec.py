# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parser of fastpath_ovs: every key, and one clear message for everything that is wrong."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_keys import AT_START, KEYS, LIVE, WITH_DPDK, effect_of
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec, parse_ovs

DPDK = {"name": "dpdk0", "type": "dpdk", "pci": "0000:81:10.0"}
VALUES = {
    "dpdk-init": [(True, "true"), (False, "false"), ("try", "try"), ("yes", "true")],
    "pmd-cpu-mask": [("1-3", "0xe"), ([1, "2-3"], "0xe")],
    "dpdk-lcore-mask": [("0", "0x1")],
    "dpdk-socket-mem": [({0: 1024, 1: 0}, "1024,0"), ({"1": 512}, "0,512"), ([1024, 2], "1024,2"), ("1,2", "1,2")],
    "dpdk-socket-limit": [(1024, "1024")],
    "dpdk-extra": [("--no-pci --log-level=8", "--no-pci --log-level=8")],
    "dpdk-hugepage-dir": [("/dev/hugepages", "/dev/hugepages")],
    "vhost-sock-dir": [("vhost/a", "vhost/a")],
    "max-idle": [(30000, "30000"), ("30000", "30000")],
    "pmd-rxq-assign": [("group", "group")],
    "userspace-tso-enable": [(False, "false")],
    "pmd-sleep-max": [("50,2:0", "50,2:0"), (100, "100")],
}


def messages(spec):
    return {problem.variable: problem.message for problem in parse_ovs(spec)[1]}


def bridge(*ports, **more):
    return {"bridges": [{"name": "br0", "ports": list(ports), **more}]}


def ports(*given):
    spec, problems = parse_ovs(bridge(*given))
    assert problems == []
    return spec.bridges[0].ports


@pytest.mark.parametrize(
    ("key", "value", "text"), [(key, value, text) for key, pairs in VALUES.items() for value, text in pairs]
)
def test_values_of_keys(key, value, text):
    assert parse_ovs({"other_config": {key: value}}) == (OvsSpec({key: text}), [])


@pytest.mark.parametrize("empty", [None, "", [], {}])
@pytest.mark.parametrize("key", sorted(KEYS))
def test_an_emptied_key_goes(key, empty):
    assert parse_ovs({"other_config": {key: empty}}) == (OvsSpec({key: None}), [])


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_key_refuses_what_it_cannot_be(key):
    assert f"fastpath_ovs.other_config.{key}" in messages({"other_config": {key: {"a": object()}}})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("pmd-cpu-mask", "0x6", 'is a mask, but must be a list of CPUs, such as "2-5,8" or [2, 3]: 0x6 is "1-2"'),
        ("pmd-cpu-mask", 6, "a mask is not taken"),
        ("dpdk-socket-mem", "lots", "must be MiB by NUMA node"),
        ("dpdk-socket-mem", {0: -1}, "must be MiB by NUMA node"),
        ("dpdk-init", "maybe", "must be true, false or try"),
        ("max-idle", 1, "must be from 500"),
        ("vhost-sock-dir", "/run/vhost", "without a slash in front"),
        ("vhost-sock-dir", "../etc", "must be a directory below"),
        ("dpdk-hugepage-dir", "huge", "must be an absolute path"),
        ("pmd-rxq-assign", "best", "must be one of cycles, roundrobin, group"),
        ("dpdk-extra", "a\nb", "must be a text"),
        ("pmd_cpu_mask", "1", "is no known key. Did you mean pmd-cpu-mask?"),
        ("n-dpdk-rxqs", 2, "raw_other_config"),
    ],
)
def test_wrong_values_of_keys(key, value, said):
    assert said in messages({"other_config": {key: value}})[f"fastpath_ovs.other_config.{key}"]


def test_raw_keys_are_for_what_is_not_known():
    spec, problems = parse_ovs({"raw_other_config": {"new-key": True, "other": None}})
    assert (spec.other_config, problems) == ({"new-key": "true", "other": None}, [])
    assert "is known" in messages({"raw_other_config": {"max-idle": 1}})["fastpath_ovs.raw_other_config.max-idle"]


def test_effects():
    assert effect_of("pmd-cpu-mask") == LIVE
    assert effect_of("dpdk-extra") == WITH_DPDK
    assert effect_of("hw-offload") == AT_START
    assert effect_of("some-new-key") == LIVE


def test_a_bridge():
    given = {
        "name": "br0",
        "fail_mode": "secure",
        "protocols": ["1.3", "OpenFlow14"],
        "controllers": "tcp:192.0.2.1:6653",
        "mac": "02:00:00:00:00:01",
        "mtu": 9000,
        "flows": "# a comment\npriority=1,actions=drop\n\n",
        "other_config": {"mac-table-size": 4096},
        "external_ids": {"a": "b"},
    }
    spec, problems = parse_ovs({"bridges": [given]})
    found = spec.bridges[0]
    assert problems == []
    assert found.columns == {
        "datapath_type": "netdev",
        "fail_mode": "secure",
        "protocols": ("OpenFlow13", "OpenFlow14"),
        "controller": ("tcp:192.0.2.1:6653",),
        "other_config": {"mac-table-size": "4096", "hwaddr": "02:00:00:00:00:01"},
        "external_ids": {"a": "b"},
    }
    assert (found.local, found.flows) == ({"mtu_request": 9000}, ("priority=1,actions=drop",))


def test_a_dpdk_port():
    (port,) = ports({**DPDK, "n_rxq": 2, "pmd_rxq_affinity": {0: 3, 1: 7}, "mtu_request": 9000, "tag": 5})
    (interface,) = port.interfaces
    assert port.columns == {"tag": 5}
    assert interface.columns == {
        "type": "dpdk",
        "mtu_request": 9000,
        "options": {"n_rxq": "2", "dpdk-devargs": "0000:81:10.0"},
        "other_config": {"pmd-rxq-affinity": "0:3,1:7"},
    }
    assert (interface.queues, interface.affinity, interface.needs_dpdk) == (2, {0: 3, 1: 7}, True)


def test_further_kinds_of_ports():
    found = ports(
        {"name": "v0", "type": "dpdkvhostuserclient", "socket": "/run/vhost/v0.sock"},
        {"name": "p0", "type": "patch", "peer": "p1"},
        {"name": "i0", "type": "internal", "trunks": "10-12,20", "vlan_mode": "trunk"},
        {"name": "eth1"},
        {"name": "x0", "type": "vxlan", "options": {"remote_ip": "192.0.2.1", "key": 7}},
        {"name": "d0", "type": "dpdk", "vf": {"pf": {"netdev": "ens1"}, "index": 3}},
    )
    assert [port.interfaces[0].type for port in found] == [
        "dpdkvhostuserclient",
        "patch",
        "internal",
        "system",
        "vxlan",
        "dpdk",
    ]
    assert found[0].interfaces[0].columns["options"] == {"vhost-server-path": "/run/vhost/v0.sock"}
    assert found[2].columns["trunks"] == (10, 11, 12, 20)
    assert found[4].interfaces[0].columns["options"] == {"remote_ip": "192.0.2.1", "key": "7"}
    assert str(found[5].interfaces[0].device) == "VF 3 of the PF with netdev ens1"


def test_a_bond():
    members = [{**DPDK, "name": "m0"}, {**DPDK, "name": "m1", "pci": "0000:81:10.2"}]
    bond = {"name": "bond0", "type": "bond", "bond_mode": "balance-tcp", "lacp": "active", "members": members}
    (port,) = ports({**bond, "port_other_config": {"lacp-time": "fast"}})
    assert port.columns == {"bond_mode": "balance-tcp", "lacp": "active", "other_config": {"lacp-time": "fast"}}
    assert [member.name for member in port.interfaces] == ["m0", "m1"]


def test_yaml_reads_off_as_false():
    members = [{**DPDK, "name": "m0"}, {**DPDK, "name": "m1", "pci": "0000:81:10.2"}]
    (port,) = ports({"name": "bond0", "type": "bond", "lacp": False, "members": members})
    assert port.columns["lacp"] == "off"


@pytest.mark.parametrize(
    ("given", "variable", "said"),
    [
        ({"name": "d0", "type": "dpdk"}, "", "lacks its device"),
        ({**DPDK, "pci": 1080.0}, ".pci", "in quotes"),
        ({**DPDK, "pci": "81:10.0"}, ".pci", "lacks the domain"),
        ({**DPDK, "vf": {"pf": {"netdev": "a"}, "index": 0}}, ".vf", "stands beside pci"),
        ({"name": "d0", "type": "dpdk", "vf": {"pf": {}, "index": 0}}, ".vf", "must say which VF"),
        ({"name": "d0", "type": "dpdk", "vf": {"pf": {"nic": "a"}, "index": 0}}, ".vf", "a PF is chosen by"),
        ({**DPDK, "options": {"n_rxq": 1}, "n_rxq": 2}, ".options.n_rxq", "stands beside n_rxq"),
        ({**DPDK, "pmd_rxq_affinity": {1: 3}}, ".pmd_rxq_affinity", "names queue 1, and with n_rxq 1"),
        ({**DPDK, "pmd_rxq_affinity": 3}, ".pmd_rxq_affinity", "must be a CPU for each receive queue"),
        ({**DPDK, "n_rxq": 0}, ".n_rxq", "must be from 1"),
        ({**DPDK, "socket": "/run/a"}, ".socket", "is for dpdkvhostuserclient ports only"),
        ({**DPDK, "external_ids": {"fastpath": "x"}}, ".external_ids", "knows its own rows"),
        ({**DPDK, "name": "a/b"}, ".name", "must be a name"),
        ({**DPDK, "typ": "x"}, ".typ", "Did you mean type?"),
        ({**DPDK, "type": "dpdkr"}, ".type", "must be one of"),
        ({**DPDK, "tag": 5000}, ".tag", "must be from 0 to 4095"),
        ({"name": "v0", "type": "dpdkvhostuserclient"}, ".socket", "is missing"),
        ({"name": "v0", "type": "dpdkvhostuserclient", "socket": "run/v0"}, ".socket", "absolute path"),
        ({"name": "v0", "type": "dpdkvhostuserclient", "socket": "/" + "a" * 107}, ".socket", "107 bytes"),
        ({"name": "p0", "type": "patch"}, ".peer", "is missing"),
        ({"name": "b0", "type": "bond", "members": [DPDK]}, ".members", "has 1 of the at least 2 members"),
        ({"name": "b0", "type": "bond"}, ".members", "has 0 of the at least 2 members"),
        ({"name": "b0", "type": "bond", "members": [DPDK, 3]}, ".members[1]", "must be a mapping"),
        ("dpdk0", "", "must be a mapping"),
    ],
)
def test_wrong_ports(given, variable, said):
    assert said in messages(bridge(given))[f"fastpath_ovs.bridges[0].ports[0]{variable}"]


@pytest.mark.parametrize(
    ("given", "variable", "said"),
    [
        ([], "", "must be a mapping"),
        ({"bridge": []}, ".bridge", "Did you mean bridges?"),
        ({"bridges": {}}, ".bridges", "must be a list"),
        ({"bridges": ["br0"]}, ".bridges[0]", "must be a mapping"),
        ({"bridges": [{"name": "br0", "protocols": ["OpenFlow17"]}]}, ".bridges[0].protocols", "OpenFlow versions"),
        ({"bridges": [{"name": "br0", "controllers": ["192.0.2.1"]}]}, ".bridges[0].controllers", "targets"),
        ({"bridges": [{"name": "br0", "mac": "01:00:00:00:00:00"}]}, ".bridges[0].mac", "unicast"),
        ({"bridges": [{"name": "br0", "mac": 120}]}, ".bridges[0].mac", "in quotes"),
        ({"bridges": [{"name": "br0", "flows": ["drop all"]}]}, ".bridges[0].flows", "is no flow"),
        ({"bridges": [{}]}, ".bridges[0].name", "must be a name"),
        ({"other_config": []}, ".other_config", "must be a mapping"),
    ],
)
def test_wrong_shapes(given, variable, said):
    assert said in messages(given)[f"fastpath_ovs{variable}"]


def test_nothing_may_stand_twice():
    spec = {"bridges": [{"name": "a", "ports": [DPDK]}, {"name": "b", "ports": [{**DPDK, "name": "a"}]}]}
    found = messages(spec)
    assert "stands also in fastpath_ovs.bridges[0].name" in found["fastpath_ovs.bridges[1].ports[0].name"]
    assert "a device can be used once" in found["fastpath_ovs.bridges[1].ports[0]"]


def test_dpdk_ports_need_the_userspace_datapath():
    found = messages(bridge(DPDK, datapath_type="system"))
    assert "needs datapath_type: netdev" in found["fastpath_ovs.bridges[0].ports[0].type"]


def test_all_problems_at_once():
    spec = {
        "other_config": {"pmd-cpu-mask": "0x2", "nonsense": 1},
        "bridges": [{"name": "br0", "ports": [{"name": "x y"}]}],
    }
    assert len(parse_ovs(spec)[1]) == 3


def test_nothing_asked_for():
    assert parse_ovs(None) == (OvsSpec(), [])
