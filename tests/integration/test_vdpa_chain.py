# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pods with sockets on two nodes, put there by the playbooks: DPDK's vDPA on VFs, a NIC behind testpmd, Open vSwitch.

One story in order: each chapter starts from the state that the former left, as it would at a user's site. The three
back ends get the same pods, but for the pool that they ask for.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from cluster import (
    CLUSTER,
    allocatable,
    get,
    inside,
    kubectl,
    network_status,
    objects,
    start,
    wait_until,
    writes_since,
    written,
)
from nodes import PAIR, REPORT, difference, fingerprint, lab, playbook, ssh, with_spec
from pod_traffic import SOCKETS, exchange, socket_pod

pytestmark = pytest.mark.slow
VIRTIO = {"vendor": "1af4", "device": "1041"}
IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}
VDPA, CLOUD, PORTS = "vdpa_a", "cloud_a", "ovs_a"
POOLS: dict[str, dict[str, Any]] = {
    # What the lab's DPDK wants to hear before it takes an emulated VF.
    VDPA: {"name": VDPA, "devargs": "vdpa=1,sw-live-migration=1"},
    CLOUD: {"name": CLOUD, "backend": "translate"},
    PORTS: {"name": PORTS, "backend": "ovs", "bridge": "br-fp", "ports": 4},
}
SWITCH = {
    "other_config": {
        "dpdk-init": True,
        "dpdk-socket-mem": {0: 128, 1: 128},
        "pmd-cpu-mask": "1",
        "pmd-sleep-max": 10000,
    },
    "bridges": [
        {
            "name": "br-fp",
            "fail_mode": "standalone",
            "ports": [{"name": "dpdk0", "type": "dpdk", "vf": {"pf": IGB, "index": 2}}],
        }
    ],
}


def spec(pool: str, **more: Any) -> tuple[str, str]:
    """One back end at a time: a node of the lab has one CPU that may poll."""
    return with_spec(
        **{
            "fastpath_serial": 2,
            "fastpath_disruption_ok": True,
            "fastpath_unmanaged_ok": True,
            "fastpath_kernel_args": {},
            # Counted anew by the kubelet after pages came; no pod has a CPU alone here.
            "fastpath_kubelet": {"cpu_manager": "none"},
            "fastpath_hugepages": [{"size": "2M", "count": 320, "numa_node": node} for node in (0, 1)],
            "fastpath_sriov": [
                {"pf": VIRTIO, "num_vfs": 4, "vfs": [{"indexes": "0-1", "driver": "vfio-pci", "pool": VDPA}]},
                {
                    "pf": IGB,
                    "num_vfs": 3,
                    "vfs": [
                        {"indexes": "0-1", "driver": "vfio-pci", "pool": CLOUD},
                        {"indexes": "2", "driver": "vfio-pci"},
                    ],
                },
            ],
            "fastpath_ovs": SWITCH if pool == PORTS else {},
            "fastpath_node_agent": {"pools": [POOLS[pool]]},
            "fastpath_networks": [{"name": "fast", "type": "vdpa", "pool": pool}],
            **more,
        }
    )


def names(pool: str) -> dict[str, list[str]]:
    """Two pods for each node."""
    short = pool.partition("_")[0]
    return {node: [f"{short}-{node}-{number}" for number in (1, 2)] for node in PAIR}


def run_pods(pool: str) -> dict[str, list[str]]:
    made = names(pool)
    start([socket_pod(name, node, pool) for node, several in made.items() for name in several])
    return made


def remove_pods(pool: str) -> None:
    several = [f"pod/{name}" for of_node in names(pool).values() for name in of_node]
    kubectl("delete", "--wait", "--timeout=120s", *several, timeout=180)


def status(node: str) -> dict[str, Any]:
    return json.loads(ssh(node, "cat /run/vdpa/status.json"))


def devices(node: str, backend: str = "vdpa") -> dict[str, dict[str, Any]]:
    return {one["device"]: one for one in status(node)["devices"] if one["backend"] == backend}


def leased(node: str) -> dict[str, str]:
    """Device by pod."""
    return {lease["owner"]["pod"]: lease["device"] for lease in status(node)["leases"]}


def exchange_all(made: dict[str, list[str]]) -> None:
    """Each pod of the one node with one of the other."""
    for first, second in zip(*made.values()):
        exchange(first, second)


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("members", *PAIR, timeout=3600)
    lab("agent-images", timeout=3600)
    return {"start": {node: fingerprint(node) for node in PAIR}, "objects": objects()}


def test_01_nodes_offer_vfs_with_dpdks_vdpa(story):
    playbook("site", *CLUSTER, *spec(VDPA), timeout=3600).must_pass()
    for node in PAIR:
        assert allocatable(node)[VDPA] == "2"
        assert {one["state"] for one in devices(node).values()} == {"ready"}
        assert len(json.loads(ssh(node, "cat /run/vdpa/socketList.dat"))) == 2


def test_02_the_second_run_writes_nothing(story):
    position = written()
    again = playbook("site", *CLUSTER, *spec(VDPA)).must_pass()
    assert set(again.changed().values()) == {0}
    assert writes_since(position) == []


def test_03_packets_go_between_pods_of_two_nodes_through_vdpa(story):
    story["pods"] = run_pods(VDPA)
    exchange_all(story["pods"])


def test_04_each_pod_has_its_own_socket_and_no_other(story):
    for node, several in story["pods"].items():
        assert set(leased(node)) == set(several)
        for name in several:
            told = network_status(name)["net1"]["device-info"]["vhost-user"]["path"]
            assert inside(name, f"ls {SOCKETS}").split() == [told.rpartition("/")[2]]
            assert "refused" in inside(name, "test -e /var/run/vdpa || echo refused")


def test_05_a_pod_that_asks_for_all_sockets_is_refused(story):
    remove_pods(VDPA)
    curious = socket_pod("curious", PAIR[0], VDPA, own_folder=False)
    kubectl("apply", "-f", "-", stdin=json.dumps(curious))

    def refused() -> bool:
        return "subPathExpr" in json.dumps(get("events", "--field-selector=involvedObject.name=curious")["items"])

    wait_until(refused, "the plugin refuses the pod")
    kubectl("delete", "pod", "curious", "--wait", "--timeout=120s", timeout=180)
    story["pods"] = run_pods(VDPA)


def test_06_nobody_else_on_the_node_connects(story):
    """A socket of a pod is in a folder that is its pod's; one that nobody has is root's."""
    for node in PAIR:
        for lease in status(node)["leases"]:
            said = ssh(node, f"setpriv --reuid=65534 --clear-groups ls {lease['directory']} 2>&1 || true")
            assert "Permission denied" in said


def test_07_an_agent_that_is_killed_takes_nothing_from_pods(story):
    node = PAIR[0]
    before = {device: one["pid"] for device, one in devices(node).items()}
    started = time.time()
    ssh(node, "pkill -9 -f 'fastpath_agent .*run$'")
    wait_until(lambda: status(node)["time"] > started + 2, "the agent is back")
    wait_until(lambda: {one["state"] for one in devices(node).values()} == {"leased"}, "it has its devices")
    assert {device: one["pid"] for device, one in devices(node).items()} == before
    exchange_all(story["pods"])


def test_08_a_program_that_is_killed_comes_back_and_the_pod_is_told(story):
    node = PAIR[0]
    before = {device: one["pid"] for device, one in devices(node).items()}
    ssh(node, "pkill -9 -x dpdk-vdpa")

    def back() -> bool:
        found = devices(node)
        return all(one["state"] == "leased" and one["pid"] not in (None, before[name]) for name, one in found.items())

    wait_until(back, "both programs run again")
    exchange_all(story["pods"])
    for name in story["pods"][node]:
        events = get("events", f"--field-selector=involvedObject.name={name}")["items"]
        assert {"SocketLost", "SocketBack"} <= {event["reason"] for event in events}


def test_09_verification_passes_and_reports_the_sockets(story):
    playbook("verify", *CLUSTER, *spec(VDPA)).must_pass()
    report = json.loads((REPORT / "report.json").read_text())
    for node in report["nodes"]:
        if node["node"] in PAIR:
            assert {entry["pod"] for entry in node["socket_map"]} == {
                f"default/{name}" for name in story["pods"][node["node"]]
            }


def test_10_a_change_that_takes_sockets_needs_consent(story):
    other = spec(CLOUD, fastpath_disruption_ok=False)
    playbook("site", *CLUSTER, *other).must_fail("fastpath_disruption_ok", f"default/{story['pods'][PAIR[0]][0]}")
    exchange_all(story["pods"])


def test_11_a_socket_is_free_again_after_its_pod(story):
    former = {node: set(leased(node).values()) for node in PAIR}
    remove_pods(VDPA)
    for node in PAIR:
        wait_until(lambda node=node: {one["state"] for one in devices(node).values()} == {"ready"}, f"{node} is ready")
        assert status(node)["leases"] == [] and former[node] == set(devices(node))


@pytest.mark.parametrize("pool", [CLOUD, PORTS])
def test_12_the_same_pods_with_another_back_end(story, pool):
    playbook("site", *CLUSTER, *spec(pool), timeout=3600).must_pass()
    for node in PAIR:
        assert allocatable(node)[pool] == ("2" if pool == CLOUD else "4")
    made = run_pods(pool)
    exchange_all(made)
    playbook("verify", *CLUSTER, *spec(pool)).must_pass()
    remove_pods(pool)


def test_13_ports_are_gone_with_their_pods(story):
    for node in PAIR:
        assert ssh(node, "ovs-vsctl --timeout=20 list-ports br-fp").split() == ["dpdk0"]


def test_14_after_a_power_cut_pods_find_their_sockets(story):
    """The mount of the sockets is there before the kubelet, and nothing that a former boot left is believed."""
    playbook("site", *CLUSTER, *spec(VDPA), timeout=3600).must_pass()
    lab("reset", PAIR[0], timeout=900)
    wait_until(lambda: "nosymfollow" in ssh(PAIR[0], "findmnt -no OPTIONS /run/vdpa"), "the mount", 300)
    wait_until(lambda: allocatable(PAIR[0]).get(VDPA) == "2", "VFs are offered", 600)
    wait_until(lambda: {one["state"] for one in devices(PAIR[0]).values()} == {"ready"}, "sockets", 300)
    story["pods"] = run_pods(VDPA)
    exchange_all(story["pods"])
    remove_pods(VDPA)


def test_15_teardown_leaves_all_as_it_was(story):
    playbook("teardown", *CLUSTER, *spec(VDPA), timeout=3600).must_pass()
    wait_until(lambda: difference(story["objects"], objects()) == [], "the cluster is as before")
    for node in PAIR:
        assert allocatable(node) == {}
        lines = difference(story["start"][node], fingerprint(node))
        # Debian's packages never take the user away again that they made for their service.
        assert [line for line in lines if not re.match(r"/files//etc/(passwd|group|shadow|gshadow)-?: ", line)] == []
