# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan says and what a run did: one structure, made of what the roles registered."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._rollout import decide
from ansible_collections.nfv.fastpath.plugins.plugin_utils._run_record import (
    build_record,
    describe_operation,
    registered_results,
    summarize_record,
)

PAGES = Plan(operations=(Operation("set_pages", "2M on NUMA node 0", 0, 256),)).result()
ARGUMENTS = Plan(
    operations=(Operation("set_boot_arguments", "/boot/grub/grub.cfg", {"arguments": []}, {"own": ["iommu=pt"]}),),
    reboot_reason="without iommu=pt",
).result()
VFS = Plan(
    operations=(Operation("set_numvfs", "0000:81:00.0", 2, 7, disruptive=True, reason="pod a uses VF 1"),)
).result()
NOTHING = Plan().result()


def rollout(ok=True, **results):
    return decide({}, results, ok).result("node1")


def record(kind="plan", **concerns):
    return build_record(kind, {"node1": concerns}, "2026-11-21T08:33:36Z", "0.1.0")


def test_registered_results_are_found_in_order():
    variables = {
        "__sriov_result": VFS,
        "__hugepages_result": PAGES,
        "__kernel_args_result": {"skipped": True, "changed": False},
        "__verify_result": {"checks": []},
        "other_result": "text",
        "fastpath_sriov": [],
        "__boot_engine_result": NOTHING,
    }
    assert list(registered_results(variables)) == ["boot_engine", "hugepages", "sriov"]


def test_plan_and_run_compare_equal():
    concerns = {"hugepages": PAGES, "kernel_args": ARGUMENTS, "rollout": rollout(kernel_args=ARGUMENTS)}
    plan, run = record("plan", **concerns), record("apply", **concerns)
    assert plan["nodes"] == run["nodes"]
    assert (plan["kind"], run["kind"]) == ("plan", "apply")


def test_the_structure():
    node = record(hugepages=PAGES, sriov=NOTHING, rollout=rollout(kernel_args=ARGUMENTS))["nodes"]["node1"]
    assert node["changed"] == ["hugepages"]
    assert node["reboot"] == {"decision": "reboot", "reasons": {"kernel_args": "without iommu=pt"}}
    assert set(node["concerns"]) == {"hugepages", "sriov"}
    assert set(node["concerns"]["sriov"]) == {
        "changed",
        "operations",
        "reboot_required",
        "reboot_reason",
        "disruptive",
    }


def test_it_is_plain_json():
    made = record(hugepages=PAGES, kernel_args=ARGUMENTS)
    assert json.loads(json.dumps(made)) == made


def test_summary_of_a_plan():
    lines = summarize_record(
        record(hugepages=PAGES, kernel_args=ARGUMENTS, rollout=rollout(kernel_args=ARGUMENTS), sriov=VFS)
    )
    assert lines == [
        "node1: would change hugepages, kernel_args, sriov",
        "  hugepages: set_pages 2M on NUMA node 0: 0 -> 256",
        "  kernel_args: set_boot_arguments /boot/grub/grub.cfg: arguments nothing -> own iommu=pt",
        "  sriov: set_numvfs 0000:81:00.0: 2 -> 7",
        "  sriov: would disrupt 0000:81:00.0: pod a uses VF 1",
        "  would reboot once, because kernel_args: without iommu=pt",
    ]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("plan", "nothing to change"), ("apply", "nothing changed"), ("teardown", "nothing changed")],
)
def test_summary_of_nothing(kind, text):
    assert summarize_record(record(kind, hugepages=NOTHING, rollout=rollout())) == [f"node1: {text}"]


def test_summary_of_a_run_without_consent():
    lines = summarize_record(record("apply", kernel_args=NOTHING, rollout=rollout(False, kernel_args=ARGUMENTS)))
    assert lines == [
        "node1: changed nothing",
        "  reboot pending, as fastpath_reboot_ok is false: kernel_args: without iommu=pt",
    ]


def test_summary_of_some_nodes_only():
    made = build_record("plan", {"a": {"hugepages": PAGES}, "b": {"hugepages": NOTHING}}, "now", "0.1.0")
    assert summarize_record(made, ["b"]) == ["b: nothing to change"]
    assert len(summarize_record(made)) == 3
    assert summarize_record(made, ["c"]) == ["no node gave a result"]


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Operation("probe", "x"), "probe x"),
        (Operation("set", "x", None, "igbvf"), "set x: none -> igbvf"),
        (Operation("set", "x", [], ["a", "b"]), "set x: nothing -> a, b"),
        (Operation("set", "x", [{"a": 1}, {"b": 2}], 1), "set x: 2 entries -> 1"),
        (Operation("set", "x", "y" * 80, 1), f"set x: {'y' * 57}... -> 1"),
    ],
)
def test_operations_in_one_line(step, text):
    assert describe_operation(vars(step)) == text
