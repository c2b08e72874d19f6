# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way a concern is brought about: consent, record, perform, look again, and back."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern, Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import reasons


class Lamps(Concern[dict, dict]):
    """Switches files below /lamps: small, and with everything a real concern has."""

    name = "lamps"
    keeps = True
    reboot = ""

    def parse(self, spec: Any) -> dict[str, str]:
        wrong = [
            Problem(f"lamps.{name}", value, "on or off") for name, value in spec.items() if value not in ("on", "off")
        ]
        if wrong:
            raise Refused(wrong)
        return spec

    def discover(self) -> dict[str, str]:
        return {name: self.host.read_value(f"/lamps/{name}") or "off" for name in self.host.listdir("/lamps")}

    def plan(self, current, desired):
        steps = tuple(
            Operation("switch", name, current.get(name), value, disruptive=value == "off", reason="someone reads here")
            for name, value in desired.items()
            if current.get(name) != value
        )
        return Plan(steps, current, {**current, **desired}, self.reboot)

    def plan_teardown(self, current):
        return self.plan(current, self.store.record().get("former", {}))

    def record(self, current, plan):
        former = self.store.record().get("former", {})
        touched = {step.target: step.before for step in plan.operations if step.action == "switch"}
        return {"former": {**touched, **former}}

    def perform(self, operation):
        if operation.target == "broken":
            raise FastpathError("The lamp is broken.")
        if self.keeps:
            self.host.write_file(f"/lamps/{operation.target}", operation.after)

    def check(self, current, desired):
        return [Check("lamps.state", "lamps", name, value, current.get(name)) for name, value in desired.items()]


@pytest.fixture
def lamps(tmp_path):
    for name in ("hall", "cellar", "broken"):
        path = tmp_path / "lamps" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("off")
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("one")
    return Lamps(Host(str(tmp_path)))


def tree(lamps):
    paths = [path for path in Path(lamps.host.root).rglob("*") if path.is_file()]
    return {str(path): path.read_text() for path in paths if path.name != "fastpath.lock"}


def steps(plan):
    return [(step.action, step.target) for step in plan.operations]


def test_dry_run_and_real_run_plan_the_same_and_only_one_changes(lamps):
    before = tree(lamps)
    dry = converge(lamps, Request({"hall": "on"}, dry_run=True))
    assert tree(lamps) == before
    assert converge(lamps, Request({"hall": "on"})) == dry
    assert lamps.discover()["hall"] == "on"


def test_second_run_changes_and_writes_nothing(lamps):
    converge(lamps, Request({"hall": "on"}))
    before = tree(lamps)
    assert not converge(lamps, Request({"hall": "on"})).changed
    assert tree(lamps) == before


def test_a_new_spec_is_a_change_even_where_the_node_is_right_already(lamps):
    assert steps(converge(lamps, Request({"hall": "off"}))) == [("save_desired", "/etc/fastpath/lamps.json")]


def test_the_boot_engine_does_not_write_the_spec(lamps):
    converge(lamps, Request({"hall": "on"}, persist=False))
    assert lamps.store.desired() is None


def test_teardown_returns_to_the_start(lamps):
    before = tree(lamps)
    converge(lamps, Request({"hall": "on"}))
    converge(lamps, Request({"hall": "on", "cellar": "on"}))
    plan = converge(lamps, Request(present=False, disruption_ok=True))
    assert set(steps(plan)) == {("switch", "cellar"), ("switch", "hall"), ("forget", "lamps")}
    assert tree(lamps) == before
    assert not converge(lamps, Request(present=False)).changed


def test_disruption_needs_consent_and_is_refused_alike_in_check_mode(lamps):
    converge(lamps, Request({"hall": "on"}))
    before = tree(lamps)
    for dry in (True, False):
        with pytest.raises(FastpathError, match="nothing was changed.*switch hall: someone reads here"):
            converge(lamps, Request({"hall": "off"}, dry_run=dry))
    assert tree(lamps) == before
    assert converge(lamps, Request({"hall": "off"}, disruption_ok=True)).changed


def test_bad_specs_are_refused_whole(lamps):
    before = tree(lamps)
    with pytest.raises(Refused) as refused:
        converge(lamps, Request({"hall": "dim", "cellar": 3}))
    assert [problem.variable for problem in refused.value.problems] == ["lamps.hall", "lamps.cellar"]
    assert "lamps.hall = 'dim': on or off" in str(refused.value)
    assert tree(lamps) == before


def test_a_failure_in_the_middle_keeps_the_record_and_the_next_run_goes_on(lamps):
    with pytest.raises(FastpathError, match="broken"):
        converge(lamps, Request({"hall": "on", "broken": "on", "cellar": "on"}))
    assert lamps.store.record()["former"] == {"hall": "off", "broken": "off", "cellar": "off"}
    converge(lamps, Request({"hall": "on", "cellar": "on"}))
    converge(lamps, Request(present=False, disruption_ok=True))
    assert set(lamps.discover().values()) == {"off"}


def test_a_node_that_does_not_keep_a_change_is_an_error(lamps):
    lamps.keeps = False
    with pytest.raises(FastpathError, match="applied, but the node did not keep it: switch hall: 'off' -> 'on'"):
        converge(lamps, Request({"hall": "on"}))


def test_reasons_for_a_reboot_are_written_down_and_dropped(lamps):
    lamps.reboot = "the fuse"
    converge(lamps, Request({"hall": "on"}, dry_run=True))
    assert reasons(lamps.host) == {}
    converge(lamps, Request({"hall": "on"}))
    assert reasons(lamps.host) == {"lamps": "the fuse"}
    lamps.reboot = ""
    converge(lamps, Request({"hall": "on"}))
    assert reasons(lamps.host) == {}


def test_two_runs_do_not_meet(lamps, monkeypatch):
    monkeypatch.setattr("ansible_collections.nfv.fastpath.plugins.module_utils._concern.LOCK_SECONDS", 0.2)
    path = lamps.host.path("/run/fastpath.lock")
    os.makedirs(lamps.host.path("/run"))
    with open(path, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FastpathError, match="Another run has held"):
            converge(lamps, Request({"hall": "on"}))
    assert converge(lamps, Request({"hall": "on"})).changed


def test_verification_compares_the_node_with_the_spec(lamps):
    assert [check.ok for check in verify(lamps, {"hall": "off", "cellar": "on"})] == [True, False]


def test_results_always_have_the_same_keys(lamps):
    keys = {"changed", "diff", "operations", "reboot_required", "reboot_reason", "disruptive"}
    assert set(Plan().result()) == keys
    assert set(converge(lamps, Request({"hall": "on"})).result()) == keys


def test_a_reason_to_reboot_that_shows_while_applying_is_returned(lamps, monkeypatch):
    perform = lamps.perform

    def finds_out(operation):
        perform(operation)
        lamps.reboot = "the fuse"

    monkeypatch.setattr(lamps, "perform", finds_out)
    assert converge(lamps, Request(spec={"hall": "on"})).reboot_reason == "the fuse"
    assert reasons(lamps.host) == {"lamps": "the fuse"}
