# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rolling changes under running pods: a pool moves, both nodes reboot in turn, the API server is away, a node dies."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cluster import CLUSTER, allocatable, get, kubectl, pod, wait_until
from nodes import CHECKOUT, LAB, PAIR, boot_id, lab, must_be_running, playbook, ssh, with_spec

pytestmark = pytest.mark.slow
API_SECONDS, GAP_SECONDS = 60.0, 30.0
IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}


def vfs(for_dpdk: int) -> list[dict[str, Any]]:
    """Six VFs, the first ones for programs."""
    groups = [
        {"indexes": f"0-{for_dpdk - 1}", "driver": "vfio-pci", "pool": "igb_dpdk"},
        {"indexes": f"{for_dpdk}-5", "driver": "kernel", "pool": "igb_kernel"},
    ]
    return [{"pf": IGB, "num_vfs": 6, "vfs": groups}]


def spec(**changes):
    """Small pages alone, so that what reboots a node is said in the test."""
    pages = [{"size": "2M", "count": 64, "numa_node": 1}]
    return (*CLUSTER, *with_spec(**{"fastpath_sriov": vfs(2), "fastpath_hugepages": pages, **changes}))


def deployment(replicas: int) -> list[dict[str, Any]]:
    """Pods with a VF each, on different nodes where they can, of which one at least has to be ready."""
    template = pod("web", "", "fast", {"igb_kernel": 1})
    template["spec"].pop("nodeSelector")
    labels = {"app": "web"}
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    template["spec"]["affinity"] = {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": apart}]
        }
    }
    metadata = {"labels": labels, "annotations": template["metadata"]["annotations"]}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": metadata, "spec": template["spec"]},
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
        },
    ]


def ready_replicas() -> int:
    return int(get("deployment", "web")["status"].get("readyReplicas", 0))


def ready_pods() -> int:
    """How many pods are ready by the word of their kubelets, and are to stay.

    The condition of a pod is not that: a cluster that has heard nothing of a node for 50 s (node-monitor-grace-period)
    sets it to false, whatever the pod does.
    """
    stay = [item for item in get("pods", "-l", "app=web")["items"] if "deletionTimestamp" not in item["metadata"]]
    told = [item["status"].get("containerStatuses") for item in stay]
    return sum(all(container["ready"] for container in containers) for containers in told if containers)


def running_programs() -> int:
    """How many of the pods' programs run, seen on the nodes, at once; one that does not answer has none."""

    def on(node: str) -> int:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            return int(ssh(node, "pgrep -fc '^sleep 86400' || true", timeout=10))
        return 0

    with ThreadPoolExecutor(len(PAIR)) as pool:
        return sum(pool.map(on, PAIR))


class Watch:
    """Counts what is ready, all the time. While the API server does not answer nothing is seen: a gap."""

    def __init__(self, count: Callable[[], int] = ready_replicas) -> None:
        self.seen: list[tuple[float, int]] = []
        self.began = self.ended = 0.0
        self._count = count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._stop.wait(1.0):
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, json.JSONDecodeError):
                count = self._count()
                self.seen.append((time.monotonic(), count))

    def __enter__(self) -> Watch:
        self.began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._thread.join()
        self.ended = time.monotonic()

    def gap(self) -> float:
        """The longest time in which nothing was seen, from the beginning to the end."""
        moments = [self.began, *(moment for moment, _count in self.seen), self.ended]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))

    def must_have_seen(self, least: int, longest_gap: float) -> None:
        assert self.gap() < longest_gap, f"nothing was seen for {self.gap():.0f} s"
        few = [(round(moment - self.began), count) for moment, count in self.seen if count < least]
        assert not few, f"fewer than {least} after these seconds: {few}"


@contextlib.contextmanager
def running(name: str, *argv: str) -> Iterator[subprocess.Popen[str]]:
    """A playbook in the background; it is ended with its group where it has not ended itself."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    command = [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml", *argv]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGTERM)


@contextlib.contextmanager
def api_server_away(seconds: float) -> Iterator[None]:
    """It stands still, so that connections hang, as they do behind a broken network."""
    status = json.loads(
        subprocess.run([LAB, "control-plane", "status", "--json"], capture_output=True, check=True).stdout
    )
    (pid,) = status["processes"]["kube-apiserver"]
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def story(lab_is_up):
    lab("members", *PAIR, timeout=3600)
    playbook("site", *spec(), timeout=2400).must_pass()
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": deployment(2)}))
    wait_until(lambda: ready_replicas() == 2, "both pods are ready", 180)
    return {}


def test_1_a_pool_does_not_move_under_pods_without_consent(story):
    before = {node: allocatable(node) for node in PAIR}
    refused = playbook("site", *spec(fastpath_sriov=vfs(4)))
    refused.must_fail("fastpath_disruption_ok", "default/web-")
    assert {node: allocatable(node) for node in PAIR} == before and ready_replicas() == 2


def test_2_with_consent_pods_leave_and_come_back(story):
    with Watch() as watch:
        playbook("site", *spec(fastpath_sriov=vfs(4), fastpath_disruption_ok=True), timeout=2400).must_pass()
    watch.must_have_seen(1, longest_gap=GAP_SECONDS)
    for node in PAIR:
        assert allocatable(node) == {"igb_dpdk": "4", "igb_kernel": "2"}
        assert not get("node", node)["spec"].get("unschedulable")
    wait_until(lambda: ready_replicas() == 2, "both pods are ready", 180)


def test_3_nodes_reboot_one_by_one_while_the_api_server_is_away(story):
    ids = {node: boot_id(node) for node in PAIR}
    more = spec(
        fastpath_sriov=vfs(4),
        fastpath_disruption_ok=True,
        fastpath_hugepages=[{"size": "1G", "count": 1, "numa_node": 1, "default": True}],
    )
    with Watch(ready_pods) as ready, Watch(running_programs) as programs:
        with running("site", *more) as run:
            wait_until(lambda: get("node", PAIR[0])["spec"].get("unschedulable", False), "the first node is out", 600)
            with api_server_away(API_SECONDS):
                time.sleep(API_SECONDS)
            said = run.communicate(timeout=2400)[0]
        if run.returncode:
            playbook("site", *more, timeout=2400).must_pass()
    print(said[-3000:])
    programs.must_have_seen(1, longest_gap=GAP_SECONDS)
    ready.must_have_seen(1, longest_gap=API_SECONDS + GAP_SECONDS)
    for node in PAIR:
        assert boot_id(node) != ids[node]
        assert get("node", node)["status"]["allocatable"]["hugepages-1Gi"] == "1Gi"
    wait_until(lambda: ready_replicas() == 2, "both pods are ready", 180)


def test_4_a_node_that_dies_while_it_is_out_stays_out_until_the_next_run(story):
    back = {"fastpath_sriov": vfs(2), "fastpath_disruption_ok": True}
    with running("site", *spec(**back, fastpath_reboot_timeout=120)) as run:
        wait_until(lambda: get("node", PAIR[0])["spec"].get("unschedulable", False), "the first node is out", 600)
        lab("kill", PAIR[0])
        said = run.communicate(timeout=1200)[0]
    assert run.returncode != 0 and PAIR[0] in said
    node = get("node", PAIR[0])
    notes = node["metadata"]["annotations"]
    phase, reason = notes["nfv.fastpath/rollout"], notes["nfv.fastpath/rollout-reason"]
    assert node["spec"]["unschedulable"]
    # Ansible does nothing more on a host that it cannot reach: unless a task on the controller failed before, what was
    # written first stays.
    if phase == "out":
        assert "it reboots: " in reason and "the last one was cut off" in reason
    else:
        task, _colon, words = reason.partition(": ")
        assert (phase, task in said) == ("failed", True) and words
    assert not get("node", PAIR[1])["spec"].get("unschedulable")

    lab("start", PAIR[0])
    must_be_running(PAIR[0])
    playbook("site", *spec(**back), timeout=2400).must_pass()
    assert allocatable(PAIR[0]) == {"igb_dpdk": "2", "igb_kernel": "4"}
    assert "nfv.fastpath/rollout" not in get("node", PAIR[0])["metadata"].get("annotations", {})
    wait_until(lambda: ready_replicas() == 2, "both pods are ready", 180)
    assert ssh(PAIR[0], "true") == ""
