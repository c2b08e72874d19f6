# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Playbooks are lists of roles, and the plan's list is that of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("plan", "site", "verify", "teardown", "cluster")
CHECKED_FIRST = ("plan", "site")
OWN_PLAY = {
    "plan": "Plan",
    "site": "Apply",
    "verify": "Verify",
    "teardown": "Tear down",
    "cluster": "Cluster",
    "members": "Members",
}
PLAYBOOK = "ansible.builtin.import_playbook"
IMPORT, INCLUDE = "ansible.builtin.import_role", "ansible.builtin.include_role"
ASKED = "fastpath_kubeconfig is defined"
CHECKS = ("networks/spec", "networks/check", "multus/check", "device_plugin/check")


def plays(name):
    return yaml.safe_load((CHECKOUT / f"playbooks/{name}.yml").read_text())


def play(name):
    """The one that is about nodes."""
    (found,) = [each for each in plays(name) if each["name"] == OWN_PLAY[name]]
    return found


def imported_as(name, other):
    """How a playbook imports another one."""
    (found,) = [each for each in plays(name) if each.get(PLAYBOOK) == f"{other}.yml"]
    return found


def steps(each):
    """Every role of a play in order, with what is said beside its name."""
    if "roles" in each:
        return [{"name": item["role"], **item} for item in each["roles"]]
    found = []
    for task in each["tasks"]:
        for inner in task.get("block", [task]):
            found.append({**inner, **(inner.get(IMPORT) or inner[INCLUDE])})
    return found


def short(step):
    tasks_from = step.get("tasks_from", "").removesuffix(".yml")
    return step["name"].removeprefix("nfv.fastpath.") + (f"/{tasks_from}" if tasks_from else "")


def roles(name):
    return [short(step) for step in steps(play(name))]


@pytest.mark.parametrize("name", NAMES)
def test_every_playbook_is_a_list_of_roles(name):
    assert play(name)["gather_facts"] is False
    assert play(name)["hosts"] == "{{ fastpath_hosts | default('fastpath_nodes') }}"
    assert all((CHECKOUT / "roles" / role.split("/")[0]).is_dir() for role in roles(name))
    for role in roles(name):
        if "/" in role:
            assert (CHECKOUT / "roles" / role.replace("/", "/tasks/")).with_suffix(".yml").exists()


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_all_nodes_are_checked_and_bundles_built_before_the_batches(name):
    each = plays(name)[0]
    assert each["name"] == "Check and build"
    assert "serial" not in each
    assert each["hosts"] == play(name)["hosts"]
    assert each.get("check_mode", False) == (name == "plan")
    assert each["any_errors_fatal"]
    assert each["roles"] == [{"role": "nfv.fastpath.preflight"}]
    assert [short(step) for step in steps({"tasks": each["tasks"]})] == [*CHECKS, "dpdk/build"]


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_a_cluster_refuses_before_any_node_is_changed_and_is_asked_once(name):
    spec, of_cluster, _build = plays(name)[0]["tasks"]
    assert ASKED in spec["when"] and ASKED in of_cluster["when"]
    (imported,) = [each for each in plays(name) if "cluster.yml" in str(each)]
    assert imported["vars"]["cluster_nodes_follow"] is True
    asked = [step for step in steps(play("cluster")) if short(step) in CHECKS]
    assert [short(step) for step in asked] == list(CHECKS)
    assert all("not (cluster_nodes_follow | default(false))" in str(step["when"]) for step in asked)


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("dpdk", "fastpath_dpdk"),
        ("vdpa", "fastpath_vdpa"),
        ("ovs_dpdk", "fastpath_ovs"),
        ("container_runtime", "fastpath_container_runtime"),
        ("kubernetes", "fastpath_kubernetes"),
        ("kubernetes", "fastpath_kubelet"),
    ],
)
def test_what_is_not_asked_for_costs_nothing(role, variable):
    (found,) = [step for step in steps(play("site")) if short(step) == role]
    assert variable in str(found["when"])


@pytest.mark.parametrize("name", CHECKED_FIRST)
def test_new_nodes_join_before_anything_waits_for_members(name):
    imported = [each.get(PLAYBOOK) for each in plays(name)]
    assert imported.index("members.yml") < imported.index("cluster.yml")
    assert imported_as(name, "members").get("vars", {}) == ({"members_are_planned": True} if name == "plan" else {})
    assert play("members")["check_mode"] == "{{ members_are_planned | default(ansible_check_mode) }}"


def test_a_node_joins_with_what_keeps_pods_off():
    look, runtime, join = steps(play("members"))
    assert [short(step) for step in (look, runtime, join)] == [
        "kubernetes/look",
        "container_runtime",
        "kubernetes/join",
    ]
    assert "fastpath_kubernetes" in look["when"]
    # With what takes it away again: without a cluster's part nobody would.
    assert join["vars"] == {"kubernetes_taint": "{{ " + ASKED + " }}"}
    assert [each["when"] for each in steps(play("site")) if short(each) == "rollout/back"] == [ASKED]


def test_images_are_there_before_what_needs_them():
    (step,) = [step for step in steps(play("cluster")) if short(step) == "images"]
    assert "fastpath_image_builds" in step["when"]
    assert roles("cluster").index("images") < roles("cluster").index("multus")


@pytest.mark.parametrize("name", ["plan", "site", "teardown"])
def test_without_a_cluster_nothing_of_it_is_done(name):
    """Every step that talks to a cluster says so itself, or its whole playbook is left out."""
    cluster = {"device_plugin", "networks", "multus", "cni_plugins", "rollout/out", "rollout/back"}
    cluster |= {"node_agent", "node_agent/nodes", "node_agent/objects"}
    for each in plays(name):
        if each.get(PLAYBOOK) == "members.yml":
            assert not cluster & set(roles("members"))
            continue
        if PLAYBOOK in each:
            assert ASKED in str(each["when"])
            continue
        for step in steps(each):
            if short(step) in cluster or step["name"] == "nfv.fastpath.device_plugin":
                assert ASKED in str(step["when"]), short(step)
        for task in each.get("tasks", []):
            for rescue in task.get("rescue", [])[:1]:
                assert rescue["when"] == ASKED


def test_the_plan_is_the_run_in_check_mode():
    assert play("plan")["check_mode"] is True
    planned = steps(play("plan"))
    assert steps(play("site"))[: len(planned)] == planned
    assert roles("site")[len(planned) :] == ["verify", "rollout/back"]
    assert imported_as("plan", "cluster")["vars"] == {"cluster_nodes_follow": True, "cluster_is_planned": True}
    assert play("cluster")["check_mode"] == "{{ cluster_is_planned | default(ansible_check_mode) }}"


def test_nothing_needs_what_comes_after_the_reboot():
    order = roles("site")
    assert order[:3] == ["preflight", "rollout/out", "preflight"]
    assert "nfv.fastpath.boot_engine" in (CHECKOUT / "roles/hugepages/meta/main.yml").read_text()
    assert order.index("hugepages") < order.index("kernel_args") < order.index("rollout") < order.index("dpdk")
    assert order.index("dpdk") < order.index("sriov") < order.index("vdpa") < order.index("ovs_dpdk")
    assert order.index("ovs_dpdk") < order.index("verify")


@pytest.mark.parametrize("name", ["plan", "site"])
def test_a_look_that_is_skipped_leaves_what_was_found_before(name):
    """The tasks of an import that is skipped are skipped one by one, and each registers just that."""
    looks = [step for step in steps(play(name)) if short(step) == "preflight"]
    assert len(looks) == 2
    assert all(INCLUDE in step and "when" in step for step in looks)
    assert ASKED in str(looks[0]["when"])


def test_a_node_is_back_only_after_it_was_verified_and_offers_its_devices():
    order = roles("site")
    assert order.index("ovs_dpdk") < order.index("container_runtime") < order.index("kubernetes")
    assert (
        order.index("kubernetes") < order.index("device_plugin") < order.index("verify") < order.index("rollout/back")
    )
    assert order.index("device_plugin") < order.index("node_agent") < order.index("verify")
    assert order[-1] == "rollout/back"


def test_the_clusters_part_comes_before_the_nodes_and_its_check_at_the_end():
    names = [each["name"] for each in plays("site")]
    assert names.index("Bring about the cluster's part") < names.index("Apply")
    assert plays("site")[-1][PLAYBOOK] == "verify.yml"
    order = [*CHECKS, "images", "cni_plugins", "multus", "networks", "device_plugin", "node_agent"]
    assert roles("cluster") == order
    assert "serial" not in play("cluster")


def test_vdpa_devices_wait_where_their_vfs_do():
    by_name = {short(step): step for step in steps(play("site"))}
    assert set(by_name["sriov"]["when"]) < set(by_name["vdpa"]["when"])


def test_teardown_goes_the_other_way():
    order = [role for role in roles("teardown") if "rollout" not in role]
    # Programs of the agent have VFs and hugepages open.
    of_nodes = ["kubernetes/kubelet", "ovs_dpdk", "vdpa", "sriov", "dpdk", "kernel_args", "hugepages", "boot_engine"]
    assert order == ["node_agent/nodes", *of_nodes]
    for role in order:
        assert play("teardown")["vars"][f"{role.split('/')[0]}_state"] == "absent"
    assert roles("teardown")[0] == "rollout/out"
    assert roles("teardown")[-3:] == ["rollout", "rollout/back", "boot_engine"]


def test_teardown_of_the_cluster_goes_the_other_way():
    look, before, _nodes, after, last = plays("teardown")
    assert [short(step) for step in steps(before)] == ["device_plugin/nodes"]
    gone = ["node_agent/objects", "device_plugin/objects", "networks", "multus", "cni_plugins"]
    assert [short(step) for step in steps(after)] == gone
    assert [short(step) for step in steps(look)] == ["rollout/order"]
    assert [short(step) for step in steps(last)] == ["rollout/out", "images", "kubernetes", "container_runtime"]
    assert last["serial"] == 1 and last["hosts"].index("leaves_first") < last["hosts"].index("leaves_last")
    for each, given in ((before, steps(before)), (after, steps(after)), (last, steps(last)[1:])):
        assert each["vars"] == {f"{short(step).split('/')[0]}_state": "absent" for step in given}


@pytest.mark.parametrize("name", ["site", "teardown"])
def test_the_first_failure_stops_the_run(name):
    assert play(name)["any_errors_fatal"] is True
    assert play(name)["max_fail_percentage"] == 0
    assert "serial" in play(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_is_lost_stops_every_play_with_batches(name):
    for each in (each for each in plays(name) if "hosts" in each):
        first = [task["ansible.builtin.import_role"] for task in each.get("pre_tasks", [])]
        lost = [{"name": "nfv.fastpath.rollout", "tasks_from": "lost.yml"}]
        assert first == (lost if "serial" in each else [])


@pytest.mark.parametrize("name", ["site", "teardown"])
def test_a_failed_node_says_why_and_stays_failed(name):
    (task,) = play(name)["tasks"]
    mark, stop = task["rescue"]
    assert mark["ansible.builtin.import_role"] == {"name": "nfv.fastpath.rollout", "tasks_from": "failed.yml"}
    assert "ansible.builtin.fail" in stop
    assert "when" not in stop
    assert "always" not in task


@pytest.mark.parametrize("name", NAMES)
def test_every_playbook_writes_down_what_was(name):
    last = play(name).get("post_tasks", [{}])[-1]
    assert "nfv.fastpath.report" in last or roles(name)[-1] == "verify"
