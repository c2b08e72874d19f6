# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that see a whole node: preflight, rollout, verify. What they hand on, and how they end."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.modules import preflight, rollout, verify
from ansible_collections.nfv.fastpath.tests.unit.module_run import run


@pytest.mark.parametrize("check_mode", [False, True])
def test_preflight_refuses_with_every_problem(monkeypatch, check_mode):
    problems = [Problem("fastpath_sriov[0].pf", "x", "fits no PF"), Problem("fastpath_hugepage", "set", "unknown")]

    def refuse(host, params, concerns):
        raise Refused(problems)

    monkeypatch.setattr(preflight, "preflight_node", refuse)
    ended = run(preflight, check_mode)
    assert ended["failed"]
    assert "nothing was changed" in ended["msg"]
    assert [problem["variable"] for problem in ended["problems"]] == [
        "fastpath_sriov[0].pf",
        "fastpath_hugepage",
    ]


def test_preflight_hands_the_specs_on_as_they_are(monkeypatch):
    given = {}
    monkeypatch.setattr(preflight, "preflight_node", lambda host, params, concerns: given.update(params) or {})
    run(preflight, sriov=[{"pf": {"address": 1080.0}}], hugepages=None)
    assert given["sriov"] == [{"pf": {"address": 1080.0}}]
    assert given["variables"] == []


@pytest.mark.parametrize(("decision", "count"), [("none", 0), ("reboot", 0), ("postponed", 1)])
def test_rollout_warns_where_consent_is_missing(monkeypatch, warned, decision, count):
    result = {"changed": False, "decision": decision, "reboot_reason": "kernel_args: without iommu=pt"}
    monkeypatch.setattr(rollout, "decide_node", lambda host, params, dry_run: result)
    ended = run(rollout)
    assert "failed" not in ended
    assert ended["decision"] == decision
    assert len(warned) == count
    assert all("without iommu=pt" in text for text in warned)


@pytest.mark.parametrize("check_mode", [False, True])
def test_rollout_knows_check_mode(monkeypatch, check_mode):
    monkeypatch.setattr(rollout, "decide_node", lambda host, params, dry_run: {"decision": "none", "dry_run": dry_run})
    assert run(rollout, check_mode)["dry_run"] is check_mode


def test_rollout_stops_where_the_reboot_did_not_help(monkeypatch):
    def fail(host, params, dry_run):
        raise FastpathError("was rebooted, and still dark")

    monkeypatch.setattr(rollout, "decide_node", fail)
    ended = run(rollout, after_reboot=True)
    assert ended["failed"]
    assert "still dark" in ended["msg"]


def test_verify_ends_well_with_failed_checks(monkeypatch):
    monkeypatch.setattr(verify, "verification", lambda *_arguments: {"changed": False, "failed_checks": 3})
    ended = run(verify)
    assert "failed" not in ended
    assert ended["failed_checks"] == 3


def test_verify_fails_when_told_to_and_returns_the_checks(monkeypatch):
    def fail(host, params, concerns):
        raise FastpathError("1 of 2 checks failed", checks=[{"id": "a.b"}])

    monkeypatch.setattr(verify, "verification", fail)
    ended = run(verify, fail=True)
    assert ended["failed"]
    assert ended["checks"] == [{"id": "a.b"}]
