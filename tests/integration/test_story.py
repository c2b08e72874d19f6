# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, whole: two stock nodes are planned, applied, verified, cut off from power, and given back.

One story in order: each chapter starts from the state that the former left, as it would at a user's site.
"""

from __future__ import annotations

import json
import re

import pytest
from nodes import (
    BOTH_AT_ONCE,
    PAIR,
    REPORT,
    boot_id,
    boots,
    difference,
    fingerprint,
    keep_journal,
    lab,
    must_be_running,
    playbook,
    ssh,
)

pytestmark = pytest.mark.slow
TASKS_A_ROLE = 15
BOUND_AND_PAGES = """\
ls /sys/bus/pci/drivers/vfio-pci | grep -c :
cat /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"""
PROBE_UNIT = "/etc/systemd/system/kubelet.service"
ORDER_PROBE = """
[Unit]
Description=Stands where the kubelet will: notes what is there when it starts
[Service]
Type=oneshot
ExecStart=/bin/sh -c '\
  cat /sys/bus/pci/devices/*/sriov_numvfs | sort | tr "\\\\n" " "; \
  ls /sys/bus/pci/drivers/vfio-pci | grep -c :; \
  cat /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages'
StandardOutput=file:/run/kubelet-saw
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def story(lab_is_up):
    """What the chapters hand on to each other."""
    lab("restore", *PAIR)
    for node in PAIR:
        keep_journal(node)
    return {"start": {node: fingerprint(node) for node in PAIR}}


def test_1_the_plan_changes_nothing(story):
    story["plan_run"] = playbook("plan").must_pass()
    story["plan"] = json.loads((REPORT / "plan.json").read_text())
    for node in PAIR:
        assert difference(story["start"][node], fingerprint(node)) == []


def test_2_the_first_run_changes_and_reboots_each_node_once(story):
    before = {node: boots(node) for node in PAIR}
    story["run"] = playbook("site", *BOTH_AT_ONCE).must_pass()
    for node in PAIR:
        assert story["run"].changed()[node] > 0
        assert boots(node) == before[node] + 1, f"{node} rebooted {boots(node) - before[node]} times"


def test_3_the_plan_said_what_the_run_did(story):
    done = json.loads((REPORT / "run.json").read_text())
    assert set(done["nodes"]) == set(story["plan"]["nodes"]) == set(PAIR)
    for node in PAIR:
        assert difference(story["plan"]["nodes"][node], done["nodes"][node]) == []
        assert any(concern["operations"] for concern in done["nodes"][node]["concerns"].values())
        assert any(concern["reboot_required"] for concern in done["nodes"][node]["concerns"].values())


def test_4_the_second_run_changes_nothing(story):
    boot_ids = {node: boot_id(node) for node in PAIR}
    states = {node: fingerprint(node) for node in PAIR}
    again = playbook("site").must_pass()
    assert again.changed() == dict.fromkeys(PAIR, 0)
    assert {node: boot_id(node) for node in PAIR} == boot_ids
    for node in PAIR:
        assert difference(states[node], fingerprint(node)) == []
    story["second"] = again


def test_5_roles_are_cheap(story):
    tasks = re.findall(r"^TASK \[(?:nfv\.fastpath\.)?(\w+) : ", story["second"].out, re.MULTILINE)
    batches = len(re.findall(r"^PLAY \[", story["second"].out, re.MULTILINE))
    assert tasks
    for role in set(tasks):
        assert tasks.count(role) <= TASKS_A_ROLE * max(1, batches), role


def test_6_verification_passes_and_reports(story):
    playbook("verify").must_pass()
    report = json.loads((REPORT / "report.json").read_text())
    checks = [check for check in report["checks"] if check["node"] in PAIR]
    assert {check["layer"] for check in checks} >= {"hugepages", "kernel_args", "sriov"}
    assert all(check["ok"] for check in checks)
    assert (REPORT / "index.html").stat().st_size > 2000


@pytest.fixture
def kubelet_probe():
    """A unit that stands where the kubelet will; it is gone at the end, so that teardown is compared without it."""
    for node in PAIR:
        ssh(node, f"cat > {PROBE_UNIT} && systemctl enable --quiet kubelet && sync", stdin=ORDER_PROBE)
    yield
    for node in PAIR:
        ssh(node, f"systemctl disable --quiet kubelet; rm {PROBE_UNIT}; systemctl daemon-reload")


def test_7_after_a_power_cut_all_is_back_before_the_kubelet(story, kubelet_probe):
    states = {node: fingerprint(node) for node in PAIR}
    lab("reset", *PAIR)
    for node in PAIR:
        must_be_running(node)
        assert difference(states[node], fingerprint(node)) == []
        seen = ssh(node, "cat /run/kubelet-saw").split()
        assert "7" in seen[:3]
        assert seen[-2:] == ssh(node, BOUND_AND_PAGES).split()
    playbook("verify").must_pass()


def test_8_a_failed_check_is_seen_and_named(story):
    ssh("node1", "echo 0 > /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages")
    failed = playbook("verify")
    failed.must_fail("node1", "hugepages")
    report = json.loads((REPORT / "report.json").read_text())
    wrong = [check for check in report["checks"] if not check["ok"]]
    assert {(check["node"], check["layer"]) for check in wrong} == {("node1", "hugepages")}
    assert all(check["remedy"] for check in wrong)
    playbook("site", "--limit", "node1").must_pass()


def test_9_teardown_gives_back_what_was_there(story):
    playbook("teardown", *BOTH_AT_ONCE).must_pass()
    for node in PAIR:
        assert difference(story["start"][node], fingerprint(node)) == []
    assert playbook("teardown", *BOTH_AT_ONCE).must_pass().changed() == dict.fromkeys(PAIR, 0)
