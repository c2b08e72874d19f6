# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs Molecule's scenarios on the lab, each on one node and two at a time: an emulated node keeps one core busy.

Usage: ``molecule.py [SCENARIO...]``; without a scenario, all of them. A scenario's output goes to
``.lab/log/molecule/SCENARIO.log`` and is shown when it failed. Scenarios with a cluster have the whole of it, so they
run one after the other, all on the first node.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bounded

CHECKOUT = Path(__file__).resolve().parents[2]
LOG = CHECKOUT / ".lab/log/molecule"
NODES = ("node1", "node2")
LAB = str(CHECKOUT / "tests/lab/lab")
# What starts a control plane: a scenario that names one of them has a cluster.
CLUSTER = ("molecule/default/cluster.yml", "molecule/default/member.yml", "../default/cluster.yml")
# Started first, so that no node waits for the other at the end.
LONG = ("ovs_dpdk", "boot_engine", "dpdk")
LIMIT_SECONDS = 1500


def scenarios() -> list[str]:
    """All but the one that owns the nodes."""
    names = {path.parent.name for path in CHECKOUT.glob("molecule/*/molecule.yml")} - {"default"}
    return sorted(names, key=lambda name: (LONG.index(name) if name in LONG else len(LONG), name))


def has_cluster(scenario: str) -> bool:
    texts = [path.read_text() for path in CHECKOUT.glob(f"molecule/{scenario}/*.yml")]
    return any(playbook in text for playbook in CLUSTER for text in texts)


def passes(scenario: str, node: str) -> bool:
    """Run one scenario on a node. The nodes stay up, and nothing that an interrupted run left is believed."""
    state = CHECKOUT / ".lab/molecule" / node
    if state.exists():
        shutil.rmtree(state)
    environment = {**os.environ, "FASTPATH_NODE": node, "MOLECULE_EPHEMERAL_DIRECTORY": str(state)}
    molecule = str(Path(sys.executable).parent / "molecule")
    log = LOG / f"{scenario}.log"
    with log.open("w") as output:
        command = [molecule, "test", "--destroy=never", "-s", scenario]
        code = bounded.run(command, CHECKOUT, output, LIMIT_SECONDS, environment)
    if code:
        print(log.read_text(errors="replace")[-10000:], flush=True)
    return code == 0


def work(node: str, *lots: queue.SimpleQueue[str]) -> list[bool]:
    """Run what waits until nothing does, one lot after the other."""
    results = []
    for waiting in lots:
        while True:
            try:
                scenario = waiting.get_nowait()
            except queue.Empty:
                break
            started = time.monotonic()
            results.append(passes(scenario, node))
            word = "ok" if results[-1] else "FAILED"
            print(f"{scenario:18} {node} {time.monotonic() - started:6.0f} s  {word}", flush=True)
    return results


def queued(names: list[str]) -> queue.SimpleQueue[str]:
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)
    return waiting


def main(names: list[str]) -> int:
    LOG.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    chosen = names or scenarios()
    of_cluster = [name for name in chosen if has_cluster(name)]
    others = queued([name for name in chosen if name not in of_cluster])
    lots = {NODES[0]: (queued(of_cluster), others), NODES[1]: (others,)}
    with ThreadPoolExecutor(max_workers=len(NODES)) as pool, bounded.interruptible():
        results = [result for batch in pool.map(lambda node: work(node, *lots[node]), NODES) for result in batch]
    if of_cluster:
        subprocess.run([LAB, "control-plane", "down"], check=True)
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed in {time.monotonic() - started:.1f}s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
