# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""12 keys, a bridge and 4 ports on a node of the lab, over ssh: one task of ours, and a task for each."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import ovs_peer
from bench_ovs import PORTS, SPEC, TEXTS, row
from plays import LAB, Tasks, run, task_seconds

NODE = "node1"
ROUNDS = 3
LIMIT = 0.1
INSTALL = "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install"
# As it was: without the bridge, the keys, and what the role remembers.
CLEAN = (
    "ovs-vsctl --timeout=20 --if-exists del-br br0 -- clear Open_vSwitch . other_config;"
    " rm -f /etc/fastpath/ovs_dpdk.json /var/lib/fastpath/ovs_dpdk.json"
)


def on_node(command: str) -> str:
    return run([LAB, "ssh", NODE, command])


def measured(folder: Path, plays: dict[str, Tasks]) -> dict[str, float]:
    """Median seconds by play, in turns; the first turn only fills memory and caches."""
    path = ovs_peer.collections_path()
    seconds: dict[str, list[float]] = {name: [] for name in plays}
    for _turn in range(ROUNDS + 1):
        for name, tasks in plays.items():
            on_node(CLEAN)
            seconds[name].append(task_seconds(tasks, folder, NODE, (), ANSIBLE_COLLECTIONS_PATH=path))
            if on_node("ovs-vsctl --timeout=20 list-ports br0").split() != [port["name"] for port in PORTS]:
                sys.exit(f"{name}: the ports were not made")
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def main() -> None:
    run([LAB, "restore", NODE])
    on_node(f"{INSTALL} openvswitch-switch")
    plays: dict[str, Tasks] = {
        "ours": [{"nfv.fastpath.ovs_dpdk": {"spec": SPEC}}],
        "modules": ovs_peer.by_modules(TEXTS, PORTS),
        "commands": ovs_peer.by_commands(TEXTS, PORTS),
    }
    try:
        with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
            found = measured(Path(name), plays)
    finally:
        run([LAB, "restore", NODE])
    for peer, told in (("modules", ovs_peer.MODULES), ("commands", ovs_peer.COMMANDS)):
        row("12 keys, a bridge, 4 ports, on a node", found["ours"], found[peer], told, LIMIT)


if __name__ == "__main__":
    main()
