# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that see a whole node: preflight, rollout, verify. Their options, and how they end."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.modules import preflight, report, rollout, verify

MODULES = {"preflight": preflight, "rollout": rollout, "verify": verify}


class Ended(Exception):
    """How a module ended: ``result`` is what it said."""

    def __init__(self, failed: bool, result: dict) -> None:
        super().__init__(result.get("msg"))
        self.failed = failed
        self.result = json.loads(json.dumps(result))


@pytest.fixture
def call(monkeypatch):
    """Runs a module's main() with parameters and returns how it ended."""
    seen: dict = {}

    def start(module, argument_spec, supports_check_mode=False, **_more):
        seen.update(argument_spec=argument_spec, supports_check_mode=supports_check_mode, warnings=[])
        defaults = {name: option.get("default") for name, option in argument_spec.items()}
        module.params = {**defaults, **seen["params"]}
        module.check_mode = seen["check_mode"]

    def end(failed):
        def finish(module, **result):
            raise Ended(failed, result)

        return finish

    monkeypatch.setattr(AnsibleModule, "__init__", start)
    monkeypatch.setattr(AnsibleModule, "exit_json", end(False))
    monkeypatch.setattr(AnsibleModule, "fail_json", end(True))
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: seen["warnings"].append(text))

    def run(module, check_mode=False, **params):
        seen.update(params=params, check_mode=check_mode)
        with pytest.raises(Ended) as ended:
            module.main()
        ended.value.seen = seen
        return ended.value

    return run


@pytest.mark.parametrize("name", MODULES)
def test_options_are_as_documented(call, monkeypatch, name):
    work = {"preflight": "preflight_node", "rollout": "decide_node", "verify": "verification"}[name]
    monkeypatch.setattr(MODULES[name], work, lambda *_arguments: {"changed": False, "decision": "none"})
    seen = call(MODULES[name]).seen
    documented = yaml.safe_load(MODULES[name].DOCUMENTATION)["options"]
    assert set(seen["argument_spec"]) == set(documented)
    for option, spec in seen["argument_spec"].items():
        assert spec["type"] == documented[option]["type"], option
        assert spec.get("default") == documented[option].get("default"), option
        assert spec.get("elements") == documented[option].get("elements"), option
    assert seen["supports_check_mode"] is True


@pytest.mark.parametrize("name", [*MODULES, "report"])
def test_documentation_is_complete(name):
    module = {**MODULES, "report": report}[name]
    documented = yaml.safe_load(module.DOCUMENTATION)
    assert documented["module"] == name
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documented["attributes"])
    assert all(option["description"] for option in documented["options"].values())
    assert yaml.safe_load(module.EXAMPLES)
    assert all("returned" in entry for entry in yaml.safe_load(module.RETURN).values())


@pytest.mark.parametrize("check_mode", [False, True])
def test_preflight_refuses_with_every_problem(call, monkeypatch, check_mode):
    problems = [Problem("fastpath_sriov[0].pf", "x", "fits no PF"), Problem("fastpath_hugepage", "set", "unknown")]

    def refuse(host, params, concerns):
        raise Refused(problems)

    monkeypatch.setattr(preflight, "preflight_node", refuse)
    ended = call(preflight, check_mode)
    assert ended.failed
    assert "nothing was changed" in ended.result["msg"]
    assert [problem["variable"] for problem in ended.result["problems"]] == [
        "fastpath_sriov[0].pf",
        "fastpath_hugepage",
    ]


def test_preflight_hands_the_specs_on_as_they_are(call, monkeypatch):
    given = {}
    monkeypatch.setattr(preflight, "preflight_node", lambda host, params, concerns: given.update(params) or {})
    call(preflight, sriov=[{"pf": {"address": 1080.0}}], hugepages=None)
    assert given["sriov"] == [{"pf": {"address": 1080.0}}]
    assert given["variables"] == []


@pytest.mark.parametrize(("decision", "warnings"), [("none", 0), ("reboot", 0), ("postponed", 1)])
def test_rollout_warns_where_consent_is_missing(call, monkeypatch, decision, warnings):
    result = {"changed": False, "decision": decision, "reboot_reason": "kernel_args: without iommu=pt"}
    monkeypatch.setattr(rollout, "decide_node", lambda host, params, dry_run: result)
    ended = call(rollout)
    assert not ended.failed
    assert ended.result["decision"] == decision
    assert len(ended.seen["warnings"]) == warnings
    assert all("without iommu=pt" in text for text in ended.seen["warnings"])


@pytest.mark.parametrize("check_mode", [False, True])
def test_rollout_knows_check_mode(call, monkeypatch, check_mode):
    monkeypatch.setattr(rollout, "decide_node", lambda host, params, dry_run: {"decision": "none", "dry_run": dry_run})
    assert call(rollout, check_mode).result["dry_run"] is check_mode


def test_rollout_stops_where_the_reboot_did_not_help(call, monkeypatch):
    def fail(host, params, dry_run):
        raise FastpathError("was rebooted, and still dark")

    monkeypatch.setattr(rollout, "decide_node", fail)
    ended = call(rollout, after_reboot=True)
    assert ended.failed
    assert "still dark" in ended.result["msg"]


def test_verify_ends_well_with_failed_checks(call, monkeypatch):
    monkeypatch.setattr(verify, "verification", lambda *_arguments: {"changed": False, "failed_checks": 3})
    ended = call(verify)
    assert not ended.failed
    assert ended.result["failed_checks"] == 3


def test_verify_fails_when_told_to_and_returns_the_checks(call, monkeypatch):
    def fail(host, params, concerns):
        raise FastpathError("1 of 2 checks failed", checks=[{"id": "a.b"}])

    monkeypatch.setattr(verify, "verification", fail)
    ended = call(verify, fail=True)
    assert ended.failed
    assert ended.result["checks"] == [{"id": "a.b"}]
