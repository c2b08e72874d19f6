# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seven pods at a time on an emulated node, with a VF and an address each, against the same pods without.

Both kinds of rounds take turns in one run. A round starts its pods, waits until all are ready, and ends when all are
gone; after the last one every VF, network namespace and address has to be back. FASTPATH_BENCH_ROUNDS sets how many
have VFs (3; 20 by ``make bench-pods``). Nodes are fresh again afterwards.
"""

from __future__ import annotations

import contextlib
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
IGB = {"vendor": "8086", "device": "10c9", "numa_node": 1}
SPEC: dict[str, Any] = {
    "fastpath_sriov": [{"pf": IGB, "num_vfs": VFS, "vfs": [{"indexes": "0-6", "driver": "kernel", "pool": "igb"}]}],
    "fastpath_hugepages": [],
    "fastpath_kernel_args": {},
    "fastpath_networks": [
        {"name": "fast", "type": "sriov", "pool": "igb", "ipam": {"type": "whereabouts", "range": "192.0.2.0/24"}}
    ],
}


def traces() -> dict[str, Any]:
    """What pods may leave behind on the node and in the cluster."""
    pools = get("ippools.whereabouts.cni.cncf.io", "--all-namespaces")["items"]
    return {
        "interfaces": sorted(ssh(NODE, "ls /sys/class/net").split()),
        "namespaces": ssh(NODE, "ls /run/netns | wc -l").strip(),
        "addresses of the default network": sorted(ssh(NODE, "ls /var/lib/cni/networks/lab").split()),
        "addresses": [pool["spec"]["allocations"] for pool in pools if pool["spec"].get("allocations")],
        "VFs kept by the plugin": ssh(NODE, "ls /var/lib/cni/sriov 2>/dev/null | grep -c : || true").strip(),
    }


def round_seconds(networks: str, devices: dict[str, int]) -> float:
    started = time.monotonic()
    start([pod(f"bench-{number}", NODE, networks, devices) for number in range(VFS)], 600)
    names = [f"bench-{number}" for number in range(VFS)]
    kubectl("delete", "pod", *names, "--wait", "--timeout=300s", timeout=360)
    return time.monotonic() - started


def measured() -> tuple[list[float], list[float]]:
    """Seconds of every round, with VFs and without."""
    playbook("site", *CLUSTER, "--limit", NODE, *with_spec(**SPEC), timeout=2400).must_pass()
    assert allocatable(NODE) == {"igb": str(VFS)}
    # The first round makes what stays, such as the bridge of the default network.
    round_seconds("fast", {"igb": 1})
    before = traces()
    ours, peer = [], []
    for number in range(ROUNDS):
        ours.append(round_seconds("fast", {"igb": 1}))
        if number % TURN == 0:
            peer.append(round_seconds("", {}))
        pace = f"{VFS * 60 / ours[-1]:.1f} pods a minute with a VF, {VFS * 60 / peer[-1]:.1f} without"
        print(f"round {number + 1} of {ROUNDS}: {pace}", file=sys.stderr, flush=True)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: traces() == before, "nothing is left behind", 60)
    after = traces()
    assert after == before, f"left behind: {before} before, {after} after"
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
