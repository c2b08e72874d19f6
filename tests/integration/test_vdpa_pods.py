# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods with the kernel's vDPA devices on two nodes: packets through /dev/vhost-vdpa-N, also after a reboot.

One story in order: each chapter starts from the state that the former left, as it would at a user's site.
"""

from __future__ import annotations

from typing import Any

import pytest
from cluster import CLUSTER, allocatable, inside, kubectl, objects, start, wait_until, writes_since, written
from nodes import PAIR, difference, fingerprint, lab, playbook, with_spec
from pod_traffic import DEVICE_FILES, device_pod, exchange

pytestmark = pytest.mark.slow
PF = {"vendor": "1af4", "device": "1041"}
POOL = "vdpa_vhost"
PODS = {node: [f"vdpa-{node}-{number}" for number in (1, 2)] for node in PAIR}
UNLIMITED = "{{ lab_container_runtime | combine({'locked_memory': 'unlimited'}) }}"


def spec(**more: Any) -> tuple[str, str]:
    given = {
        "fastpath_serial": 2,
        "fastpath_disruption_ok": True,
        "fastpath_unmanaged_ok": True,
        "fastpath_kernel_args": {},
        # Counted anew by the kubelet after pages came; no pod has a CPU alone here.
        "fastpath_kubelet": {"cpu_manager": "none"},
        "fastpath_hugepages": [{"size": "2M", "count": 256, "numa_node": 0}],
        "fastpath_container_runtime": UNLIMITED,
        "fastpath_sriov": [{"pf": PF, "num_vfs": 4, "vfs": [{"indexes": "0-1", "driver": "vp-vdpa"}]}],
        "fastpath_vdpa": [{"pf": PF, "indexes": "0-1", "pool": POOL}],
        "fastpath_networks": [],
    }
    return with_spec(**{**given, **more})


def run_pods() -> None:
    start([device_pod(name, node, POOL) for node, several in PODS.items() for name in several])


def remove_pods() -> None:
    several = [f"pod/{name}" for of_node in PODS.values() for name in of_node]
    kubectl("delete", "--wait", "--timeout=120s", *several, timeout=180)


def exchange_all() -> None:
    """Each pod of the one node with one of the other."""
    for first, second in zip(*PODS.values()):
        counted = exchange(first, second, DEVICE_FILES)
        print(first, second, counted)


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("members", *PAIR, timeout=3600)
    lab("agent-images", timeout=3600)
    return {"start": {node: fingerprint(node) for node in PAIR}, "objects": objects()}


def test_1_nodes_offer_devices(story):
    playbook("site", *CLUSTER, *spec(), timeout=3600).must_pass()
    for node in PAIR:
        assert allocatable(node) == {POOL: "2"}
    position = written()
    assert set(playbook("site", *CLUSTER, *spec()).must_pass().changed().values()) == {0}
    assert writes_since(position) == []


def test_2_packets_go_between_pods_of_two_nodes(story):
    run_pods()
    exchange_all()
    for several in PODS.values():
        files = [inside(name, f"ls {DEVICE_FILES}").split() for name in several]
        assert [len(of_pod) for of_pod in files] == [1, 1]
        assert files[0] != files[1]


def test_3_a_device_that_a_pod_has_stays(story):
    less = spec(fastpath_vdpa=[], fastpath_disruption_ok=False)
    playbook("site", *CLUSTER, *less).must_fail("fastpath_disruption_ok", f"default/{PODS[PAIR[0]][0]}")
    exchange_all()
    playbook("verify", *CLUSTER, *spec()).must_pass()


def test_4_after_a_power_cut_pods_have_devices_again(story):
    remove_pods()
    for node in PAIR:
        lab("reset", node, timeout=900)
    for node in PAIR:
        wait_until(lambda node=node: allocatable(node).get(POOL) == "2", f"{node} offers devices", 600)
    run_pods()
    exchange_all()
    assert set(playbook("site", *CLUSTER, *spec()).must_pass().changed().values()) == {0}


def test_5_teardown_leaves_all_as_it_was(story):
    remove_pods()
    playbook("teardown", *CLUSTER, *spec(), timeout=3600).must_pass()
    wait_until(lambda: difference(story["objects"], objects()) == [], "the cluster is as before")
    for node in PAIR:
        assert allocatable(node) == {}
        assert difference(story["start"][node], fingerprint(node)) == []
