# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action that writes reports and records on the controller."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.plugins.action.report import ActionModule
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.modules import report as docs

CHECK = {"id": "a.b", "layer": "a", "target": "x", "expected": 1, "seen": 1, "ok": True, "remedy": ""}
PAGES = Plan(operations=(Operation("set_pages", "2M", 0, 256),)).result()


@pytest.fixture
def run(tmp_path):
    def call(hostvars, **arguments):
        task = SimpleNamespace(
            args={"folder": str(tmp_path / "deep" / "report"), **arguments},
            async_val=0,
            check_mode=True,
            diff=False,
            delegate_to=None,
            action="nfv.fastpath.report",
            collections=[],
        )
        action = ActionModule(
            task, SimpleNamespace(_shell=SimpleNamespace(tmpdir="/")), SimpleNamespace(), None, None, None
        )
        return action.run(task_vars={"hostvars": hostvars}), tmp_path / "deep" / "report"

    return call


def test_a_verification_in_check_mode_too(run):
    hostvars = {"node1": {"__verify_result": {"checks": [CHECK]}}, "other": {}}
    result, folder = run(hostvars, kind="verify", nodes=["node1", "node2"])
    report = json.loads((folder / "report.json").read_text())
    assert [check["ok"] for check in report["checks"]] == [True, False]
    assert (folder / "index.html").read_text().startswith("<!DOCTYPE html>")
    assert result["changed"] is False
    assert result["files"] == [str(folder / "report.json"), str(folder / "index.html")]
    assert "node2" in result["msg"]
    assert result["msg"].endswith("index.html")
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json"]


@pytest.mark.parametrize(
    ("kind", "name"), [("plan", "plan.json"), ("apply", "run.json"), ("teardown", "teardown.json")]
)
def test_records(run, kind, name):
    hostvars = {"a": {"__hugepages_result": PAGES}, "b": {"__hugepages_result": Plan().result()}, "localhost": {}}
    result, folder = run(hostvars, kind=kind, nodes=["b"])
    record = json.loads((folder / name).read_text())
    assert set(record["nodes"]) == {"a", "b"}
    assert record["nodes"]["a"]["changed"] == ["hugepages"]
    assert result["msg"].splitlines()[0].startswith("b: nothing")


def test_what_was_looked_at_in_the_cluster_is_a_part_of_its_own(run):
    seen = {"checks": [{**CHECK, "layer": "cluster", "id": "cluster.node"}], "report_as": "cluster", "node_facts": {}}
    one = {"__verify_result": {"checks": [CHECK]}, "__verify_cluster_result": seen}
    skipped = {"__verify_result": {"checks": [CHECK]}, "__verify_cluster_result": {"skipped": True}}
    _result, folder = run({"node0": skipped, "node1": one, "node2": one}, kind="verify")
    report = json.loads((folder / "report.json").read_text())
    assert [node["node"] for node in report["nodes"]] == ["node0", "node1", "node2", "cluster"]
    assert report["summary"]["checks"] == 4


def test_what_was_done_to_the_cluster_is_recorded_once(run):
    networks = {**Plan(operations=(Operation("apply_object", "NAD a/b"),)).result(), "scope": "cluster"}
    later = {**Plan().result(), "scope": "cluster"}
    hostvars = {
        "node1": {"__hugepages_result": PAGES, "__networks_result": networks},
        "node2": {"__networks_result": later},
    }
    result, folder = run(hostvars, kind="apply", nodes=["node1", "node2"])
    record = json.loads((folder / "run.json").read_text())
    assert record["nodes"]["cluster"]["changed"] == ["networks"]
    assert set(record["nodes"]["node1"]["concerns"]) == {"hugepages"}
    assert "cluster: changed networks" in result["msg"]


def test_a_second_report_replaces_the_first(run):
    run({"a": {"__verify_result": {"checks": [CHECK, CHECK]}}}, kind="verify")
    _result, folder = run({"a": {"__verify_result": {"checks": [CHECK]}}}, kind="verify")
    assert len(json.loads((folder / "report.json").read_text())["checks"]) == 1


def test_the_module_beside_it_is_documentation():
    assert "action plugin" in docs.DOCUMENTATION
