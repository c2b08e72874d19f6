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
import tempfile
from pathlib import Path

from plays import Tasks, task_seconds

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
NODE = "node1"
ON_THE_NODE = (Path(__file__).resolve().parent / "vfs_on_the_node.py").read_text()
PF = {"vendor": "8086", "device": "10c9", "numa_node": 1}
SPEC = [{"pf": PF, "num_vfs": 7, "vfs": [{"indexes": "0-6", "driver": "vfio-pci"}]}]
UNDO = "for f in /sys/bus/pci/devices/*/sriov_numvfs; do echo 0 > $f; done; rm -rf /etc/fastpath /var/lib/fastpath"
TASKS = 3


def lab(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(
        [LAB, *argv], cwd=CHECKOUT, input=stdin, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        sys.exit(f"lab {' '.join(argv)}: {done.stdout}{done.stderr}")
    return done.stdout


def in_turns(folder: Path, plays: dict[str, Tasks]) -> dict[str, float]:
    """Median seconds by play."""
    seconds: dict[str, list[float]] = {name: [] for name in plays}
    for _round in range(TASKS):
        for name, tasks in plays.items():
            lab("ssh", NODE, UNDO)
            seconds[name].append(task_seconds(tasks, folder, NODE, ()))
    return {name: statistics.median(found) for name, found in seconds.items()}


def row(name: str, ours: float, peer: float, peer_is: str, limit: float) -> None:
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "peer_is": peer_is, "limit": limit}))


def main() -> None:
    lab("up", NODE)
    lab("restore", NODE)
    with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
        folder = Path(name)
        task_seconds([{"nfv.fastpath.boot_engine": {"state": "present"}}], folder, NODE, ())
        measured = json.loads(lab("ssh", NODE, "python3 -", stdin=ON_THE_NODE))
        tasks = {key: [{"nfv.fastpath.sriov": {"spec": spec}}] for key, spec in (("empty", []), ("whole", SPEC))}
        found = in_turns(folder, tasks)
    bare, engine = statistics.median(measured["bare"]), statistics.median(measured["engine"])
    row("0 to 7 igb VFs on vfio-pci, on the node", engine, bare, "bare writes to sysfs, autoprobe off", 1.3)
    expected = engine + found["empty"]
    row("the same as an Ansible task", found["whole"], expected, "the engine's time and a task with nothing to do", 1.0)
    lab("restore", NODE)


if __name__ == "__main__":
    main()
