# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""20 objects on the lab's API server, which needs no nodes for it: one task of ours, and a task for each."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from plays import CHECKOUT, LAB, Tasks, run, task_seconds

KUBECONFIG = str(CHECKOUT / ".lab/kubeconfig")
OBJECTS = 20
ROUNDS = 3
LIMIT = 1 / 5


def definitions(turn: str) -> Tasks:
    """Objects that differ from turn to turn, so that each has something to write."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"bench-{number:02}", "namespace": "default"},
            "data": {"turn": turn},
        }
        for number in range(OBJECTS)
    ]


def one_task(turn: str) -> Tasks:
    options = {"kubeconfig": KUBECONFIG, "component": "bench", "objects": definitions(turn)}
    return [{"nfv.fastpath.cluster_objects": options}]


def task_for_each(turn: str) -> Tasks:
    options = {"kubeconfig": KUBECONFIG, "apply": True}
    return [{"kubernetes.core.k8s": {**options, "definition": one}} for one in definitions(turn)]


def remove() -> None:
    names = [one["metadata"]["name"] for one in definitions("")]
    run([LAB, "kubectl", "delete", "configmap", "--ignore-not-found", *names])


def must_say(turn: str) -> None:
    said = run([LAB, "kubectl", "get", "configmap", "-o", "jsonpath={.items[*].data.turn}"]).split()
    if said.count(turn) != OBJECTS:
        sys.exit(f"{said.count(turn)} objects instead of {OBJECTS} say {turn}")


def measured(folder: Path) -> dict[str, float]:
    """Median seconds to bring 20 objects about that were not there; the first turn only fills memory."""
    plays = {"ours": one_task, "peer": task_for_each}
    seconds: dict[str, list[float]] = {name: [] for name in plays}
    for turn in range(ROUNDS + 1):
        for name, tasks in plays.items():
            remove()
            seconds[name].append(task_seconds(tasks(f"{name}-{turn}"), folder))
            must_say(f"{name}-{turn}")
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def main() -> None:
    run([LAB, "control-plane", "up"])
    try:
        with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
            found = measured(Path(name))
    finally:
        remove()
    told = {"peer_is": f"{OBJECTS} tasks of kubernetes.core.k8s", "limit": LIMIT}
    print(json.dumps({"name": f"{OBJECTS} objects of a cluster", **found, **told}))


if __name__ == "__main__":
    main()
