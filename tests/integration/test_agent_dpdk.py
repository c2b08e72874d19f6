# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent with DPDK's own testpmd: its prompt, and packets through a socket that was moved.

Without hugepages and without a device: testpmd stands between a null port and the socket.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.debian_packages import environment, unpacked
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import wait_for
from fastpath_agent.child import Child
from fastpath_agent.config import Pool, Program
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import PodOwner
from fastpath_agent.programs import DpdkTestpmd, Task
from fastpath_agent.runner import Runner

# The programs, and drivers of ports and memory that they load.
PACKAGES = ("dpdk-dev", "librte-meta-net", "librte-meta-mempool")
ALONE = ("--no-huge", "--no-pci")
ENOUGH = 1000


@dataclass(frozen=True)
class Dpdk:
    """``drivers``: arguments with which the program finds what it loads."""

    testpmd: str
    drivers: tuple[str, ...]


class BetweenNullAndSocket(DpdkTestpmd):
    def _devices(self, task: Task) -> list[str]:
        return ["--vdev", task.address, *super()._devices(task)[2:]]


@pytest.fixture
def dpdk(monkeypatch: pytest.MonkeyPatch) -> Dpdk:
    folder = unpacked(*PACKAGES)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    testpmd = shutil.which("dpdk-testpmd")
    assert testpmd
    return Dpdk(testpmd, tuple(f"-d{path}" for path in sorted(folder.glob("usr/lib/*/dpdk/pmds-*"))))


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_packets_through_a_socket_that_was_moved(dpdk: Dpdk, place: Path) -> None:
    mbufs = ("--total-num-mbufs=4096",)
    settings = Program(dpdk.testpmd, memory_mib=256, eal_args=(*ALONE, *dpdk.drivers), app_args=mbufs)
    folders = PodFolders(Host(), str(place), links=True)
    cpu = max(os.sched_getaffinity(0))
    task = Task("net_null0", f"{place}/vhost/vdpa-0", "client", Pool("p", "translate"), (cpu, cpu))
    runner = Runner(BetweenNullAndSocket(settings), task, f"{place}/pipes", folders, lambda: None)
    runner.start()
    try:
        wait_for(lambda: runner.state().state == "ready", "testpmd", 60)
        lease = folders.lease("translate", "net_null0", "vdpa-0", PodOwner("c", "net1", uid="u"), "client")
        runner.attach(lease)
        assert received_by_a_pod(dpdk, lease.path, place / "pod") > ENOUGH
        wait_for(lambda: not runner.state().connected, "the end of the connection")
    finally:
        runner.stop()
        runner.join(20)


def received_by_a_pod(dpdk: Dpdk, socket: str, folder: Path) -> int:
    """Packets that another testpmd gets through the socket, once there are enough of them."""
    device = f"net_virtio_user0,path={socket},queues=1,queue_size=256"
    eal = ["-m", "256", "--no-shconf", "--no-telemetry", "--lcores", "0@0,1@0", *ALONE, *dpdk.drivers, "--vdev", device]
    app = ["--nb-cores=1", "--forward-mode=rxonly", "--total-num-mbufs=4096", "--no-mlockall", "-i"]
    pod = Child.start(["stdbuf", "-oL", dpdk.testpmd, *eal, "--", *app], str(folder), DpdkTestpmd.prompt, 0o177)
    try:
        pod.greet(60)
        pod.ask("start", 10)

        def received() -> int:
            (line,) = [line for line in pod.ask("show port stats all", 10) if line.strip().startswith("RX-packets:")]
            return int(line.split()[1])

        wait_for(lambda: received() > ENOUGH, "packets", 30)
        return received()
    finally:
        pod.end()
