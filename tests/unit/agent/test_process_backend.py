# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices come, go and come back, and nobody else's notices."""

from __future__ import annotations

import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import (
    behave,
    connect,
    is_socket,
    make_program,
    running,
    starts,
    wait_for,
)
from fastpath_agent import runner as runner_module
from fastpath_agent.config import Config, Pool, Program
from fastpath_agent.device_map import Slot
from fastpath_agent.folders import PodFolders
from fastpath_agent.model import NotReady, PodOwner
from fastpath_agent.places import Places
from fastpath_agent.process_backend import ProcessBackend
from fastpath_agent.programs import DpdkTestpmd, DpdkVdpa

A, B, C = "0000:02:00.3", "0000:02:00.4", "0000:02:00.5"
POOL = Pool("vdpa_a")
POD = PodOwner("c" * 64, "net1", "apps", "one", "uid-1")


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(runner_module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE", 0.1)


class Bench:
    def __init__(self, folder, kind=DpdkVdpa, **settings) -> None:
        self.folder = folder
        program = kind(Program(make_program(folder), start_seconds=10, **settings))
        name = "vdpa" if kind is DpdkVdpa else "translate"
        self.config = Config((Pool("vdpa_a", name),), directory=str(folder / "run"), state_directory=str(folder / "s"))
        folders = PodFolders(Host(), self.config.directory, links=True)
        places = Places(Host(), str(folder / "s/places.json"), (0, 1, 2))
        self.backend = ProcessBackend(name, program, self.config, folders, places, lambda: None)

    def follow(self, *addresses: str, problems=()) -> None:
        known = dict(problems)
        pool = self.config.pools[0]
        self.backend.follow([Slot(address, pool, None, known.get(address, "")) for address in addresses])

    def state(self, address: str):
        return next((state for state in self.backend.states() if state.device == address), None)

    def wait(self, address: str, state: str = "ready") -> None:
        wait_for(lambda: self.state(address) and self.state(address).state == state, f"{address} to be {state}", 20)

    def socket(self, name: str):
        return self.folder / "run/vhost" / name


@pytest.fixture
def bench(place):
    made = Bench(place)
    yield made
    made.backend.stop()


def test_each_device_has_a_process_and_a_name(bench):
    bench.follow(A, B)
    bench.wait(A)
    bench.wait(B)
    assert (bench.state(A).socket, bench.state(B).socket) == (str(bench.socket("vdpa-0")), str(bench.socket("vdpa-1")))
    assert bench.state(A).pid != bench.state(B).pid
    assert bench.backend.socket_of(A) == str(bench.socket("vdpa-0"))
    assert bench.backend.socket_of(C) == ""
    assert not any(line.startswith("--lcores 0@0") for line in starts(bench.folder))


def test_a_device_comes_and_goes_and_the_other_does_not_notice(bench):
    bench.follow(A)
    bench.wait(A)
    pid = bench.state(A).pid
    pod = connect(bench.socket("vdpa-0"))
    bench.follow(A, B)
    bench.wait(B)
    gone = bench.state(B).pid
    bench.follow(A)
    wait_for(lambda: not running(gone), "the end of a process")
    assert bench.state(B) is None
    wait_for(lambda: not bench.socket("vdpa-1").exists(), "no socket")
    assert bench.state(A).pid == pid
    pod.setblocking(False)
    with pytest.raises(BlockingIOError):
        pod.recv(1)
    pod.close()


def test_a_device_that_comes_back_at_once_has_one_process_and_its_name(bench):
    bench.follow(A, B)
    bench.wait(B)
    for _number in range(3):
        bench.follow(A)
        bench.follow(A, B)
    wait_for(lambda: (bench.follow(A, B), bench.state(B).state == "ready")[1], "the device", 20)
    assert bench.state(B).socket == str(bench.socket("vdpa-1"))
    connect(bench.socket("vdpa-1")).close()


def test_a_removed_device_with_a_lease_serves_the_lease_when_it_is_back(bench):
    """The running pod has its folder mounted; it finds a socket of the same name in it."""
    bench.follow(A)
    bench.wait(A)
    lease = bench.backend.lease(A, POD, "client")
    bench.backend.attach(lease)
    folder = os.stat(lease.directory).st_ino
    bench.follow()
    wait_for(lambda: not os.path.exists(lease.path), "no socket")
    assert bench.state(A).state == "absent"
    assert bench.state(A).reason == f"{A} is leased, and in no list any more."
    wait_for(lambda: (bench.follow(A), bench.state(A).state == "leased")[1], "the lease", 20)
    assert is_socket(lease.path)
    assert os.stat(lease.directory).st_ino == folder


def test_a_lease_of_a_removed_device_can_be_taken_back(bench):
    bench.follow(A)
    bench.wait(A)
    lease = bench.backend.lease(A, POD, "client")
    bench.backend.attach(lease)
    bench.follow()
    bench.backend.detach(lease)
    bench.backend.detach(lease)
    assert bench.state(A) is None


def test_a_device_that_cannot_be_used_says_why_and_gets_no_process(bench):
    bench.follow(A, problems={A: "it is bound to no driver"})
    assert (bench.state(A).state, bench.state(A).reason) == ("unusable", "it is bound to no driver")
    assert bench.backend.problem == "it is bound to no driver"
    with pytest.raises(NotReady, match="bound to no driver"):
        bench.backend.lease(A, POD, "client")
    assert starts(bench.folder) == []
    bench.follow(A)
    bench.wait(A)
    assert bench.backend.problem == ""


def test_names_of_devices_and_pools(bench):
    bench.follow(A, B)
    assert bench.backend.candidates(A, POD) == [A]
    assert sorted(bench.backend.candidates("vdpa_a", POD)) == [A, B]
    assert bench.backend.candidates("other", POD) is None
    assert bench.backend.candidates(C, POD) is None


def test_a_ready_device_goes_before_one_that_is_not(bench):
    bench.follow(A, B, problems={A: "no"})
    bench.wait(B)
    assert bench.backend.candidates("vdpa_a", POD) == [B, A]


def test_all_devices_without_use_are_a_problem_of_the_back_end(bench):
    assert bench.backend.problem == ""
    behave(bench.folder, "no-pages")
    bench.follow(A, B)
    wait_for(lambda: "hugepage" in bench.backend.problem, "the problem")


def test_the_end_of_the_agent_and_another_one(bench, place):
    """Processes go on when the agent is let go, and the next agent has them."""
    bench.follow(A, B)
    bench.wait(A)
    bench.wait(B)
    lease = bench.backend.lease(B, POD, "client")
    bench.backend.attach(lease)
    pids = bench.state(A).pid, bench.state(B).pid
    bench.backend.stop(let_go=True)
    assert all(map(running, pids))
    again = Bench(place)
    again.backend.restore([lease])
    again.follow(A, B)
    again.wait(A)
    again.wait(B, "leased")
    assert (again.state(A).pid, again.state(B).pid) == pids
    again.backend.stop()
    assert not any(map(running, pids))


def test_more_devices_than_forwarding_cpus(place):
    bench = Bench(place, DpdkTestpmd, cpus=(1,), forwarding_cpus=(2,))
    bench.follow(A, B)
    bench.wait(A)
    assert bench.state(B).state == "unusable"
    assert "No CPU is left to forward" in bench.state(B).reason
    assert "--lcores 0@1,1@2" in starts(place)[0]
    bench.backend.stop()
