# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where plugins come from, and what decides whether a bundle is made anew."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import (
    BUILT,
    RELEASED,
    Sources,
    UserArchive,
    bundle_key,
    choose,
    manifest_of,
    parse_archives,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._network_definitions import cni_plugins
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import TYPE_FIELDS, Network

SUM = "a" * 64
OWN = UserArchive("/srv/own.tar.xz", SUM, frozenset({"sriov", "bridge", "mine"}))
KNOWN = artefacts()


def test_archives_come_first():
    found = choose(["sriov", "bridge", "static", "whereabouts", "mine"], [OWN])
    assert found == Sources({"bridge": 0, "mine": 0, "sriov": 0}, ("static",), ("whereabouts",))


def test_in_their_order():
    second = UserArchive("/b", SUM, frozenset({"mine"}))
    assert choose(["mine"], [second, OWN]).archived == {"mine": 0}


def test_a_plugin_that_is_nowhere():
    with pytest.raises(Refused) as refused:
        choose(["nowhere", "../sh", "bridge"], [])
    assert [problem.value for problem in refused.value.problems] == ["../sh", "nowhere"]
    assert "is in no archive of fastpath_cni_archives" in refused.value.message


def test_every_type_of_network_can_be_had():
    ipams = ({"type": "host-local"}, {"type": "static"}, {"type": "whereabouts"})
    networks = [Network("a", kind, pool="p", ipam=ipam, mtu=9000) for kind in TYPE_FIELDS for ipam in ipams]
    assert choose(cni_plugins(networks), [])
    assert not set(RELEASED) & set(BUILT)
    assert {recipe.artefact for recipe in BUILT.values()} <= set(KNOWN)


def test_ways_to_name_archives():
    found, problems = parse_archives(["/a.tgz", {"path": "/b.tgz", "sha256": SUM}])
    assert problems == []
    assert [(one.path, one.sha256) for one in found] == [("/a.tgz", ""), ("/b.tgz", SUM)]
    assert parse_archives(None) == ([], [])


@pytest.mark.parametrize("value", ["/a", [3], [{}], [{"path": "/a", "sum": SUM}], [{"path": "/a", "sha256": "x"}]])
def test_wrong_ways(value):
    found, problems = parse_archives(value)
    assert (found, len(problems)) == ([], 1)
    assert problems[0].variable.startswith("fastpath_cni_archives")


def key(names, archives=(), overrides=None):
    return bundle_key(choose(names, archives), archives, artefacts(overrides))


def test_the_key_changes_with_everything_that_decides():
    base = key(["bridge", "sriov"])
    assert base == key(["sriov", "bridge"])
    assert base != key(["bridge"])
    assert base != key(["bridge", "sriov"], [OWN])
    assert key(["mine"], [OWN]) != key(["mine"], [UserArchive("/x", "b" * 64, OWN.holds)])
    assert key(["mine"], [OWN]) == key(["mine"], [UserArchive("/elsewhere", SUM, OWN.holds)])
    assert base != key(["bridge", "sriov"], (), {"cni-plugins": {"version": "1.9.2", "sha256": SUM}})
    assert base != key(["bridge", "sriov"], (), {"sriov-cni": {"version": "2.10.1", "sha256": SUM}})


def test_a_manifest_is_the_same_whatever_the_order():
    assert manifest_of("k", {"b": "2", "a": "1"}) == manifest_of("k", {"a": "1", "b": "2"})
