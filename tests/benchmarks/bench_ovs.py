# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""12 keys, a bridge and 4 ports in Open vSwitch's database: one task of ours, and a task for each.

Both run through ansible-playbook on this machine, against an Open vSwitch that the benchmark starts in a folder and a
network namespace of its own; its packages are fetched where they are not installed. Both wait for ovs-vswitchd.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import ovs_peer
from plays import Tasks, task_seconds

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / ".build/collections"))

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge  # noqa: E402
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern  # noqa: E402
from ansible_collections.nfv.fastpath.tests.ovs_sandbox import Sandbox, make_sandbox  # noqa: E402

ROUNDS = 5
LIMIT = 0.1
# What the database keeps of a transaction of ours.
COMMENT = "nfv.fastpath"
KEYS = {
    "max-idle": 30000,
    "max-revalidator": 1000,
    "flow-limit": 100000,
    "n-handler-threads": 2,
    "n-revalidator-threads": 2,
    "pmd-rxq-assign": "group",
    "pmd-auto-lb": True,
    "pmd-auto-lb-load-threshold": 90,
    "tx-flush-interval": 50,
    "emc-insert-inv-prob": 50,
    "smc-enable": True,
    "vlan-limit": 2,
}
PORTS = [{"name": f"tap{number}", "type": "internal", "tag": number} for number in range(1, 5)]
TEXTS = {key: str(value).lower() for key, value in KEYS.items()}
SPEC = {"other_config": KEYS, "bridges": [{"name": "br0", "ports": PORTS}]}
# The module as it is, with the sandbox in place of the node; its action plugin is linked beside it.
MODULE = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host, _run
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern

def answer(argv, timeout, stdin):
    return Completed(0, "", "") if argv[0] == "systemctl" else _run(argv, timeout, stdin)

def main():
    module = AnsibleModule(argument_spec={{"spec": {{"type": "raw"}}, **STATE_OPTIONS}}, supports_check_mode=True)
    run_concern(module, OvsDpdkConcern(Host({root!r}, answer)), module.params["spec"])

main()
"""


def in_plays(sandbox: Sandbox, folder: Path, plays: Mapping[str, Tasks]) -> dict[str, float]:
    """The median of each, in turns, so that all meet the same noise; the first turn only fills memory."""
    seconds: dict[str, list[float]] = {name: [] for name in plays}
    for _turn in range(ROUNDS + 1):
        for name, tasks in plays.items():
            clean(sandbox)
            seconds[name].append(in_sandbox(sandbox, folder, tasks))
            if sandbox.vsctl("list-ports", "br0").split() != [port["name"] for port in PORTS]:
                sys.exit(f"{name}: the ports were not made")
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def in_sandbox(sandbox: Sandbox, folder: Path, tasks: Tasks) -> float:
    plugins = {"ANSIBLE_LIBRARY": str(folder / "library"), "ANSIBLE_ACTION_PLUGINS": str(folder / "action")}
    plugins["ANSIBLE_COLLECTIONS_PATH"] = ovs_peer.collections_path()
    return task_seconds(tasks, folder, **sandbox.variables, **plugins)


def transactions(sandbox: Sandbox, folder: Path, tasks: Tasks) -> int:
    """How many it takes. ovs-vswitchd has its own, which say nothing about themselves."""
    counts = [sandbox.transactions(COMMENT)]
    clean(sandbox)
    for _run in range(2):
        in_sandbox(sandbox, folder, tasks)
        counts.append(sandbox.transactions(COMMENT))
    if counts[1] != counts[2]:
        sys.exit("a second run wrote to the database")
    return counts[1] - counts[0]


def clean(sandbox: Sandbox) -> None:
    sandbox.vsctl("--if-exists", "del-br", "br0", "--", "clear", "Open_vSwitch", ".", "other_config")
    for name in ("etc/fastpath/ovs_dpdk.json", "var/lib/fastpath/ovs_dpdk.json"):
        (sandbox.folder / name).unlink(missing_ok=True)


def row(name: str, ours: float, peer: float, peer_is: str, limit: float) -> None:
    print(json.dumps({"name": name, "ours": ours, "peer": peer, "peer_is": peer_is, "limit": limit}))


def on_the_node(sandbox: Sandbox, argvs: list[list[str]]) -> tuple[float, float]:
    """The engine in this process, and the bare commands one after another."""
    ours, bare = [], []
    for _round in range(ROUNDS):
        clean(sandbox)
        started = time.monotonic()
        converge(OvsDpdkConcern(sandbox), Request(SPEC))
        ours.append(time.monotonic() - started)
        clean(sandbox)
        started = time.monotonic()
        for argv in argvs:
            sandbox.real(argv)
        bare.append(time.monotonic() - started)
    return statistics.median(ours), statistics.median(bare)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fastpath-bench-") as name:
        folder = Path(name)
        sandbox = make_sandbox(folder / "node")
        for part in ("library", "action"):
            (folder / part).mkdir()
        (folder / "action/ovs_in_sandbox.py").symlink_to(CHECKOUT / "plugins/action/ovs_dpdk.py")
        (folder / "library/ovs_in_sandbox.py").write_text(MODULE.format(root=str(sandbox.folder)))
        sandbox.start_server()
        sandbox.start_vswitchd()
        try:
            ours: Tasks = [{"ovs_in_sandbox": {"spec": SPEC}}]
            modules = ovs_peer.by_modules(TEXTS, PORTS, sandbox.socket)
            commands = ovs_peer.by_commands(TEXTS, PORTS, sandbox.socket)
            count = transactions(sandbox, folder, ours)
            found = in_plays(sandbox, folder, {"ours": ours, "modules": modules, "commands": commands})
            name = "12 keys, a bridge, 4 ports, on this machine"
            row(name, found["ours"], found["modules"], ovs_peer.MODULES, LIMIT)
            row(name, found["ours"], found["commands"], ovs_peer.COMMANDS, LIMIT)
            if count != 1:
                sys.exit(f"{count} transactions instead of one")
            engine, bare = on_the_node(sandbox, [task["ansible.builtin.command"]["argv"] for task in commands])
            row("the same on the node, checks included", engine, bare, f"{len(commands)} runs of ovs-vsctl", 2.0)
        finally:
            sandbox.stop()


if __name__ == "__main__":
    main()
