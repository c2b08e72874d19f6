# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""12 keys, a bridge and 4 ports on a node of the lab, over ssh: one task of ours, and a task for each."""

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

from bench_ovs import BEGIN, PORTS, SPEC, peer_tasks, row

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
NODE = "node1"
ROUNDS = 3
LIMIT = 0.1
INSTALL = "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install"
# As it was: without the bridge, the keys, and what the role remembers.
CLEAN = (
    "ovs-vsctl --timeout=20 --if-exists del-br br0 -- clear Open_vSwitch . other_config;"
    " rm -f /etc/fastpath/ovs_dpdk.json /var/lib/fastpath/ovs_dpdk.json"
)
Tasks = list[dict[str, Any]]


def run(argv: list[str]) -> str:
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def on_node(command: str) -> str:
    return run([LAB, "ssh", NODE, command])


def play_seconds(folder: Path, tasks: Tasks) -> float:
    path = folder / "play.yml"
    path.write_text(json.dumps([{"hosts": NODE, "gather_facts": False, "tasks": tasks}]))
    started = time.monotonic()
    run(["ansible-playbook", str(path)])
    return time.monotonic() - started


def measured(folder: Path, plays: dict[str, Tasks]) -> dict[str, float]:
    """Median seconds by play, in turns; the first turn only fills memory and caches."""
    seconds: dict[str, list[float]] = {name: [] for name in plays}
    for _turn in range(ROUNDS + 1):
        for name, tasks in plays.items():
            on_node(CLEAN)
            seconds[name].append(play_seconds(folder, tasks))
            made = "" if name == "nothing" else on_node("ovs-vsctl --timeout=20 list-ports br0")
            if name != "nothing" and made.split() != [port["name"] for port in PORTS]:
                sys.exit(f"{name}: the ports were not made")
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def main() -> None:
    os.environ["ANSIBLE_CONFIG"] = str(CHECKOUT / "ansible.cfg")
    run([LAB, "restore", NODE])
    on_node(f"{INSTALL} openvswitch-switch")
    peer = peer_tasks()
    ours: Tasks = [{"nfv.fastpath.ovs_dpdk": {"spec": SPEC}}]
    plays = {"nothing": BEGIN, "ours": BEGIN + ours, "peer": BEGIN + peer}
    try:
        with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
            found = measured(Path(name), plays)
    finally:
        run([LAB, "restore", NODE])
    seconds, peer_seconds = (found[name] - found["nothing"] for name in ("ours", "peer"))
    row("12 keys, a bridge, 4 ports, on a node", seconds, peer_seconds, f"{len(peer)} tasks of ovs-vsctl", LIMIT)


if __name__ == "__main__":
    main()
