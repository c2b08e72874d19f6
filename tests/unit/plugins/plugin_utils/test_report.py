# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as data: its schema is the one in docs/report.md, and no node is ever missing in silence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from ansible_collections.nfv.fastpath.plugins.plugin_utils._report import (
    build_report,
    describe_check,
    short_value,
    summarize_report,
)
from hypothesis import given, settings
from hypothesis import strategies as some

DOCS = Path(__file__).resolve().parents[4] / "docs/report.md"
SCHEMA = json.loads(re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)[0])
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
CHECKS = some.builds(
    lambda layer, name, expected, seen: check(f"{layer}.{name}", expected, seen),
    some.sampled_from(["hugepages", "sriov", "later"]),
    some.sampled_from(["pages", "numvfs"]),
    VALUES,
    VALUES,
)


def check(name="hugepages.pages", expected=1, seen=1, target="2M"):
    layer = name.split(".")[0]
    return {
        "id": name,
        "layer": layer,
        "target": target,
        "expected": expected,
        "seen": seen,
        "ok": expected == seen,
        "remedy": "mend it",
    }


def result(*checks):
    return {"checks": list(checks), "node_facts": {"kernel": "6.12"}, "changed": False}


def report(results, nodes=()):
    return build_report(results, nodes, "2026-11-21T08:33:36Z", "0.1.0")


@settings(max_examples=40, deadline=None)
@given(
    some.dictionaries(some.sampled_from("abc"), some.lists(CHECKS, max_size=4)), some.lists(some.sampled_from("abcd"))
)
def test_every_report_is_as_the_docs_say(by_node, nodes):
    results = {node: result(*checks) for node, checks in by_node.items()}
    made = report(results, nodes)
    VALIDATOR.validate(made)
    assert json.loads(json.dumps(made)) == made
    assert {node["node"] for node in made["nodes"]} == {*by_node, *nodes}
    assert made["summary"]["checks"] == len(made["checks"])
    assert made["ok"] == (bool(made["checks"]) and all(item["ok"] for item in made["checks"]))
    total = sum(count["checks"] for node in made["nodes"] for count in node["layers"].values())
    assert total == len(made["checks"])


def test_all_is_well():
    made = report({"node1": result(check(), check("sriov.numvfs", 7, 7))}, ["node1"])
    assert made["ok"]
    assert made["nodes"][0]["layers"] == {
        "hugepages": {"checks": 1, "failed": 0},
        "sriov": {"checks": 1, "failed": 0},
    }
    assert made["nodes"][0]["facts"] == {"kernel": "6.12"}
    assert list(made["checks"][0]) == ["id", "layer", "node", "target", "expected", "seen", "ok", "remedy"]


def test_layers_stand_in_the_order_in_which_they_are_built():
    made = report({"n": result(check("sriov.x"), check("later.x"), check("kernel_args.x"), check("boot_engine.x"))})
    assert list(made["nodes"][0]["layers"]) == ["boot_engine", "kernel_args", "sriov", "later"]


@pytest.mark.parametrize(
    ("given_result", "seen"),
    [
        (None, "none"),
        ({"unreachable": True, "msg": "Failed to connect"}, "Failed to connect"),
        ({"failed": True, "checks": "broken"}, "none"),
    ],
)
def test_a_node_without_a_result_is_a_failed_check(given_result, seen):
    results = {"node1": result(check())}
    if given_result is not None:
        results["node2"] = given_result
    made = report(results, ["node1", "node2"])
    assert not made["ok"]
    (failed,) = [item for item in made["checks"] if not item["ok"]]
    assert (failed["id"], failed["node"], failed["seen"]) == ("verify.result", "node2", seen)


def test_no_check_at_all_is_no_success():
    assert not report({"node1": result()})["ok"]
    assert not report({})["ok"]


def test_summary():
    lines = summarize_report(report({"node1": result(check(), check(seen=0)), "n2": result(check())}))
    assert lines[0] == "2 nodes, 3 checks, 1 failed"
    assert lines[1] == "FAILED  node1  hugepages 1/2"
    assert lines[2] == "ok      n2     hugepages 1/1"
    assert lines[3] == "FAILED  node1  hugepages.pages 2M: expected 1, seen 0. mend it"
    assert len(lines) == 4
    assert summarize_report(report({"n": result(check())}))[0] == "1 node, 1 check, 0 failed"


def test_a_check_without_a_remedy_is_a_whole_sentence():
    assert describe_check({**check(seen=2), "node": "n", "remedy": ""}).endswith("seen 2.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        ("", "nothing"),
        ([], "nothing"),
        ([1, "a"], "1, a"),
        ({"vlan": 3}, "{'vlan': 3}"),
        ("x" * 200, "x" * 97 + "..."),
    ],
)
def test_values_in_a_line(value, text):
    assert short_value(value) == text
