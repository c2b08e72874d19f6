# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent's gRPC face and its memory, against a least server of the same service in Go.

The agent is the program of its image, with one device whose DPDK is a script. One client in Go asks both in turn; the
agent's answers come through the socket that looks at who asks, as they do for everybody.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

importlib.import_module("conftest")
import go_programs  # noqa: E402
from ansible_collections.nfv.fastpath.plugins.plugin_utils._agent_tree import PROGRAM, agent_tree  # noqa: E402
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import is_socket, make_program, wait_for  # noqa: E402

ADDRESS = "0000:83:00.2"
ROUNDS, CALLERS, CALLS = 5, 4, 500
SECONDS = 60.0


def write_tree(folder: Path) -> Path:
    for path, text in agent_tree().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder / PROGRAM


def write_node(folder: Path) -> Path:
    """A device whose driver stays with the kernel, so that nothing else of the machine matters; the configuration."""
    device = folder / f"sys/bus/pci/devices/{ADDRESS}"
    device.mkdir(parents=True)
    (device / "uevent").write_text("DRIVER=mlx5_core\nPCI_CLASS=20000\nPCI_ID=15B3:101E\n")
    (device / "driver").symlink_to("../../drivers/mlx5_core")
    (folder / "run").mkdir()
    (folder / "run/pciList.dat").write_text(f"{ADDRESS}\n")
    places = {"directory": "run", "state_directory": "s", "sysfs": "sys"}
    config: dict[str, Any] = {
        **{name: f"{folder}/{path}" for name, path in places.items()},
        "cni_socket": f"{folder}/s/cni.sock",
        "cni": {"records": f"{folder}/cni"},
        "listen": "127.0.0.1:0",
        "vdpa": {"path": make_program(folder)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"


@contextmanager
def running(argv: list[str], log: Path) -> Iterator[int]:
    with log.open("w") as file, subprocess.Popen(argv, stdout=file, stderr=file) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(SECONDS)


def resident_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+([0-9]+) kB$", text, re.MULTILINE)
    assert found
    return int(found.group(1)) / 1024


def asked(sockets: Path, path: str, answer: str) -> dict[str, float]:
    argv = [str(sockets), "ask", path, ADDRESS, answer, str(CALLERS), str(CALLS)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SECONDS * 10, check=False)
    if done.returncode:
        raise SystemExit(f"{path}: {done.stderr}")
    return dict(json.loads(done.stdout))


def measure(folder: Path) -> Iterator[dict[str, object]]:
    sockets, program, config = go_programs.sockets(), write_tree(folder / "tree"), write_node(folder)
    paths = {"ours": f"{folder}/run/vdpa.sock", "peer": f"{folder}/go.sock"}
    answer = f"{folder}/run/vhost/vdpa-0"
    agent = [sys.executable, str(program), "--config", str(config), "--log-level", "warning", "run"]
    server = [str(sockets), "serve", paths["peer"], ADDRESS, answer]
    with running(agent, folder / "agent.log") as ours, running(server, folder / "go.log") as peer:
        wait_for(lambda: all(map(is_socket, [answer, *paths.values()])), "both servers", SECONDS)
        for path in paths.values():
            asked(sockets, path, answer)
        times: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        for _round in range(ROUNDS):
            for name, path in paths.items():
                times[name].append(asked(sockets, path, answer))
        time.sleep(1)
        memory = {"ours": resident_mib(ours), "peer": resident_mib(peer)}
    yield from rows(times, memory)


def rows(times: dict[str, list[dict[str, float]]], memory: dict[str, float]) -> Iterator[dict[str, object]]:
    def median(of: Callable[[dict[str, float]], float]) -> dict[str, float]:
        return {name: statistics.median(map(of, found)) for name, found in times.items()}

    calls, peer = CALLERS * CALLS, "a least server in Go"
    whole = median(lambda found: found["seconds"])
    rates = f"{peer}: {calls / whole['peer']:.0f} lookups a second, ours {calls / whole['ours']:.0f}"
    yield {"name": f"gRPC, {calls} lookups of {CALLERS} callers", **whole, "peer_is": rates, "limit": 20}
    yield {"name": "gRPC lookup, p99", **median(lambda found: found["p99"]), "peer_is": peer, "limit": 30}
    yield {"name": "memory of the agent", **memory, "peer_is": peer, "limit": 5, "unit": "MiB"}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    try:
        for row in measure(folder):
            print(json.dumps(row))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
