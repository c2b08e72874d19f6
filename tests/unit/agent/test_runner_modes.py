# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pod that makes the socket itself, and a NIC behind testpmd."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.runner_bench import ADDRESS, Bench
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import (
    behave,
    connect,
    is_socket,
    starts,
    wait_for,
)
from fastpath_agent import runner as runner_module
from fastpath_agent.programs import DpdkTestpmd


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(runner_module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE", 0.1)


def test_a_pod_that_is_the_server_is_connected_to_again(place):
    bench = Bench(place, mode="server")
    bench.ready()
    assert starts(place) == []
    assert bench.state().socket == ""
    lease = bench.lease(mode="server")
    bench.folders.make(lease, bench.task.pool.access)
    with socket.socket(socket.AF_UNIX) as pod:
        pod.bind(lease.path)
        pod.listen()
        bench.runner.attach(lease)
        first, _address = pod.accept()
        assert "--interactive --client" in starts(place)[0]
        os.kill(bench.state().pid, signal.SIGKILL)
        assert first.recv(1) == b""
        second, _address = pod.accept()
        wait_for(bench.is_in("leased"), "the lease")
        assert is_socket(lease.path), "the pod's own socket stays"
        bench.runner.detach(lease)
        assert second.recv(1) == b""
        first.close()
        second.close()
    wait_for(bench.is_in("ready"), "a ready device")
    bench.end()


def test_a_pod_that_is_the_server_may_come_later(place):
    """When the lease is given there is no container yet."""
    bench = Bench(place, mode="server")
    bench.ready()
    lease = bench.lease(mode="server")
    bench.runner.attach(lease)
    assert bench.state().state == "leased"
    with socket.socket(socket.AF_UNIX) as pod:
        pod.bind(lease.path)
        pod.listen()
        pod.settimeout(10)
        pod.accept()[0].close()
    bench.end()


def test_translation_by_testpmd(place):
    bench = Bench(place, kind=DpdkTestpmd)
    bench.ready()
    lease = bench.lease()
    bench.runner.attach(lease)
    connect(lease.path).close()
    assert f"--vdev net_vhost0,iface={bench.idle},queues=1" in starts(place)[0]
    bench.end()


def test_translation_without_its_nic_is_none(place):
    bench = Bench(place, kind=DpdkTestpmd)
    behave(place, "no-nic")
    bench.runner.start()
    wait_for(lambda: f"has no port for {ADDRESS}" in bench.state().reason, "the reason")
    bench.end()
