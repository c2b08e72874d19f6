# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The vDPA spec: what is taken, what is refused and in which words, and what it may not claim."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VHOST_VDPA, VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import parse_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import (
    VdpaAttributes,
    against_sriov,
    parse_vdpa,
    promise_problems,
)
from hypothesis import given
from hypothesis import strategies as st

PF = {"netdev": "ens2"}


def good(*spec):
    entries, problems = parse_vdpa(list(spec))
    assert problems == []
    return entries


def wrong(*spec):
    _entries, problems = parse_vdpa(list(spec))
    assert problems
    return {problem.variable: problem.message for problem in problems}


def test_the_least():
    (entry,) = good({"pf": PF, "indexes": 0})
    assert (entry.selector, entry.indexes, entry.bus) == (PfSelector(netdev="ens2"), (0,), VHOST_VDPA)
    assert entry.attributes == VdpaAttributes() and entry.attributes.given() == {}
    assert (entry.name, entry.pool, entry.mgmtdev, entry.variable) == (None, None, None, "fastpath_vdpa[0]")


def test_everything():
    (entry,) = good(
        {
            "pf": {"address": "0000:02:00.0"},
            "indexes": "0,2-3",
            "bus": "virtio_vdpa",
            "macs": ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"],
            "mtu": "9000",
            "max_vqp": 4,
            "features": ["MAC", "MTU", "MQ", "VERSION_1"],
            "pool": "vdpa_virtio",
        }
    )
    assert (entry.indexes, entry.bus, entry.pool) == ((0, 2, 3), VIRTIO_VDPA, "vdpa_virtio")
    assert entry.attributes_of(1) == VdpaAttributes("02:00:00:00:00:02", 9000, 4, 1 << 5 | 1 << 3 | 1 << 22 | 1 << 32)


def test_the_pf_itself_and_other_management_devices():
    own, software, sub_function = good(
        {"pf": PF, "name": "vdpa0", "mac": "02:00:00:00:00:01"},
        {"mgmtdev": "vduse", "name": "vduse0"},
        {"mgmtdev": "auxiliary/mlx5_core.sf.4", "name": "sf4"},
    )
    assert (own.indexes, own.name, own.attributes.mac) == (None, "vdpa0", "02:00:00:00:00:01")
    assert (software.selector, software.mgmtdev, software.name) == (None, "vduse", "vduse0")
    assert sub_function.mgmtdev == "auxiliary/mlx5_core.sf.4"


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_nothing(nothing):
    assert parse_vdpa(nothing) == ((), [])


@pytest.mark.parametrize(
    "features", [0x300000020, "0x300000020", "0X300000020", ["MAC", "VERSION_1", "ACCESS_PLATFORM"]]
)
def test_features_in_all_their_forms(features):
    assert good({"pf": PF, "features": features})[0].attributes.features == 0x300000020


@pytest.mark.parametrize(
    ("spec", "variable", "words"),
    [
        ("vdpa0", "fastpath_vdpa[0]", "mapping with the key pf"),
        ({}, "fastpath_vdpa[0].pf", "must say which PF"),
        ({"pf": {"address": 1080.0}}, "fastpath_vdpa[0].pf.address", "quotes"),
        ({"pf": {"adress": "x"}}, "fastpath_vdpa[0].pf.adress", "Did you mean address?"),
        ({"pf": PF, "index": 0}, "fastpath_vdpa[0].index", "Did you mean indexes?"),
        ({"pf": PF, "indexes": "3-1"}, "fastpath_vdpa[0].indexes", "must ascend"),
        ({"pf": PF, "bus": "vhost"}, "fastpath_vdpa[0].bus", "vhost_vdpa (a device file"),
        ({"pf": PF, "bus": True}, "fastpath_vdpa[0].bus", "virtio_vdpa"),
        ({"pf": PF, "mac": 2**40}, "fastpath_vdpa[0].mac", "quotes"),
        ({"pf": PF, "mac": "01:00:5e:00:00:01"}, "fastpath_vdpa[0].mac", "unicast"),
        ({"pf": PF, "indexes": "0-1", "mac": "02:00:00:00:00:01"}, "fastpath_vdpa[0].mac", "the same address"),
        ({"pf": PF, "indexes": "0-1", "macs": ["02:00:00:00:00:01"]}, "fastpath_vdpa[0].macs", "1 addresses for 2"),
        ({"pf": PF, "macs": ["02:00:00:00:00:01"]}, "fastpath_vdpa[0].macs", "use mac"),
        ({"pf": PF, "mtu": 67}, "fastpath_vdpa[0].mtu", "from 68"),
        ({"pf": PF, "max_vqp": 0}, "fastpath_vdpa[0].max_vqp", "from 1"),
        ({"pf": PF, "features": ["MACC"]}, "fastpath_vdpa[0].features", "Did you mean MAC?"),
        ({"pf": PF, "features": [["MAC"]]}, "fastpath_vdpa[0].features", "does not know"),
        ({"pf": PF, "features": []}, "fastpath_vdpa[0].features", "list of names"),
        ({"pf": PF, "features": "MAC"}, "fastpath_vdpa[0].features", "0x300000020"),
        ({"pf": PF, "features": 0}, "fastpath_vdpa[0].features", "list of names"),
        ({"pf": PF, "features": True}, "fastpath_vdpa[0].features", "list of names"),
        ({"pf": PF, "features": ["MAC"], "mtu": 1500}, "fastpath_vdpa[0].features", "lacks MTU"),
        (
            {"pf": PF, "indexes": 0, "features": ["MTU"], "macs": ["02:00:00:00:00:01"]},
            "fastpath_vdpa[0].features",
            "lacks MAC",
        ),
        ({"pf": PF, "name": "a b"}, "fastpath_vdpa[0].name", "letters, digits"),
        ({"pf": PF, "name": "-n"}, "fastpath_vdpa[0].name", "letters, digits"),
        ({"pf": PF, "name": "x", "indexes": "0-1"}, "fastpath_vdpa[0].name", "would give 2 devices"),
        ({"pf": PF, "pool": "a.b"}, "fastpath_vdpa[0].pool", "Kubernetes resource"),
        ({"pf": PF, "pool": "a"}, "fastpath_vdpa[0].pool", "is for devices on VFs"),
        ({"mgmtdev": "vduse", "name": "a", "pool": "a"}, "fastpath_vdpa[0].pool", "is for devices on VFs"),
        ({"mgmtdev": "vduse"}, "fastpath_vdpa[0].name", "its program makes it"),
        ({"mgmtdev": "vdpasim_net"}, "fastpath_vdpa[0].name", "is missing"),
        ({"mgmtdev": "vduse", "name": "a", "pf": PF}, "fastpath_vdpa[0].mgmtdev", "use one of them"),
        ({"mgmtdev": "vduse", "name": "a", "indexes": 0}, "fastpath_vdpa[0].indexes", "there is no pf"),
        ({"mgmtdev": "pci/0000:02:00.0", "name": "a"}, "fastpath_vdpa[0].mgmtdev", "name it with pf"),
        ({"mgmtdev": "a/b/c", "name": "a"}, "fastpath_vdpa[0].mgmtdev", "`vdpa mgmtdev show`"),
        ({"mgmtdev": 3, "name": "a"}, "fastpath_vdpa[0].mgmtdev", "`vdpa mgmtdev show`"),
    ],
)
def test_what_is_refused(spec, variable, words):
    assert words in wrong(spec)[variable]


def test_a_spec_that_is_no_list():
    _entries, (problem,) = parse_vdpa({"pf": PF})
    assert (problem.variable, problem.message[:14]) == ("fastpath_vdpa", "must be a list")


def test_all_problems_at_once():
    found = wrong({"pf": {}, "bus": "x", "mtu": 1}, {"mgmtdev": "vduse", "features": ["x"]})
    assert set(found) == {
        "fastpath_vdpa[0].pf",
        "fastpath_vdpa[0].bus",
        "fastpath_vdpa[0].mtu",
        "fastpath_vdpa[1].features",
        "fastpath_vdpa[1].name",
    }


@pytest.mark.parametrize(
    ("second", "variable", "words"),
    [
        ({"pf": PF, "indexes": "1-2"}, "fastpath_vdpa[1].indexes", "VF 1 is also in fastpath_vdpa[0]"),
        ({"pf": PF, "indexes": 3, "name": "n"}, "fastpath_vdpa[1].name", "also that of fastpath_vdpa[0]"),
        ({"pf": PF, "indexes": 3, "mac": "02:00:00:00:00:01"}, "fastpath_vdpa[1].mac", "the same address"),
    ],
)
def test_two_entries_for_one(second, variable, words):
    first = {"pf": PF, "indexes": 1, "name": "n", "mac": "02:00:00:00:00:01"}
    assert words in wrong(first, second)[variable]


def test_the_pf_itself_twice():
    assert "the PF itself is also in" in wrong({"pf": PF}, {"pf": PF, "name": "x"})["fastpath_vdpa[1].pf"]


def promises(vfs, indexes="0-3", vendor="1af4", num_vfs=4):
    (pf,), problems = parse_sriov([{"pf": PF, "num_vfs": num_vfs, "vfs": vfs}])
    assert problems == []
    (entry,) = good({"pf": PF, "indexes": indexes})
    return {problem.value: problem.message for problem in promise_problems(entry, pf, vendor)}


def test_what_sriov_must_not_say_of_claimed_vfs():
    vfs = [
        {"indexes": 0, "driver": "vfio-pci"},
        {"indexes": 1, "driver": None},
        {"indexes": 2, "driver": "vp-vdpa", "pool": "other"},
    ]
    found = promises(vfs, "0-4")
    assert "driver vfio-pci in fastpath_sriov[0]" in found[0] and "vp-vdpa" in found[0]
    assert "driver null" in found[1]
    assert "in pool other of fastpath_sriov[0] too" in found[2]
    assert "virtio-pci" in found[3] and "driver: vp-vdpa" in found[3]
    assert "out of range: fastpath_sriov[0].num_vfs is 4" in found[4]
    assert "virtio-pci" in promises([{"indexes": 0, "driver": "virtio-pci"}], 0, None)[0]


def test_what_sriov_may_say_of_claimed_vfs():
    assert promises([{"indexes": "0-3", "driver": "vp-vdpa"}]) == {}
    assert promises([], vendor="15b3") == {}
    assert promises([], vendor=None) == {}
    assert promises([{"indexes": "0-3", "driver": "mlx5_core"}], vendor="15b3") == {}


def test_the_two_variables_are_compared_where_their_words_agree():
    pfs, _problems = parse_sriov([{"pf": PF, "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "vfio-pci"}]}])
    same, other, software = good(
        {"pf": PF, "indexes": 0}, {"pf": {"netdev": "ens3"}, "indexes": 0}, {"mgmtdev": "vduse", "name": "a"}
    )
    (problem,) = against_sriov([same, other, software], pfs)
    assert problem.variable == "fastpath_vdpa[0].indexes"


def test_feature_names_and_bits():
    assert _vdpa_features.mask(["MAC", 40, "NO_SUCH"]) == 1 << 5 | 1 << 40
    assert _vdpa_features.names(1 << 5 | 1 << 40 | 1 << 33) == ["MAC", "ACCESS_PLATFORM", "bit_40"]


@given(st.integers(0, 2**64 - 1))
def test_any_mask_goes_both_ways(mask):
    names = [int(name[4:]) if name.startswith("bit_") else name for name in _vdpa_features.names(mask)]
    assert _vdpa_features.mask(names) == mask


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["pf", "mgmtdev", "indexes", "bus", "name", "pool", "mac", "macs", "mtu", "max_vqp", "features", "x"]
)


@given(st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=3))
def test_nothing_that_yaml_can_say_is_a_traceback(spec):
    entries, problems = parse_vdpa(spec)
    assert problems or len(entries) == len(spec)
    assert all(problem.variable.startswith("fastpath_vdpa") and problem.message for problem in problems)
