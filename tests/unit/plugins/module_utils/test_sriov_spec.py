# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parser: what it takes, and one clear sentence for each thing that it does not."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov_fields as read
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import (
    PfSelector,
    VfAttributes,
    VfSpec,
    parse_sriov,
)
from hypothesis import given, settings
from hypothesis import strategies as st

PF = {"pf": {"netdev": "ens1"}, "num_vfs": 7}


def refused(spec: Any) -> list[str]:
    return [str(problem) for problem in parse_sriov(spec)[1]]


def pf_with(*groups: Any, **more: Any) -> list[dict[str, Any]]:
    return [{**PF, "vfs": list(groups), **more}]


def accepted(text: str) -> Any:
    pfs, problems = parse_sriov(yaml.safe_load(text))
    assert problems == []
    return pfs


def test_the_example_of_the_design():
    (pf,) = accepted("""
- pf: {vendor: 8086, device: "10c9", numa_node: 1}
  num_vfs: 7
  mtu: 9000
  vfs:
    - {indexes: 0-1, driver: vfio-pci, pool: igb_dpdk}
    - {indexes: 2-5, driver: igbvf, pool: igb_kernel, vlan: 100, trust: true}
    - {indexes: "6", driver: null, pool: null}
""")
    assert pf.selector == PfSelector(vendor="8086", device="10c9", numa_node=1)
    assert (pf.num_vfs, pf.mtu, pf.in_use_ok) == (7, 9000, False)
    vfs = pf.vfs()
    assert [vf.driver for vf in vfs] == ["vfio-pci"] * 2 + ["igbvf"] * 4 + [None]
    assert vfs[3] == VfSpec(3, "igbvf", "igb_kernel", VfAttributes(vlan=100, trust=True))


def test_vfs_in_no_group_and_groups_without_a_driver_are_the_kernels():
    (pf,) = accepted("[{pf: {netdev: e}, num_vfs: 3, vfs: [{indexes: 1, pool: p}]}]")
    assert [(vf.driver, vf.pool) for vf in pf.vfs()] == [("kernel", None), ("kernel", "p"), ("kernel", None)]


def test_each_vf_gets_its_own_address():
    (pf,) = accepted("""
- pf: {netdev: e}
  num_vfs: 3
  vfs: [{indexes: [2, 0], macs: ["02:00:00:00:00:0A", "02:00:00:00:00:0b"]}]
""")
    assert [vf.attributes.mac for vf in pf.vfs()] == ["02:00:00:00:00:0a", None, "02:00:00:00:00:0b"]


def test_nothing_is_asked_for():
    assert parse_sriov(None) == ((), [])
    assert parse_sriov([]) == ((), [])


@pytest.mark.parametrize(
    ("written", "means"),
    [
        (3, (3,)),
        ("3", (3,)),
        ("0-2", (0, 1, 2)),
        ("0,4-5", (0, 4, 5)),
        ("0, 2", (0, 2)),
        ([2, 0], (0, 2)),
        (["0-1", 5], (0, 1, 5)),
        ("7-7", (7,)),
    ],
)
def test_indexes(written, means):
    assert read.indexes(written) == means


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (True, "counted from 0"),
        (-1, "counted from 0"),
        (1.0, "counted from 0"),
        ("0o7", "counted from 0"),
        ("0x1", "counted from 0"),
        ("07", "counted from 0"),
        ("a", "counted from 0"),
        ("1-", "counted from 0"),
        ("", "counted from 0"),
        ("99999999", "counted from 0"),
        ({"from": 1}, "counted from 0"),
        ([], "names no VF"),
        ("5-2", "must ascend: 2-5"),
        ("0-99999999", "counted from 0"),
        ("0-2,1", "VF 1 more than once"),
        ([3, "3"], "VF 3 more than once"),
    ],
)
def test_wrong_indexes(written, told):
    (problem,) = [text for text in refused(pf_with({"indexes": written})) if "out of range" not in text]
    assert problem.startswith("fastpath_sriov[0].vfs[0].indexes = ") and told in problem


@given(st.sets(st.integers(0, 63), min_size=1))
def test_indexes_in_any_writing_mean_the_same(wanted):
    ordered = tuple(sorted(wanted))
    assert read.indexes(list(wanted)) == read.indexes(",".join(map(str, wanted))) == ordered


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["pf", "num_vfs", "vfs"]), inner),
    )
)
def test_nothing_that_yaml_can_hold_raises(spec):
    pfs, problems = parse_sriov(spec)
    assert pfs or problems or not spec


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0000:18:00.0", '"0000:18:00.0": YAML reads it without quotes as the number 1080.0: put quotes around it'),
        ("0000:03:00.1", '"0000:03:00.1": YAML reads it without quotes as the number 180.1: put quotes around it'),
        ("0000:59:1f.6", None),
        ("0000:81:00.0", None),
    ],
)
def test_addresses_that_yaml_reads_as_numbers(text, told):
    problems = refused(yaml.safe_load(f"[{{pf: {{address: {text}}}, num_vfs: 1}}]"))
    if told is None:
        assert problems == []
    else:
        assert told in problems[0] and problems[0].startswith("fastpath_sriov[0].pf.address = ")


def test_a_mac_that_yaml_reads_as_a_number():
    (problem,) = refused(yaml.safe_load("[{pf: {mac: 52:54:00:12:34:56}, num_vfs: 1}]"))
    assert '"52:54:00:12:34:56": YAML reads it without quotes as the number 41135085296' in problem


def test_a_time_is_no_address():
    (problem,) = refused([{"pf": {"address": datetime.time(0, 18)}, "num_vfs": 1}])
    assert "in quotes" in problem and "as the time 00:18:00" in problem


@pytest.mark.parametrize(
    ("selector", "where", "told"),
    [
        (None, "pf", "must say which PF"),
        ({}, "pf", "must say which PF"),
        ({"netdev": None}, "pf", "must say which PF"),
        ("ens1", "pf", "must say which PF"),
        ({"adress": "0000:81:00.0"}, "pf.adress", "Did you mean address?"),
        ({"address": "81:00.0"}, "pf.address", 'write "0000:81:00.0"'),
        ({"address": "0000:81:00"}, "pf.address", "full PCI address"),
        ({"address": "0000:81:20.0"}, "pf.address", "full PCI address"),
        ({"netdev": "a/b"}, "pf.netdev", "name of a network interface"),
        ({"netdev": "x" * 16}, "pf.netdev", "name of a network interface"),
        ({"netdev": 5}, "pf.netdev", "name of a network interface"),
        ({"mac": "02:00:00:00:00"}, "pf.mac", "must be a MAC address"),
        ({"mac": "03:00:00:00:00:00"}, "pf.mac", "unicast"),
        ({"mac": "00:00:00:00:00:00"}, "pf.mac", "unicast"),
        ({"vendor": "808"}, "pf.vendor", "four hex digits"),
        ({"vendor": 0x8086}, "pf.vendor", "four hex digits"),
        ({"device": True}, "pf.device", "four hex digits"),
        ({"numa_node": -1}, "pf.numa_node", "from 0"),
    ],
)
def test_wrong_selectors(selector, where, told):
    problems = refused([{"pf": selector, "num_vfs": 1}])
    assert any(problem.startswith(f"fastpath_sriov[0].{where} = ") and told in problem for problem in problems)


def test_selectors_are_brought_to_one_form():
    (pf,) = accepted('[{pf: {address: "0000:AF:1E.7", mac: "02:AB:00:00:00:01", vendor: "0x8086"}, num_vfs: 1}]')
    assert pf.selector == PfSelector("0000:af:1e.7", None, "02:ab:00:00:00:01", "8086")
    assert str(pf.selector) == "address 0000:af:1e.7, mac 02:ab:00:00:00:01, vendor 8086"


@pytest.mark.parametrize(
    ("entry", "where", "told"),
    [
        ("ens1", "", "must be a mapping"),
        ({"pf": PF["pf"]}, ".num_vfs", "is missing"),
        ({**PF, "num_vfs": -1}, ".num_vfs", "from 0 to"),
        ({**PF, "num_vfs": None}, ".num_vfs", "whole number"),
        ({**PF, "num_vfs": True}, ".num_vfs", "whole number"),
        ({**PF, "num_vfs": "many"}, ".num_vfs", "whole number"),
        ({**PF, "num_vfs": 2.0}, ".num_vfs", "whole number"),
        ({**PF, "numvfs": 7}, ".numvfs", "Did you mean num_vfs?"),
        ({**PF, "mtu": 60}, ".mtu", "from 68"),
        ({**PF, "in_use_ok": "perhaps"}, ".in_use_ok", "true or false"),
        ({**PF, "vfs": {"indexes": 1}}, ".vfs", "must be a list"),
        ({**PF, "vfs": [7]}, ".vfs[0]", "must be a mapping"),
    ],
)
def test_wrong_pfs(entry, where, told):
    (problem,) = refused([entry])
    assert problem.startswith(f"fastpath_sriov[0]{where} = ") and told in problem


@pytest.mark.parametrize(
    ("group", "key", "told"),
    [
        ({"driver": "vfio-pci"}, "indexes", "is missing"),
        ({"indexes": None}, "indexes", "is missing"),
        ({"indexes": 7}, "indexes", "VF 7 is out of range: num_vfs is 7, so the PF has VFs 0 to 6"),
        ({"indexes": 0, "driver": "vfio_pci"}, "driver", "is written vfio-pci"),
        ({"indexes": 0, "driver": "none"}, "driver", "is written null"),
        ({"indexes": 0, "driver": "../x"}, "driver", "name of a driver"),
        ({"indexes": 0, "driver": 5}, "driver", "name of a driver"),
        ({"indexes": 0, "pool": "intel.com/x"}, "pool", "without its prefix"),
        ({"indexes": 0, "pool": "a.b"}, "pool", "without its prefix"),
        ({"indexes": 0, "pool": "-x"}, "pool", "without its prefix"),
        ({"indexes": 0, "pool": "x" * 64}, "pool", "without its prefix"),
        ({"indexes": 0, "pool": 1}, "pool", "without its prefix"),
        ({"indexes": 0, "vlan": 4095}, "vlan", "from 0 to 4094"),
        ({"indexes": 0, "vlan": 5, "qos": 8}, "qos", "from 0 to 7"),
        ({"indexes": 0, "qos": 3}, "qos", "needs a vlan"),
        ({"indexes": 0, "trust": "maybe"}, "trust", "true or false"),
        ({"indexes": 0, "spoofchk": 1}, "spoofchk", "true or false"),
        ({"indexes": 0, "min_rate": 9, "max_rate": 5}, "min_rate", "above max_rate 5"),
        ({"indexes": 0, "link_state": "up"}, "link_state", "auto, enable or disable"),
        ({"indexes": 0, "drvier": "x"}, "drvier", "Did you mean driver?"),
        ({"indexes": 0, "mac": "x"}, "mac", "must be a MAC address"),
        ({"indexes": "0-1", "mac": "02:00:00:00:00:01"}, "mac", "use macs"),
        ({"indexes": 0, "macs": "02:00:00:00:00:01"}, "macs", "must be a list"),
        ({"indexes": 0, "macs": ["02:00:00:00:00:01"] * 2}, "macs", "2 addresses for 1 VFs"),
        ({"indexes": 0, "macs": [None]}, "macs[0]", "MAC address"),
        ({"indexes": 0, "mac": "02:00:00:00:00:01", "macs": ["02:00:00:00:00:02"]}, "macs", "beside mac"),
    ],
)
def test_wrong_groups(group, key, told):
    problems = refused(pf_with(group))
    assert any(text.startswith(f"fastpath_sriov[0].vfs[0].{key} = ") and told in text for text in problems), problems


def test_booleans_and_numbers_as_templates_give_them():
    (pf,) = parse_sriov(pf_with({"indexes": 0, "trust": "True", "spoofchk": "off", "vlan": "7"}, num_vfs="2"))[0]
    assert pf.num_vfs == 2
    assert pf.vfs()[0].attributes == VfAttributes(trust=True, spoofchk=False, vlan=7)


def test_overlaps_name_both_groups_also_where_a_group_has_further_problems():
    problems = refused(pf_with({"indexes": "0-3", "vlan": 9999}, {"indexes": "3,5"}, {"indexes": 5}))
    assert any("vfs[1].indexes" in text and "VF 3 is also in fastpath_sriov[0].vfs[0]" in text for text in problems)
    assert any("vfs[2].indexes" in text and "VF 5 is also in fastpath_sriov[0].vfs[1]" in text for text in problems)


def test_the_same_pf_twice():
    (problem,) = refused([PF, {**PF, "num_vfs": 2}])
    assert problem.startswith("fastpath_sriov[1].pf = ") and "same PF as in fastpath_sriov[0].pf" in problem


def test_the_same_address_for_two_vfs():
    group = {"indexes": 0, "mac": "02:00:00:00:00:01"}
    (problem,) = refused([*pf_with(group), {"pf": {"netdev": "ens2"}, "num_vfs": 1, "vfs": [group]}])
    assert "fastpath_sriov[1] VF 0 and fastpath_sriov[0] VF 0 have the same MAC address" in problem


def test_all_problems_at_once_and_no_pf_from_a_wrong_entry():
    wrong = {"pf": {"netdev": "a b"}, "num_vfs": -1, "vfs": [{"indexes": "x", "vlan": -1}], "speed": 1}
    pfs, problems = parse_sriov([wrong, {"pf": {"netdev": "ok"}, "num_vfs": 0}])
    assert [pf.selector.netdev for pf in pfs] == ["ok"]
    assert len(problems) == 5


def test_the_variable_is_named_as_the_caller_says():
    assert refused_in("sriov_spec", [1])[0].startswith("sriov_spec[0] = 1")


def refused_in(variable: str, spec: Any) -> list[str]:
    return [str(problem) for problem in parse_sriov(spec, variable)[1]]
