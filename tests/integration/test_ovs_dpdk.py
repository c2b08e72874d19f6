# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch with DPDK on two nodes, with packets: from packages, from a build, and given back.

One story in order: each chapter starts from the state that the former left, as it would at a user's site. Its testpmd
comes from a bundle: the distribution's brings 270 packages along, which take minutes on an emulated node. In the short
form Molecule's scenario stands for all of it, on one node and without packets.
"""

from __future__ import annotations

import pytest
from nodes import PAIR, difference_but_for_accounts, fingerprint, keep_journal, lab, must_be_running, playbook, ssh
from ovs_spec import SPEC, spec
from traffic import exchange, ready, wait_until

pytestmark = pytest.mark.slow
REMOVE = {"ovs_dpdk_remove_packages": True, "dpdk_remove_packages": True}


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("restore", *PAIR)
    for node in PAIR:
        keep_journal(node)
    return {"start": {node: fingerprint(node) for node in PAIR}}


def records_of(node: str) -> int:
    """Transactions that the database has on disk."""
    return int(ssh(node, "ovsdb-tool show-log /etc/openvswitch/conf.db | grep -c ^record"))


def other_process(node: str, former: str) -> bool:
    latest = ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid 2>/dev/null || true")
    return latest not in ("", former) and ssh(node, "systemctl is-active ovs-vswitchd || true").strip() == "active"


def left_on(node: str, story) -> list[str]:
    return difference_but_for_accounts(story["start"][node], fingerprint(node))


def versions(node: str) -> str:
    return ssh(node, "ovs-vsctl --timeout=20 get Open_vSwitch . dpdk_initialized dpdk_version ovs_version")


def test_1_packages_bring_it_and_packets_flow(story):
    playbook("site", *spec()).must_pass()
    for node in PAIR:
        assert versions(node).startswith("true")
    exchange(*PAIR)


def test_2_the_second_run_writes_nothing(story):
    records = {node: records_of(node) for node in PAIR}
    assert playbook("site", *spec()).must_pass().changed() == dict.fromkeys(PAIR, 0)
    assert {node: records_of(node) for node in PAIR} == records


def test_3_packets_flow_again_after_a_crash(story):
    former = {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR}
    for node in PAIR:
        ssh(node, f"kill -9 {former[node]}")
    for node in PAIR:
        # The database keeps saying what was; only another process makes it true again.
        wait_until(lambda node=node: other_process(node, former[node]), f"{node} has another ovs-vswitchd")
    exchange(*PAIR)


def test_4_packets_flow_again_after_a_reboot(story):
    lab("reset", *PAIR)
    for node in PAIR:
        must_be_running(node)
        started = "systemctl show --value -p {} {}"
        ours = int(ssh(node, started.format("InactiveExitTimestampMonotonic", "ovs-vswitchd")))
        assert ours > int(ssh(node, started.format("ActiveEnterTimestampMonotonic", "fastpath-sriov"))) > 0
    exchange(*PAIR)


def test_5_a_start_that_fails_says_why_and_gives_back_what_worked(story):
    config = {**SPEC["fastpath_ovs"]["other_config"], "dpdk-extra": "--no-such-option"}
    former = ssh("node1", "ovs-vsctl --timeout=20 get Open_vSwitch . other_config")
    wanted = spec(fastpath_ovs={**SPEC["fastpath_ovs"], "other_config": config})
    failed = playbook("site", "--limit", "node1", *wanted)
    failed.must_fail("no-such-option", "node1")
    assert ssh("node1", "ovs-vsctl --timeout=20 get Open_vSwitch . other_config") == former
    wait_until(lambda: ready("node1"), "both ports of node1 are back")


def test_6_a_build_takes_over_and_packets_flow(story):
    source = spec(fastpath_ovs_provider="source", fastpath_dpdk={"provider": "source"})
    playbook("site", *source, timeout=3000).must_pass()
    for node in PAIR:
        seen = versions(node)
        assert "true" in seen and "DPDK 24.11.6" in seen and '"3.6.3"' in seen, seen
    exchange(*PAIR)
    pids = {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR}
    assert playbook("site", *source).must_pass().changed() == dict.fromkeys(PAIR, 0)
    assert {node: ssh(node, "cat /run/openvswitch/ovs-vswitchd.pid") for node in PAIR} == pids


def test_7_and_back_to_packages(story):
    playbook("site", *spec()).must_pass()
    for node in PAIR:
        assert '"3.6.3"' not in versions(node)
    exchange(*PAIR)


def test_8_teardown_gives_back_what_was_there(story):
    playbook("teardown", *spec(**REMOVE)).must_pass()
    for node in PAIR:
        assert left_on(node, story) == []


def test_9_all_of_it_from_packages(story):
    playbook("site", *spec(fastpath_dpdk={}), timeout=2400).must_pass()
    for node in PAIR:
        assert ssh(node, "realpath $(command -v dpdk-testpmd)") == "/usr/bin/dpdk-testpmd\n"
    exchange(*PAIR)
    playbook("teardown", *spec(**REMOVE)).must_pass()
    for node in PAIR:
        assert left_on(node, story) == []
