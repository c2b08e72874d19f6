# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real kubelets run pods with VFs, put there by the playbooks: from two members of a cluster to packets, and back.

One story in order: each chapter starts from the state that the former left, as it would at a user's site.
"""

from __future__ import annotations

import example_pods
import pytest
from cluster import (
    CLUSTER,
    allocatable,
    examples,
    get,
    inside,
    objects,
    pod,
    start,
    wait_until,
    writes_since,
    written,
)
from nodes import PAIR, difference, fingerprint, lab, playbook, with_spec

# Forty minutes; Molecule has each role on a member of its own.
pytestmark = pytest.mark.slow
POOLS = {"igb_dpdk": "2", "igb_kernel": "4", "igb_node0": "4", "virtio_dpdk": "2", "virtio_kernel": "2"}


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("members", *PAIR, timeout=3600)
    return {"start": {node: fingerprint(node) for node in PAIR}, "objects": objects()}


def test_1_the_plan_changes_nothing(story):
    position = written()
    playbook("plan", *CLUSTER).must_pass()
    assert writes_since(position) == []
    for node in PAIR:
        assert difference(story["start"][node], fingerprint(node)) == []


def test_2_nodes_offer_what_the_spec_says(story):
    playbook("site", *CLUSTER, timeout=2400).must_pass()
    for node in PAIR:
        assert allocatable(node) == POOLS
        state = get("node", node)["spec"]
        assert not state.get("unschedulable") and not state.get("taints"), state


def test_3_the_second_run_writes_nothing(story):
    position = written()
    again = playbook("site", *CLUSTER).must_pass()
    assert set(again.changed().values()) == {0}
    assert writes_since(position) == []


def test_4_pods_have_their_devices_and_packets_flow(story):
    start(examples())
    example_pods.packets_go_across()


def test_5_a_pod_sees_its_device_on_its_numa_node(story):
    example_pods.the_program_has_its_device()


def test_6_two_networks_are_two_interfaces(story):
    example_pods.two_networks_are_two_interfaces()


def test_7_verification_passes(story):
    playbook("verify", *CLUSTER).must_pass()


def test_8_teardown_does_not_take_devices_from_under_pods_without_consent(story):
    playbook("teardown", *CLUSTER).must_fail("fastpath_disruption_ok", "default/dpdk")
    assert inside("dpdk", "ls /dev/vfio").split() != []
    example_pods.packets_go_across(2)


def test_9_teardown_leaves_the_cluster_as_it_was(story):
    """Nobody makes these pods anew, so that none is left; what they asked for goes after them."""
    consent = with_spec(fastpath_disruption_ok=True, fastpath_unmanaged_ok=True)
    playbook("teardown", *CLUSTER, *consent, timeout=2400).must_pass()
    assert get("pods")["items"] == []
    wait_until(lambda: difference(story["objects"], objects()) == [], f"{difference(story['objects'], objects())}")
    for node in PAIR:
        assert difference(story["start"][node], fingerprint(node)) == []
    start([pod("plain", PAIR[0], "", {})])
    assert "eth0" in inside("plain", "ip -o -4 addr")
