# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever is connected to a process's socket is found, wherever they are."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import connect, connected_as_a_pod
from fastpath_agent import connections
from fastpath_agent.connections import served
from fastpath_agent.unix_sockets import Listener


@pytest.fixture
def listener(place):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place / "socket"))
        made.listen()
        yield made


def served_here(listener):
    return served(os.getpid(), listener.getsockname())


def test_a_connection_counts_before_and_after_it_is_taken(listener):
    path = listener.getsockname()
    assert served_here(listener) == Listener(path, 0)
    with connected_as_a_pod(path):
        assert served_here(listener) == Listener(path, 1)
        with listener.accept()[0]:
            assert served_here(listener) == Listener(path, 1)
            with connect(path):
                assert served_here(listener) == Listener(path, 2)


def test_a_socket_that_was_moved_is_known_by_where_it_was_bound(listener, place):
    path = listener.getsockname()
    os.rename(path, place / "moved")
    with connected_as_a_pod(place / "moved"):
        assert served_here(listener) == Listener(path, 1)


def test_other_sockets_of_the_process_are_none_of_it(listener, place):
    with socket.socket(socket.AF_UNIX) as other, socket.socket() as network:
        other.bind(str(place / "other"))
        other.listen()
        network.bind(("127.0.0.1", 0))
        with connect(place / "other"):
            assert served_here(listener) == Listener(listener.getsockname(), 0)
    assert served(os.getpid(), str(place / "nothing")) is None


def test_a_process_that_is_gone_serves_nothing(listener):
    with subprocess.Popen([sys.executable, "-IS", "-c", ""]) as process:
        process.wait()
    assert served(process.pid, listener.getsockname()) is None


def test_where_copies_are_not_allowed_the_table_has_to_do(listener, monkeypatch):
    def refused(process, number):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(connections, "_copy", refused)
    with connect(listener.getsockname()), listener.accept()[0]:
        assert served_here(listener) == Listener(listener.getsockname(), 1)


def test_a_descriptor_that_was_closed_meanwhile_is_left_aside(listener, monkeypatch):
    real = connections._names
    monkeypatch.setattr(connections, "_names", lambda pid: [*real(pid), "99999"])
    assert served_here(listener) == Listener(listener.getsockname(), 0)
    process = os.pidfd_open(os.getpid())
    assert connections._copy(process, 99999) is None
    os.close(process)


def test_looking_leaves_nothing_open(listener):
    before = os.listdir("/proc/self/fd")
    served_here(listener)
    assert os.listdir("/proc/self/fd") == before
