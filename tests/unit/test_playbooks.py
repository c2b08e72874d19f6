# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks are lists of roles, and the plan's list is that of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("plan", "site", "verify", "teardown")


CHECKED_FIRST = ("plan", "site")


def plays(name):
    return yaml.safe_load((CHECKOUT / f"playbooks/{name}.yml").read_text())


def play(name):
    (*_before, found) = plays(name)
    return found


def roles(name):
    return [role["role"].removeprefix("nfv.fastpath.") for role in play(name)["roles"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_playbook_is_a_list_of_roles(name):
    assert play(name)["gather_facts"] is False
    assert "tasks" not in play(name)
    assert "pre_tasks" not in play(name)
    assert play(name)["hosts"] == "{{ fastpath_hosts | default('fastpath_nodes') }}"
    assert all((CHECKOUT / "roles" / role).is_dir() for role in roles(name))


@pytest.mark.parametrize("name", NAMES)
def test_all_nodes_are_checked_and_bundles_built_before_the_batches(name):
    before = plays(name)[:-1]
    assert [each["name"] for each in before] == (["Check and build"] if name in CHECKED_FIRST else [])
    for each in before:
        assert "serial" not in each
        assert each["hosts"] == play(name)["hosts"]
        assert each.get("check_mode", False) == (name == "plan")
        assert each["any_errors_fatal"]
        assert each["roles"] == [{"role": "nfv.fastpath.preflight"}]
        (task,) = each["tasks"]
        assert task["ansible.builtin.import_role"] == {"name": "nfv.fastpath.dpdk", "tasks_from": "build.yml"}


@pytest.mark.parametrize(("role", "variable"), [("dpdk", "fastpath_dpdk"), ("ovs_dpdk", "fastpath_ovs")])
def test_what_is_not_asked_for_costs_nothing(role, variable):
    (found,) = [each for each in play("site")["roles"] if each["role"] == f"nfv.fastpath.{role}"]
    assert variable in str(found["when"])


def test_the_plan_is_the_run_in_check_mode():
    assert play("plan")["check_mode"] is True
    assert play("site")["roles"][: len(roles("plan"))] == play("plan")["roles"]
    assert roles("site")[len(roles("plan")) :] == ["verify"]


def test_nothing_needs_what_comes_after_the_reboot():
    order = roles("site")
    assert order.index("boot_engine") < order.index("rollout")
    assert order.index("hugepages") < order.index("kernel_args") < order.index("rollout") < order.index("dpdk")
    assert order.index("dpdk") < order.index("sriov") < order.index("ovs_dpdk") < order.index("verify")


def test_teardown_goes_the_other_way():
    order = [role for role in roles("teardown") if role != "rollout"]
    assert order[:3] == ["ovs_dpdk", "sriov", "dpdk"]
    assert roles("teardown")[-1] == "rollout"
    for role in [*order, "boot_engine"]:
        assert play("teardown")["vars"][f"{role}_state"] == "absent"
    assert play("teardown")["post_tasks"][0]["ansible.builtin.import_role"]["name"] == "nfv.fastpath.boot_engine"


@pytest.mark.parametrize("name", ["site", "teardown"])
def test_the_first_failure_stops_the_run(name):
    assert play(name)["any_errors_fatal"] is True
    assert play(name)["max_fail_percentage"] == 0
    assert "serial" in play(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_playbook_writes_down_what_was(name):
    last = play(name).get("post_tasks", [{}])[-1]
    assert "nfv.fastpath.report" in last or roles(name)[-1] == "verify"
