# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A request of a runtime through the shim and the agent, against other ways to start a plugin in Python.

Peers are a process that only imports what the plugins need (it does none of the work), the interpreter alone, and as
the floor a reference plugin in Go that only says its version. All are timed in turn; medians are compared, and what 99
of 100 need less than. Pools and the API are stand-ins: neither has to do with it.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

importlib.import_module("conftest")
import go_programs  # noqa: E402
from ansible_collections.nfv.fastpath.plugins.plugin_utils._agent_tree import agent_tree  # noqa: E402
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node  # noqa: E402
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (  # noqa: E402
    CONTAINER,
    NAMESPACE,
    NETNS,
    POD,
    UID,
    pod,
    vdpa_conf,
)
from fastpath_agent.cni.installer import Installer, render  # noqa: E402
from fastpath_agent.cni_server import CniServer  # noqa: E402

ROUNDS = 100
PEERS = (
    ("imports", "a process that imports the plugins", 0.25),
    ("python", "the interpreter alone", 3.0),
    ("go", "a plugin in Go that does nothing", 15.0),
)
IMPORTS = "import sys; sys.path.insert(0, {tree!r}); import fastpath_agent.cni.dispatch, fastpath_agent.cni.toolbox"


def timed(argv: list[str], stdin: str, environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, input=stdin.encode(), env=environment, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(argv[:2])}: {(done.stdout or done.stderr).decode()[-400:]}")
    return seconds


def request(command: str) -> dict[str, str]:
    return {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": CONTAINER,
        "CNI_NETNS": NETNS,
        "CNI_IFNAME": "net1",
        "CNI_ARGS": f"K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={POD};K8S_POD_UID={UID}",
        "CNI_PATH": "/opt/cni/bin",
    }


def write_tree(folder: Path) -> Path:
    """The agent as it is in its image."""
    for path, text in agent_tree().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def measure(folder: Path) -> Iterator[dict[str, object]]:
    node = Node(folder / "node")
    node.pods.put(pod())
    socket = str(folder / "s/cni.sock")
    server = CniServer(node.dispatcher.answer, socket, frozenset((os.getuid(),)))
    server.start()
    Installer(str(folder / "bin"), render("bench", socket, sys.executable)).install()
    shim, conf = [str(folder / "bin/vdpa")], json.dumps(vdpa_conf())
    conf_version = vdpa_conf()["cniVersion"]
    python = [sys.executable, "-IS", "-c"]
    importing = [*python, IMPORTS.format(tree=str(write_tree(folder / "tree")))]
    timed(importing, "", {})
    floor = [str(go_programs.cni_plugin("host-device"))]
    asked = json.dumps({"cniVersion": conf_version})
    times: dict[str, list[float]] = {"ours": [], "imports": [], "python": [], "go": []}
    for _round in range(ROUNDS):
        times["ours"].append(sum(timed(shim, conf, request(command)) for command in ("ADD", "DEL")) / 2)
        times["imports"].append(timed(importing, "", {}))
        times["python"].append(timed([*python, "pass"], "", {}))
        times["go"].append(timed(floor, asked, {"CNI_COMMAND": "VERSION"}))
    server.stop()
    yield from rows(times)


def rows(times: dict[str, list[float]]) -> Iterator[dict[str, object]]:
    """The slowest of a hundred may be slower by what else the machine did."""
    middle = {name: statistics.median(values) for name, values in times.items()}
    slow = {name: statistics.quantiles(values, n=100, method="inclusive")[-1] for name, values in times.items()}
    for ending, found, more in (("", middle, 1), (", p99", slow, 2)):
        for peer, words, limit in PEERS:
            row = {"name": f"CNI request through shim and agent{ending}", "ours": found["ours"], "peer": found[peer]}
            yield {**row, "peer_is": words, "limit": limit * more}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    try:
        for row in measure(folder):
            print(json.dumps(row))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
