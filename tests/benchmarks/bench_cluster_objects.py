# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""20 objects on the lab's API server, which needs no nodes for it: one task of ours, and a task for each."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
KUBECONFIG = str(CHECKOUT / ".lab/kubeconfig")
OBJECTS = 20
ROUNDS = 3
LIMIT = 1 / 5
Tasks = list[dict[str, Any]]


def run(argv: list[str]) -> str:
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


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


def play_seconds(folder: Path, tasks: Tasks) -> float:
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    path = folder / "play.yml"
    path.write_text(json.dumps(play))
    started = time.monotonic()
    run(["ansible-playbook", "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", str(path)])
    return time.monotonic() - started


def remove() -> None:
    names = [one["metadata"]["name"] for one in definitions("")]
    run([LAB, "kubectl", "delete", "configmap", "--ignore-not-found", *names])


def must_say(turn: str) -> None:
    said = run([LAB, "kubectl", "get", "configmap", "-o", "jsonpath={.items[*].data.turn}"]).split()
    if said.count(turn) != OBJECTS:
        sys.exit(f"{said.count(turn)} objects instead of {OBJECTS} say {turn}")


def measured(folder: Path) -> tuple[float, float]:
    """Median seconds to bring 20 objects about that were not there, less those of a play with one empty task."""
    begin: Tasks = [{"ansible.builtin.ping": {}}]
    seconds: dict[str, list[float]] = {"nothing": [], "ours": [], "peer": []}
    for turn in range(ROUNDS):
        seconds["nothing"].append(play_seconds(folder, begin))
        for name, tasks in (("ours", one_task), ("peer", task_for_each)):
            remove()
            seconds[name].append(play_seconds(folder, begin + tasks(f"{name}-{turn}")))
            must_say(f"{name}-{turn}")
    nothing = statistics.median(seconds["nothing"])
    return statistics.median(seconds["ours"]) - nothing, statistics.median(seconds["peer"]) - nothing


def main() -> None:
    os.environ["ANSIBLE_CONFIG"] = str(CHECKOUT / "ansible.cfg")
    os.environ["ANSIBLE_LOCALHOST_WARNING"] = "false"
    run([LAB, "control-plane", "up"])
    try:
        with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
            ours, peer = measured(Path(name))
    finally:
        remove()
    told = {"peer_is": f"{OBJECTS} tasks of kubernetes.core.k8s", "limit": LIMIT}
    print(json.dumps({"name": f"{OBJECTS} objects of a cluster", "ours": ours, "peer": peer, **told}))


if __name__ == "__main__":
    main()
