# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of leases: one pod for a socket, also after failures, crashes and many requests at once."""

from __future__ import annotations

import json
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NoReturn

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from fastpath_agent.backend import Backend
from fastpath_agent.config import Access
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.model import (
    DeviceState,
    DeviceTaken,
    NotPossible,
    NotReady,
    PodOwner,
    SocketError,
    SocketLease,
    UnknownDevice,
)
from fastpath_agent.sockets import Sockets
from hypothesis import given
from hypothesis import strategies as st

FILE = "/run/agent/leases.json"
DEVICES = [f"0000:02:00.{number}" for number in range(4)]


def fail(error: Exception) -> NoReturn:
    raise error


def owner(number: int, ifname: str = "net1") -> PodOwner:
    return PodOwner(f"{number:064x}", ifname, "apps", f"pod{number}", f"uid-{number}")


class FakeBackend(Backend):
    """A file stands for a socket. ``failing``: devices that cannot be attached; ``stuck``: that cannot be detached."""

    def __init__(self, folders: PodFolders, name: str = "vdpa", devices=tuple(DEVICES), pool: str = "a") -> None:
        self.name = name
        self.folders = folders
        self.devices = list(devices)
        self.pool = pool
        self.failing: dict[str, Exception] = {}
        self.stuck: set[str] = set()
        self.held: dict[str, SocketLease] = {}
        self.restored: list[SocketLease] = []
        self.lock = threading.Lock()

    def candidates(self, wanted, owner):
        if wanted in self.devices:
            return [wanted]
        return list(self.devices) if wanted == self.pool else None

    def lease(self, device, owner, mode):
        return self.folders.lease(self.name, device, f"vdpa-{device[-1]}", owner, mode)

    def attach(self, lease):
        with self.lock:
            if lease.device in self.failing:
                raise self.failing[lease.device]
            assert self.held.setdefault(lease.device, lease) == lease, "a device that somebody has was given away"
        self.folders.make(lease, Access())
        open(lease.path, "w").close()

    def detach(self, lease):
        if lease.device in self.stuck:
            raise NotReady("it is stuck")
        with self.lock:
            if self.held.get(lease.device) == lease:
                del self.held[lease.device]
        self.folders.remove_socket(lease)

    def restore(self, leases):
        self.restored = list(leases)
        self.held = {lease.device: lease for lease in leases}

    def states(self):
        return [DeviceState(device, self.name, self.pool) for device in self.devices]


class Node:
    def __init__(self, root) -> None:
        self.root = root
        path = root / "proc/sys/kernel/random/boot_id"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one\n")
        self.host = Host(str(root))
        self.folders = PodFolders(self.host, str(root / "vdpa"), links=True)
        self.start()

    def start(self) -> None:
        self.backend = FakeBackend(self.folders)
        self.other = FakeBackend(self.folders, "ovs", ["b/p"], "b")
        self.sockets = Sockets([self.backend, self.other], LeaseFile(self.host, FILE), self.folders)
        self.sockets.restore()

    def on_disk(self) -> list[dict]:
        return json.loads((self.root / FILE[1:]).read_text())["leases"]

    def pods(self) -> list[str]:
        return sorted(os.listdir(self.folders.root)) if os.path.exists(self.folders.root) else []


@pytest.fixture
def node(place):
    return Node(place)


def test_a_device_is_given_and_taken_back(node):
    lease = node.sockets.acquire(DEVICES[1], owner(1))
    assert (lease.device, lease.backend, lease.socket_name, lease.mode) == (DEVICES[1], "vdpa", "vdpa-1", "client")
    assert os.path.exists(lease.path)
    assert node.sockets.leases() == [lease]
    assert [entry["device"] for entry in node.on_disk()] == [DEVICES[1]]
    node.sockets.release(owner(1))
    assert node.sockets.leases() == []
    assert node.on_disk() == []
    assert node.pods() == []
    assert node.backend.held == {}


def test_the_same_owner_gets_the_same_socket(node):
    first = node.sockets.acquire("a", owner(1))
    assert node.sockets.acquire("a", owner(1)) == first
    assert node.sockets.acquire(first.device, owner(1)) == first


def test_release_twice_and_of_what_nobody_has(node):
    node.sockets.release(owner(1))
    node.sockets.acquire("a", owner(1))
    node.sockets.release(PodOwner(owner(1).container_id, "net1"))
    node.sockets.release(owner(1))
    assert node.sockets.leases() == []


def test_what_is_being_made_or_taken_back_is_not_given(node, monkeypatch):
    """Nobody is to be told that a pod lost a socket which it has not got yet, or gives back."""
    seen = []
    for name in ("attach", "detach"):
        real = getattr(node.backend, name)
        monkeypatch.setattr(
            node.backend, name, lambda lease, real=real: (seen.append(node.sockets.given()), real(lease))
        )
    lease = node.sockets.acquire("a", owner(1))
    assert node.sockets.given() == [lease]
    node.sockets.release(owner(1))
    assert seen == [[], []]
    assert node.sockets.given() == []


def test_a_taken_device_is_named_with_its_pod(node):
    node.sockets.acquire(DEVICES[0], owner(1))
    with pytest.raises(DeviceTaken, match=r"Nothing of 0000:02:00.0 is free.*net1 of apps/pod1"):
        node.sockets.acquire(DEVICES[0], owner(2))
    assert len(node.sockets.leases()) == 1


def test_a_pool_gives_each_device_once(node):
    given = {node.sockets.acquire("a", owner(number)).device for number in range(4)}
    assert given == set(DEVICES)
    with pytest.raises(DeviceTaken):
        node.sockets.acquire("a", owner(5))


def test_two_interfaces_of_a_pod_share_its_folder_and_nothing_else(node):
    """Taking net1 back leaves net10 as it is."""
    first, second = node.sockets.acquire("a", owner(1, "net1")), node.sockets.acquire("a", owner(1, "net10"))
    assert first.directory == second.directory
    assert first.device != second.device
    node.sockets.release(owner(1, "net1"))
    assert os.listdir(second.directory) == [second.socket_name]
    node.sockets.release(owner(1, "net10"))
    assert node.pods() == []


def test_pods_have_folders_of_their_own(node):
    assert node.sockets.acquire("a", owner(1)).directory != node.sockets.acquire("a", owner(2)).directory


def test_the_back_end_that_knows_the_name(node):
    assert node.sockets.acquire("b", owner(1)).backend == "ovs"
    with pytest.raises(UnknownDevice, match="'c' is neither a device nor a pool") as unknown:
        node.sockets.acquire("c", owner(2))
    assert unknown.value.cni_code == 7


def test_one_interface_has_one_socket(node):
    node.sockets.acquire(DEVICES[0], owner(1))
    with pytest.raises(NotPossible, match="release it first"):
        node.sockets.acquire(DEVICES[1], owner(1))
    with pytest.raises(NotPossible, match="as client"):
        node.sockets.acquire(DEVICES[0], owner(1), "server")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (NotReady("no hugepages"), "no hugepages"),
        (OSError(28, "No space left on device", "/run/x"), r"No socket for net1 of apps/pod1: No space left.*/run/x"),
    ],
)
def test_a_failure_leaves_nothing(node, failure, said):
    node.backend.failing[DEVICES[0]] = failure
    with pytest.raises(SocketError, match=said):
        node.sockets.acquire(DEVICES[0], owner(1))
    assert node.sockets.leases() == []
    assert node.on_disk() == []
    assert node.pods() == []
    del node.backend.failing[DEVICES[0]]
    node.sockets.acquire(DEVICES[0], owner(2))


def test_a_failure_that_cannot_be_taken_back_stays_for_a_release(node):
    node.backend.failing[DEVICES[0]] = NotReady("it failed")
    node.backend.stuck.add(DEVICES[0])
    with pytest.raises(NotReady, match="it failed"):
        node.sockets.acquire(DEVICES[0], owner(1))
    assert len(node.sockets.leases()) == 1
    with pytest.raises(NotReady, match="it is stuck"):
        node.sockets.release(owner(1))
    assert len(node.on_disk()) == 1
    node.backend.stuck.clear()
    node.sockets.release(owner(1))
    assert node.on_disk() == []


def test_a_full_disk_gives_nothing_away(node, monkeypatch):
    def full(path, text, mode=0o644):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(node.host, "write_file", full)
        with pytest.raises(SocketError, match="Leases cannot be written to /run/agent/leases.json: No space left"):
            node.sockets.acquire("a", owner(1))
    assert node.sockets.leases() == []
    assert node.backend.held == {}


def test_a_release_on_a_full_disk_can_be_asked_for_again(node, monkeypatch):
    node.sockets.acquire("a", owner(1))
    with monkeypatch.context() as patch:
        patch.setattr(node.host, "write_file", lambda *_words, **_keys: fail(OSError(28, "No space")))
        with pytest.raises(SocketError):
            node.sockets.release(owner(1))
    assert len(node.sockets.leases()) == 1
    node.sockets.release(owner(1))
    assert node.sockets.leases() == []


def test_leases_outlive_the_agent(node):
    lease = node.sockets.acquire("a", owner(1))
    before = os.stat(lease.directory).st_ino
    node.start()
    assert node.sockets.leases() == [lease]
    assert node.backend.restored == [lease]
    assert os.stat(lease.directory).st_ino == before
    assert node.sockets.acquire("a", owner(1)) == lease
    node.sockets.release(owner(1))
    assert node.pods() == []


def test_leases_do_not_outlive_the_node(node):
    node.sockets.acquire("a", owner(1))
    (node.root / "proc/sys/kernel/random/boot_id").write_text("two\n")
    node.start()
    assert node.sockets.leases() == []
    assert node.backend.held == {}
    node.sockets.release(owner(1))


def test_what_an_agent_left_that_was_killed_in_the_middle_goes(node):
    lease = node.sockets.acquire("a", owner(1))
    stray = f"{node.folders.root}/uid-9"
    os.mkdir(stray)
    node.start()
    assert node.pods() == [os.path.basename(lease.directory)]


def test_leases_of_a_back_end_that_is_gone_are_forgotten(node):
    node.sockets.acquire("b", owner(1))
    path = node.root / FILE[1:]
    path.write_text(path.read_text().replace('"backend": "ovs"', '"backend": "vpp"'))
    node.start()
    assert node.sockets.leases() == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 1, "boot_id": "one", "leases": [{}]}'])
def test_a_broken_file_of_leases(node, content):
    path = node.root / FILE[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    node.start()
    assert node.sockets.leases() == []


def test_fifty_requests_at_once(node):
    """No device twice; who got none is told so; nothing is left at the end."""

    def one(number: int) -> SocketLease | None:
        try:
            return node.sockets.acquire("a", owner(number))
        except DeviceTaken:
            return None

    with ThreadPoolExecutor(50) as pool:
        given = [lease for lease in pool.map(one, range(50)) if lease]
    assert sorted(lease.device for lease in given) == DEVICES
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda number: node.sockets.release(owner(number)), range(50)))
    assert (node.sockets.leases(), node.pods(), node.on_disk(), node.backend.held) == ([], [], [], {})


def test_one_owner_asks_and_gives_back_from_many_sides(node):
    generator = random.Random(1)
    steps = [generator.random() < 0.5 for _number in range(200)]

    def one(acquire: bool) -> None:
        with suppress(NotReady, DeviceTaken):
            node.sockets.acquire("a", owner(1)) if acquire else node.sockets.release(owner(1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, steps))
    node.sockets.release(owner(1))
    assert (node.sockets.leases(), node.pods(), node.on_disk(), node.backend.held) == ([], [], [], {})


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["acquire", "release", "restart", "fail"])), max_size=25))
def test_whatever_happens_a_device_has_one_owner_and_what_is_on_disk_is_true(tmp_path_factory, steps):
    """Against a model that is a dictionary."""
    node = Node(tmp_path_factory.mktemp("n"))
    if len(str(node.root)) > 60:
        node.folders.lease = _short(node.folders)
    model: dict[int, str] = {}
    for number, step in steps:
        if step == "release":
            node.sockets.release(owner(number))
            model.pop(number, None)
        elif step == "restart":
            node.start()
        else:
            if step == "fail":
                node.backend.failing = dict.fromkeys(DEVICES, NotReady("no"))
            try:
                model[number] = node.sockets.acquire("a", owner(number)).device
            except NotReady:
                # What the owner had before is still there.
                assert step == "fail"
            except DeviceTaken:
                assert len(model) == len(DEVICES)
            node.backend.failing = {}
        assert {lease.owner.key: lease.device for lease in node.sockets.leases()} == {
            owner(number).key: device for number, device in model.items()
        }
        assert len(set(model.values())) == len(model)
        assert node.pods() == sorted(f"uid-{number}" for number in model)


def _short(folders: PodFolders):
    """The folders of a test can be deeper than a socket's path may be long; nothing listens there."""

    def lease(backend, device, name, owner, mode):
        return SocketLease(device, backend, f"{folders.root}/{owner.uid}", name, owner, mode)

    return lease
