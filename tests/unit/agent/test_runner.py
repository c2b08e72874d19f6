# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One device and its process: leased, taken back, killed, failing, taken over by another agent."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.runner_bench import ADDRESS, OTHER, POD, Bench
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import (
    behave,
    connect,
    connected_as_a_pod,
    cut_off,
    is_socket,
    running,
    starts,
    wait_for,
)
from fastpath_agent import runner as runner_module
from fastpath_agent.child import Child
from fastpath_agent.model import NotReady


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(runner_module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def bench(place):
    made = Bench(place)
    yield made
    if made.runner.is_alive():
        made.end()
    left = Child.adopt(str(place / "pipes"), made.program.prompt)
    if left is not None:
        left.end()


def test_a_device_waits_with_a_socket_of_its_own(bench):
    bench.ready()
    assert is_socket(bench.idle)
    assert bench.idle.stat().st_mode & 0o777 == 0o600
    state = bench.state()
    assert (state.socket, state.connected, state.restarts) == (str(bench.idle), False, 0)
    assert running(state.pid)
    (started,) = starts(bench.folder)
    assert f"-a {ADDRESS},vdpa=1" in started
    assert started.endswith("-- --interactive")


def test_a_lease_moves_the_socket_and_taking_it_back_makes_another(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    assert is_socket(lease.path)
    assert not bench.idle.exists()
    assert len(starts(bench.folder)) == 1
    pod = connect(lease.path)
    wait_for(lambda: bench.state().connected, "a connection")
    bench.runner.attach(lease)
    assert bench.state().connected
    bench.folders.remove_socket(lease)
    bench.runner.detach(lease)
    wait_for(bench.is_in("ready"), "a device that is ready again")
    assert cut_off(pod), "who was connected is cut off"
    pod.close()
    assert not os.path.exists(lease.path)
    assert is_socket(bench.idle)
    assert len(starts(bench.folder)) == 2


def test_detach_twice_is_one(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    bench.runner.detach(lease)
    wait_for(bench.is_in("ready"), "a device that is ready again")
    bench.runner.detach(lease)
    assert bench.state().state == "ready"
    assert len(starts(bench.folder)) == 2


def test_a_lease_of_somebody_else_is_not_taken_back(bench):
    bench.ready()
    bench.runner.attach(bench.lease())
    bench.runner.detach(bench.lease(OTHER))
    assert bench.state().state == "leased"


def test_a_lease_waits_for_a_process_that_is_being_replaced(bench):
    bench.ready()
    first, second = bench.lease(), bench.lease(OTHER)
    bench.runner.attach(first)
    bench.runner.detach(first)
    bench.runner.attach(second)
    assert is_socket(second.path)
    assert len(starts(bench.folder)) == 2


def test_somebody_without_a_lease_is_cut_off_before_a_pod_gets_the_device(bench):
    bench.ready()
    intruder = connect(bench.idle)
    wait_for(lambda: bench.state().connected, "the intruder")
    lease = bench.lease()
    bench.runner.attach(lease)
    assert cut_off(intruder)
    intruder.close()
    assert is_socket(lease.path)
    assert bench.state().connected is False


def test_a_pod_that_connects_from_its_own_network_namespace_is_seen(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    with connected_as_a_pod(lease.path):
        assert bench.state().connected
    wait_for(lambda: bench.state().connected is False, "the end of the connection")


def test_a_pod_without_a_lease_is_cut_off_before_another_pod_gets_the_device(bench):
    bench.ready()
    with connected_as_a_pod(bench.idle) as intruder:
        lease = bench.lease()
        bench.runner.attach(lease)
        assert intruder.stdout.readline() == "cut off\n"
    assert is_socket(lease.path)
    assert bench.state().connected is False


def test_a_killed_process_comes_back_with_the_socket_in_the_pods_folder(bench):
    """The folder is the same one: a pod has it mounted."""
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    folder = os.stat(lease.directory).st_ino
    os.kill(bench.state().pid, signal.SIGKILL)
    wait_for(lambda: len(starts(bench.folder)) == 2 and bench.state().state == "leased", "the socket again")
    assert is_socket(lease.path)
    assert os.stat(lease.directory).st_ino == folder
    assert bench.state().restarts == 1
    connect(lease.path).close()


def test_nothing_can_be_connected_to_while_the_process_is_dead(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    behave(bench.folder, "no-pages")
    os.kill(bench.state().pid, signal.SIGKILL)
    wait_for(lambda: "hugepage" in bench.state().reason, "the reason")
    assert not os.path.exists(lease.path)
    assert bench.runner.socket == ""
    behave(bench.folder)
    wait_for(lambda: bench.state().state == "leased", "the socket again")
    assert is_socket(lease.path)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("no-pages", "Cannot get hugepage information"),
        ("not-vdpa", f"does not drive {ADDRESS} as a vDPA device"),
        ("die-at-create", "register driver failed"),
        ("no-socket", "There is no "),
        ("flood-at-start", "wrote more than"),
    ],
)
def test_what_fails_is_said_and_tried_again(bench, word, said):
    behave(bench.folder, word)
    bench.runner.start()
    wait_for(lambda: bench.state().restarts >= 2, "a second try", 20)
    wait_for(lambda: said in bench.state().reason, said, 20)
    assert bench.state().socket == ""
    behave(bench.folder)
    wait_for(bench.is_in("ready"), "a ready device", 20)
    assert bench.state().reason == ""


def test_what_nobody_foresaw_is_tried_again(bench, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(bench.program, "open", lambda talk, task: {}["nothing"])
        bench.runner.start()
        wait_for(lambda: bench.state().restarts >= 2, "a second try")
        assert "nothing" in bench.state().reason
    wait_for(bench.is_in("ready"), "a ready device")


def test_a_lease_of_a_device_that_fails_is_refused_at_once(bench):
    behave(bench.folder, "no-pages")
    bench.runner.start()
    wait_for(bench.is_in("failed"), "a failure")
    with pytest.raises(NotReady, match="failed.*hugepage"):
        bench.runner.attach(bench.lease(), timeout=30)
    assert not os.path.exists(bench.lease().path)


def test_a_lease_waits_no_longer_than_it_may(bench):
    behave(bench.folder, "mute")
    bench.runner.start()
    with pytest.raises(NotReady, match="starting"):
        bench.runner.attach(bench.lease(), timeout=0.2)


def test_a_socket_that_a_killed_process_left_is_no_obstacle(bench):
    bench.idle.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(bench.idle))
    bench.ready()
    connect(bench.idle).close()


def test_a_file_that_is_no_socket_is_left_alone(bench):
    bench.idle.parent.mkdir(parents=True)
    bench.idle.write_text("somebody's")
    bench.runner.start()
    wait_for(bench.is_in("failed"), "a failure")
    assert bench.idle.read_text() == "somebody's"
    assert "exists" in bench.state().reason


def test_another_agent_takes_over_without_a_pod_noticing(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    pod = connect(lease.path)
    pid = bench.state().pid
    bench.end(let_go=True)
    assert running(pid)
    bench.new().hold(lease)
    bench.runner.start()
    wait_for(bench.is_in("leased"), "the lease")
    assert bench.state().pid == pid
    assert bench.state().connected
    pod.setblocking(False)
    with pytest.raises(BlockingIOError):
        pod.recv(1)
    pod.close()
    assert len(starts(bench.folder)) == 1


def test_an_agent_that_was_killed_between_two_steps_of_a_lease(bench):
    """The lease is on disk, and the socket still where it waited."""
    bench.ready()
    pid = bench.state().pid
    bench.end(let_go=True)
    lease = bench.lease()
    bench.new().hold(lease)
    bench.runner.start()
    wait_for(bench.is_in("leased"), "the lease")
    assert is_socket(lease.path)
    assert bench.state().pid == pid


def test_a_process_that_was_started_otherwise_is_replaced(bench):
    bench.ready()
    pid = bench.state().pid
    bench.end(let_go=True)
    bench.task = replace(bench.task, cpus=(1, 2))
    bench.new()
    bench.ready()
    assert not running(pid)
    assert len(starts(bench.folder)) == 2


def test_a_process_that_had_not_come_to_its_socket_is_replaced(bench):
    bench.ready()
    pid = bench.state().pid
    bench.end(let_go=True)
    (bench.folder / "pipes/opened").unlink()
    bench.new()
    bench.ready()
    assert not running(pid)
    assert is_socket(bench.idle)


def test_the_end_leaves_nothing(bench):
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    pid = bench.state().pid
    bench.end()
    assert not running(pid)
    assert not os.path.exists(lease.path)
    assert not bench.idle.exists()


def test_a_device_changes_sides_for_a_lease(bench):
    bench.ready()
    lease = bench.lease(mode="server")
    bench.runner.attach(lease)
    assert starts(bench.folder)[-1].endswith("--interactive --client")
    assert not bench.idle.exists()
    bench.runner.detach(lease)
    wait_for(bench.is_in("ready"), "a ready device")
    assert is_socket(bench.idle)


def test_leases_and_kills_from_many_sides(bench):
    """Whatever comes in between: at the end the device is free, and its folder has one socket."""
    bench.ready()
    stop = threading.Event()

    def kill():
        while not stop.wait(0.15):
            pid = bench.state().pid
            if pid and running(pid):
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    for number in range(6):
        lease = bench.lease(POD if number % 2 else OTHER)
        with suppress(NotReady):
            bench.runner.attach(lease, timeout=5)
        bench.runner.detach(lease)
        bench.folders.remove_socket(lease)
    stop.set()
    killer.join()
    wait_for(bench.is_in("ready"), "a ready device", 20)
    assert [path.name for path in bench.idle.parent.iterdir()] == ["vdpa-0"]
    for owner in (POD, OTHER):
        assert not os.path.exists(bench.lease(owner).path)
    connect(bench.idle).close()
