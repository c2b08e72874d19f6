# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent with DPDK's own programs: their prompts, and packets through a socket that was moved.

Without hugepages and without a device: testpmd stands between a null port and the socket, and dpdk-vdpa finds none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.debian_packages import environment, unpacked
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import running, wait_for
from fastpath_agent.child import Child
from fastpath_agent.config import Pool, Program
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import NotReady, PodOwner
from fastpath_agent.programs import DpdkTestpmd, DpdkVdpa, Task
from fastpath_agent.runner import Runner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from fastpath_lab.sources import fetch

# The programs, drivers of ports and memory that they load, and what programs are built with.
PACKAGES = ("dpdk-dev", "librte-meta-net", "librte-meta-mempool", "libdpdk-dev", "libbsd-dev")
EXAMPLE, GENERATOR = "examples/vdpa", "buildtools/dpdk-cmdline-gen.py"
ALONE = ("--no-huge", "--no-pci")
ENOUGH = 1000


@dataclass(frozen=True)
class Dpdk:
    """``drivers``: arguments with which the program finds what it loads."""

    testpmd: str
    drivers: tuple[str, ...]
    folder: Path


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
    return Dpdk(testpmd, tuple(f"-d{path}" for path in sorted(folder.glob("usr/lib/*/dpdk/pmds-*"))), folder)


@pytest.fixture
def vdpa(dpdk: Dpdk, tmp_path: Path) -> str:
    """No package has dpdk-vdpa: the one of the collection's own release, built with the packages' libraries."""
    with tarfile.open(fetch("dpdk").path) as packed:
        members = [item for item in packed if item.isreg() and any(name in item.name for name in (EXAMPLE, GENERATOR))]
        packed.extractall(tmp_path, members, filter="data")
    (top,) = tmp_path.glob("dpdk-*")
    source = top / EXAMPLE
    words = ["--context-name", "main_ctx", "-o", str(source / "commands.h"), str(source / "commands.list")]
    subprocess.run([sys.executable, str(top / GENERATOR), *words], check=True)
    usr = dpdk.folder / "usr"
    headers = [f"-I{path}" for path in (source, usr / "include", *usr.glob("include/**/dpdk"))]
    libraries = [f"-L{path}" for path in usr.glob("lib/*-linux-gnu")] + ["-lrte_eal", "-lrte_vhost", "-lrte_cmdline"]
    options = ["-march=native", "-DALLOW_EXPERIMENTAL_API", "-Wl,--allow-shlib-undefined"]
    program = str(tmp_path / "dpdk-vdpa")
    subprocess.run(["gcc", *options, *headers, str(source / "main.c"), "-o", program, *libraries], check=True)
    return program


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


def test_the_prompt_of_dpdk_vdpa(dpdk: Dpdk, vdpa: str, place: Path) -> None:
    program = DpdkVdpa(Program(vdpa, memory_mib=32, eal_args=(*ALONE, *dpdk.drivers)))
    task = Task("0000:02:00.3", f"{place}/vdpa-0", "client", Pool("a"), (max(os.sched_getaffinity(0)),))
    child = Child.start(program.command(task), f"{place}/pipes", program.prompt, 0o177)
    try:
        child.greet(60)
        assert child.ask("list", 10) == ["device name\tqueue num\tsupported features"]
        assert child.ask(f"create {task.socket} {task.address}", 10) == [
            f"Unable to find vdpa device id for {task.address}."
        ]
        assert child.ask("nonsense", 10) == ["Command not found"]
        with pytest.raises(NotReady, match="does not drive"):
            program.open(child, task)
        assert child.running
    finally:
        child.end()
    assert not running(child.pid)
