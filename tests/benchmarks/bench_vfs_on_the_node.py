# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""On an emulated node: 0 to 7 igb VFs, all bound to vfio-pci, by the engine and by bare writes to sysfs.

Rounds alternate in one process on the node. Then the whole Ansible task against that time plus an empty task.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
NODE = "node1"
ON_THE_NODE = (Path(__file__).resolve().parent / "vfs_on_the_node.py").read_text()
PLAY = """
- hosts: {node}
  gather_facts: false
  tasks: {tasks}
"""
PF = '{"vendor": "8086", "device": "10c9", "numa_node": 1}'
SPEC = f'[{{"pf": {PF}, "num_vfs": 7, "vfs": [{{"indexes": "0-6", "driver": "vfio-pci"}}]}}]'
TASKS = 3


def lab(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(
        [LAB, *argv], cwd=CHECKOUT, input=stdin, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        sys.exit(f"lab {' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


def play_seconds(tasks: str) -> float:
    path = CHECKOUT / ".lab/bench.yml"
    path.write_text(PLAY.format(node=NODE, tasks=tasks))
    started = time.monotonic()
    argv = ["ansible-playbook", str(path)]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - started


def task_seconds(task: str, undo: str) -> float:
    """One task's own time: a play with it less a play without, the connection being warm in both."""
    times = []
    for _round in range(TASKS):
        lab("ssh", NODE, undo)
        base = play_seconds("[]")
        times.append(play_seconds(f"[{task}]") - base)
    return statistics.median(times)


def row(name: str, ours: float, peer: float, peer_is: str, limit: float) -> None:
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "peer_is": peer_is, "limit": limit}))


def main() -> None:
    lab("up", NODE)
    lab("restore", NODE)
    install = "{nfv.fastpath.boot_engine: {state: present}}"
    play_seconds(f"[{install}]")
    measured = json.loads(lab("ssh", NODE, "python3 -", stdin=ON_THE_NODE))
    bare, engine = statistics.median(measured["bare"]), statistics.median(measured["engine"])
    row("0 to 7 igb VFs on vfio-pci, on the node", engine, bare, "bare writes to sysfs, autoprobe off", 1.3)
    undo = "for f in /sys/bus/pci/devices/*/sriov_numvfs; do echo 0 > $f; done; rm -rf /etc/fastpath /var/lib/fastpath"
    empty = task_seconds("{nfv.fastpath.sriov: {spec: []}}", undo)
    whole = task_seconds(f"{{nfv.fastpath.sriov: {{spec: {SPEC}}}}}", undo)
    row("the same as an Ansible task", whole, engine + empty, "the engine's time and a task with nothing to do", 1.0)
    lab("restore", NODE)


if __name__ == "__main__":
    main()
