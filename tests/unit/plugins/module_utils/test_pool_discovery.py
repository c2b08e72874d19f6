# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools that meet a node before its VFs exist."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._pool_discovery import vdpa_problems
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode
from ansible_collections.nfv.fastpath.tests.unit.sriov_words import PF, SECOND

SRIOV = [{"pf": {"netdev": "ens1"}, "num_vfs": 4, "vfs": [{"indexes": "0-1", "pool": "nic"}]}]


def vdpa(indexes: str, **pf: Any) -> list[dict[str, Any]]:
    return [{"pf": pf, "indexes": indexes, "pool": "vdpa"}]


@pytest.fixture
def node(tmp_path):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1)
    node.add_pf(SECOND, "ens2", numa_node=0)
    return node


def test_one_vf_in_two_pools_by_different_words(node):
    (problem,) = vdpa_problems(node, SRIOV, vdpa("1-2", address=PF))
    shape = f"claims VF 1 of {PF}, which fastpath_sriov[0].vfs[0] has already: a VF belongs to one pool"
    assert problem == Problem("fastpath_vdpa[0].pool", "vdpa", shape)


def test_a_pf_that_is_not_there(node):
    (problem,) = vdpa_problems(node, SRIOV, vdpa("0", address="0000:ff:00.0"))
    assert problem.variable == "fastpath_vdpa[0].pf" and "fits no PF" in problem.message


@pytest.mark.parametrize("indexes_and_pf", [("2-3", {"address": PF}), ("0-1", {"address": SECOND})])
def test_pools_apart(node, indexes_and_pf):
    indexes, pf = indexes_and_pf
    assert vdpa_problems(node, SRIOV, vdpa(indexes, **pf)) == []


@pytest.mark.parametrize("sriov", [[{"pf": {"netdev": "no"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "a"}]}], 3])
def test_what_others_say_already_is_not_said_twice(node, sriov):
    assert vdpa_problems(node, sriov, vdpa("0", address=PF)) == []
    assert vdpa_problems(node, SRIOV, vdpa("0", netdev="ens1")) == []


@pytest.mark.parametrize("nothing", [None, []])
def test_without_vdpa_the_node_is_not_looked_at(nothing):
    assert vdpa_problems(None, SRIOV, nothing) == []


def test_a_node_that_cannot_be_looked_at(node, monkeypatch):
    monkeypatch.setattr(node, "must_run", _broken)
    (problem,) = vdpa_problems(node, SRIOV, vdpa("2", address=PF))
    assert problem == Problem("fastpath_vdpa", "as given", "ip is broken")


def _broken(*_words: Any, **_options: Any) -> Any:
    raise FastpathError("ip is broken")
