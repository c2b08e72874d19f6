# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""64 VFs on a made-up tree of sysfs: one task for all of them against a task file that loops over VFs.

Both run through ansible-playbook with a local connection. The loop is the usual kind, one module run for each VF and
step: read its driver, write its override, hand it to the driver. The one task does that and more: it makes the VFs,
sets a VLAN, keeps a record and looks whether all was kept. Both times are without an empty play.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
VFS = 64
LIMIT = 1 / 20
ONE_TASK = CHECKOUT / "tests/benchmarks/sriov_on_a_tree.py"

LOOP: list[dict[str, Any]] = [
    {
        "name": "Look at the driver of each VF",
        "ansible.builtin.stat": {"path": "{{ tree }}/sys/bus/pci/devices/{{ item }}/driver"},
        "loop": "{{ vfs }}",
        "register": "drivers",
    },
    {
        "name": "Set the override of each VF",
        "ansible.builtin.copy": {
            "dest": "{{ tree }}/sys/bus/pci/devices/{{ item }}/driver_override",
            "content": "vfio-pci\n",
            "mode": "0644",
        },
        "loop": "{{ vfs }}",
    },
    {
        "name": "Bind each VF",
        "ansible.builtin.command": {
            "argv": ["cp", "/dev/null", "{{ tree }}/sys/bus/pci/drivers/vfio-pci/bind"],
        },
        "loop": "{{ vfs }}",
        "changed_when": True,
    },
]


def play(folder: Path, name: str, tasks: list[dict[str, Any]], variables: dict[str, Any]) -> float:
    """Seconds of a play; its library holds the one task's module."""
    path = folder / f"{name}.json"
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}]
    path.write_text(json.dumps(plays))
    environment = {
        **os.environ,
        "ANSIBLE_LIBRARY": str(folder / "library"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
    }
    argv = [shutil.which("ansible-playbook") or "ansible-playbook", str(path)]
    started = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - started


def main() -> None:
    sys.path.insert(0, str(CHECKOUT / "tests"))
    import conftest  # noqa: F401
    from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode

    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as name:
        folder = Path(name)
        (folder / "library").mkdir()
        (folder / "ansible.cfg").touch()
        (folder / "library/sriov_on_a_tree.py").write_text("#!/usr/bin/python\n" + ONE_TASK.read_text())
        node = FakeNode(folder / "tree")
        node.load("vfio_pci")
        pf = node.add_pf(total=VFS)
        node.write_attribute("/sys/bus/pci/devices/0000:81:00.0/sriov_drivers_autoprobe", "0")
        node.write_attribute("/sys/bus/pci/devices/0000:81:00.0/sriov_numvfs", str(VFS))
        variables = {"tree": node.root, "vfs": pf.vfs}
        one = [{"name": "All VFs", "sriov_on_a_tree": {"checkout": str(CHECKOUT), "vfs": VFS}}]
        empty = play(folder, "empty", [], variables)
        ours = play(folder, "one", one, variables) - empty
        peer = play(folder, "loop", LOOP, variables) - empty
    row = {
        "name": f"{VFS} VFs on a made-up tree, as tasks",
        "ours": ours,
        "peer": peer,
        "peer_is": "a task file that loops over VFs",
        "limit": LIMIT,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
