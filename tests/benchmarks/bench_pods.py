# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seven pods at a time on an emulated node, with a VF and an address each, against the same pods without.

Both kinds of rounds take turns in one run. A round starts its pods, waits until all are ready, and ends when all are
gone; after the last one every VF, network namespace and address has to be back, which the same look saw while pods had
them. FASTPATH_BENCH_ROUNDS sets how many have VFs (3; 20 by ``make bench-pods``). Nodes are fresh again afterwards.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests/integration"))

from cluster import CLUSTER, allocatable, get, kubectl, pod, start, wait_until  # noqa: E402
from nodes import lab, playbook, ssh, with_spec  # noqa: E402

NODE = "node1"
VFS = 7
ROUNDS = int(os.environ.get("FASTPATH_BENCH_ROUNDS", "3"))
# One without VFs after so many with.
TURN = max(1, ROUNDS // 5)
LIMIT = 2.0
# What a node without pods of its own has none of.
NOTHING_OF = ("namespaces", "addresses of the default network", "addresses", "VFs kept by the plugin")
IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}
SPEC: dict[str, Any] = {
    "fastpath_sriov": [{"pf": IGB, "num_vfs": VFS, "vfs": [{"indexes": "0-6", "driver": "kernel", "pool": "igb"}]}],
    "fastpath_hugepages": [],
    "fastpath_kernel_args": {},
    "fastpath_networks": [
        {"name": "fast", "type": "sriov", "pool": "igb", "ipam": {"type": "whereabouts", "range": "192.0.2.0/24"}}
    ],
}


def traces() -> dict[str, list[str]]:
    """What pods have on the node and in the cluster, and may leave behind. sriov-cni keeps a file for each VF."""
    pools = get("ippools.whereabouts.cni.cncf.io", "--all-namespaces")["items"]
    return {
        "interfaces": ssh(NODE, "ls /sys/class/net").split(),
        "namespaces": ssh(NODE, "ls /run/netns").split(),
        "addresses of the default network": ssh(NODE, "find /var/lib/cni/networks/lab -name '*.*.*.*'").split(),
        "addresses": [str(one) for pool in pools for one in (pool["spec"].get("allocations") or {}).values()],
        "VFs kept by the plugin": ssh(NODE, "find /var/lib/cni -path '*/sriov/pci/0*'").split(),
    }


def run_pods(networks: str, devices: dict[str, int]) -> list[str]:
    names = [f"bench-{number}" for number in range(VFS)]
    start([pod(name, NODE, networks, devices) for name in names], 600)
    return names


def remove_pods(names: list[str]) -> None:
    kubectl("delete", "pod", *names, "--wait", "--timeout=300s", timeout=360)


def round_seconds(networks: str, devices: dict[str, int]) -> float:
    started = time.monotonic()
    remove_pods(run_pods(networks, devices))
    return time.monotonic() - started


def interfaces_without_pods() -> list[str]:
    """Pods come and go once, which makes what stays, such as a bridge. While they are there, they are to be seen."""
    first = run_pods("fast", {"igb": 1})
    seen = traces()
    for what in NOTHING_OF:
        assert len(seen[what]) == VFS, f"{VFS} pods have {what}: {seen[what]}"
    remove_pods(first)
    nothing_is_left()
    without = traces()["interfaces"]
    # Each pod has a VF of the node, and the other end of a pair is on it.
    vfs, pairs = set(without) - set(seen["interfaces"]), set(seen["interfaces"]) - set(without)
    assert (len(vfs), len(pairs)) == (VFS, VFS), f"{without} without pods, {seen['interfaces']} with {VFS}"
    return without


def nothing_is_left(interfaces: list[str] | None = None) -> None:
    left: dict[str, list[str]] = {}

    def gone() -> bool:
        left.clear()
        left.update(traces())
        same = interfaces is None or left["interfaces"] == interfaces
        return same and not any(left[what] for what in NOTHING_OF)

    try:
        wait_until(gone, "nothing is left behind", 60)
    except AssertionError as late:
        raise AssertionError(f"left behind: {left}; interfaces were {interfaces}") from late


def measured() -> tuple[list[float], list[float]]:
    """Seconds of every round, with VFs and without."""
    playbook("site", *CLUSTER, "--limit", NODE, *with_spec(**SPEC), timeout=2400).must_pass()
    assert allocatable(NODE) == {"igb": str(VFS)}
    interfaces = interfaces_without_pods()
    ours, peer = [], []
    for number in range(ROUNDS):
        ours.append(round_seconds("fast", {"igb": 1}))
        if number % TURN == 0:
            peer.append(round_seconds("", {}))
        pace = f"{VFS * 60 / ours[-1]:.1f} pods a minute with a VF, {VFS * 60 / peer[-1]:.1f} without"
        print(f"round {number + 1} of {ROUNDS}: {pace}", file=sys.stderr, flush=True)
    nothing_is_left(interfaces)
    return ours, peer


def main() -> None:
    lab("members", NODE, timeout=3600)
    try:
        ours, peer = measured()
    finally:
        lab("up", timeout=3600)
    seconds, plain = statistics.median(ours), statistics.median(peer)
    told = f"the same without VFs; {VFS * 60 / seconds:.1f} pods a minute against {VFS * 60 / plain:.1f}; nothing left"
    row = {"name": f"{VFS} pods with a VF each, {ROUNDS} times", "ours": seconds, "peer": plain}
    print(json.dumps({**row, "peer_is": told, "limit": LIMIT}))


if __name__ == "__main__":
    main()
