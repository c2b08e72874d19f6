# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module hugepages as Ansible calls it."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.modules import hugepages
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import HugepagesNode
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run

POOLS = [{"size": "2M", "count": 64, "numa_node": 0, "mount": "/mnt/x"}, {"size": "1G", "count": 1, "numa_node": 1}]


@pytest.fixture
def node(tmp_path, monkeypatch):
    found = HugepagesNode(tmp_path)
    monkeypatch.setattr(hugepages, "Host", lambda: found)
    return found


def test_check_mode_says_what_the_run_does_and_the_second_run_nothing(node):
    foretold = run(hugepages, check=True, pools=POOLS)
    assert set(foretold) >= KEYS and foretold["changed"] and node.pages(2048)[0] == 0
    done = run(hugepages, pools=POOLS)
    assert {key: done[key] for key in KEYS} == {key: foretold[key] for key in KEYS}
    assert node.pages(2048)[0] == 64 and done["reboot_required"]
    again = run(hugepages, pools=POOLS)
    assert (again["changed"], again["operations"], again["reboot_required"]) == (False, [], True)


def test_teardown(node):
    before = node.snapshot()
    run(hugepages, pools=POOLS)
    assert run(hugepages, state="absent")["changed"]
    assert node.snapshot() == before
    assert not run(hugepages, state="absent")["changed"]


def test_no_pools_is_a_state_too(node):
    run(hugepages, pools=POOLS)
    run(hugepages, pools=[])
    assert node.pages(2048)[0] == 0


def test_a_refusal_names_every_problem(node):
    refused = run(hugepages, pools=[{"size": 2, "count": 1}, {"size": "2M", "count": "x"}])
    assert refused["failed"] and "nothing was changed" in refused["msg"]
    assert [problem["variable"] for problem in refused["problems"]] == [
        "fastpath_hugepages[0].size",
        "fastpath_hugepages[1].count",
    ]


def test_a_shortfall_is_data_too(node):
    node.limits[(2048, 0)] = 10
    short = run(hugepages, pools=POOLS)
    assert short["failed"] and short["shortfall"][0]["got"] == 10


def test_consent(node):
    run(hugepages, pools=POOLS)
    node.have(2048, 0, 64, used=5)
    fewer = [{**POOLS[0], "count": 1}]
    refused = run(hugepages, pools=fewer)
    assert refused["failed"] and refused["disruptive"] and "5 of 64 pages" in refused["msg"]
    assert run(hugepages, pools=fewer, disruption_ok=True)["disruptive"]


def test_promotion_is_a_warning(node, warned):
    node.limits[(1048576, 1)] = 0
    done = run(hugepages, pools=[{**POOLS[1], "at": "runtime"}])
    assert done["reboot_required"] and "wanted 1, got 0" in str(warned)
