# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""DPDK's own programs, where there are any: the prompt, and packets through a socket that was moved.

Without hugepages and without a device: testpmd stands between a null port and the socket.
"""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import wait_for
from fastpath_agent.child import Child
from fastpath_agent.config import Pool, Program
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import NotReady, PodOwner
from fastpath_agent.programs import DpdkTestpmd, DpdkVdpa, Task
from fastpath_agent.runner import Runner
from fastpath_agent.unix_sockets import listeners

TESTPMD, VDPA = shutil.which("dpdk-testpmd"), shutil.which("dpdk-vdpa")
CPUS = (1, 1)
COMMON = ["-m", "256", "--no-huge", "--no-shconf", "--no-telemetry", "--no-pci"]


class BetweenNullAndSocket(DpdkTestpmd):
    def _devices(self, task):
        return ["--no-pci", "--vdev", task.address, *super()._devices(task)[2:]]


@pytest.mark.skipif(not TESTPMD, reason="there is no dpdk-testpmd")
def test_packets_through_a_socket_that_was_moved(place):
    settings = Program(TESTPMD, memory_mib=256, eal_args=("--no-huge",), app_args=("--total-num-mbufs=4096",))
    folders = PodFolders(Host(), str(place), links=True)
    task = Task("net_null0", f"{place}/vhost/vdpa-0", "client", Pool("p", "translate"), CPUS)
    runner = Runner(BetweenNullAndSocket(settings), task, f"{place}/pipes", folders, lambda: None)
    runner.start()
    try:
        wait_for(lambda: runner.state(listeners()).state == "ready", "testpmd", 60)
        lease = folders.lease("translate", "net_null0", "vdpa-0", PodOwner("c", "net1", uid="u"), "client")
        runner.attach(lease)
        device = f"net_virtio_user0,path={lease.path},queues=1,queue_size=256"
        own = ["--nb-cores=1", "--forward-mode=rxonly", "--total-num-mbufs=4096", "--no-mlockall", "-i"]
        argv = [TESTPMD, "--lcores", "0@0,1@0", *COMMON, "--vdev", device, "--", *own]
        pod = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert pod.stdin is not None
        pod.stdin.write("start\n")
        pod.stdin.flush()
        wait_for(lambda: runner.state(listeners()).connected, "a connection", 60)
        time.sleep(1)
        said, _none = pod.communicate("show port stats all\nquit\n", timeout=60)
        received = [line.split()[1] for line in said.splitlines() if line.strip().startswith("RX-packets:")]
        assert int(received[0]) > 1000
        wait_for(lambda: not runner.state(listeners()).connected, "the end of the connection")
    finally:
        runner.stop()
        runner.join(20)


@pytest.mark.skipif(not VDPA, reason="there is no dpdk-vdpa")
def test_the_prompt_of_dpdk_vdpa(place):
    program = DpdkVdpa(Program(VDPA, memory_mib=32, eal_args=("--no-huge", "--no-pci")))
    task = Task("0000:02:00.3", f"{place}/vdpa-0", "client", Pool("a"), CPUS[:1])
    child = Child.start(program.command(task), f"{place}/pipes", program.prompt, 0o177)
    try:
        child.greet(60)
        assert child.ask("list", 10) == ["device name\tqueue num\tsupported features"]
        (said,) = child.ask(f"create {task.socket} {task.address}", 10)
        assert said == "Unable to find vdpa device id for 0000:02:00.3."
        with pytest.raises(NotReady, match="does not drive"):
            program.open(child, task)
    finally:
        child.end()
