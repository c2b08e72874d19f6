# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as a whole on a node that is a folder: lists, devices, sockets, pods, and what it says of them."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import NoReturn

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.agent_node import PF, VFS, Node
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import (
    behave,
    connect,
    is_socket,
    running,
    starts,
    wait_for,
)
from fastpath_agent import agent as agent_module
from fastpath_agent import http
from fastpath_agent import runner as runner_module
from fastpath_agent.config import Config
from fastpath_agent.model import DeviceTaken, NotReady, PodOwner

POD = PodOwner("c" * 64, "net1", "apps", "one", "uid-1")
OTHER = PodOwner("d" * 64, "net1", "apps", "two", "uid-2")


def fail(error: Exception) -> NoReturn:
    raise error


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(runner_module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(agent_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(http, "STOP_SECONDS", 0.02)


@pytest.fixture
def node(place):
    made = Node(place)
    yield made
    made.stop()


def test_a_list_becomes_sockets(node):
    node.start()
    assert node.sockets() == {}
    assert (node.folder / "run/socketList.dat").read_text() == "[]\n"
    node.write_list(*VFS[:2])
    node.wait_for_sockets(*VFS[:2])
    text = (node.folder / "run/socketList.dat").read_text()
    assert text == (
        f'[{{\n    "pciAddress": "{VFS[0]}",\n    "socketpath": "{node.folder}/run/vhost/vdpa-0"\n}}, '
        f'{{\n    "pciAddress": "{VFS[1]}",\n    "socketpath": "{node.folder}/run/vhost/vdpa-1"\n}}]\n'
    )
    for path in node.sockets().values():
        connect(path).close()
        assert node.agent.lookup(VFS[0]).endswith("vdpa-0")


def test_a_list_that_was_there_before_the_agent(node):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])


def test_the_agent_writes_the_list_from_pools(place):
    node = Node(place, pci_list="pools")
    node.start()
    assert (place / "run/pciList.dat").read_text() == f"{VFS[0]}\n{VFS[1]}\n"
    node.wait_for_sockets(*VFS[:2])
    node.write_list(VFS[1])
    node.wait_for_sockets(VFS[1])
    node.stop()


def test_what_was_listed_comes_and_goes_live(node):
    """One VF's coming and going is nothing to the other's pod."""
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    pid = node.state(VFS[0]).pid
    node.write_list(VFS[0], VFS[1])
    node.wait_for_sockets(*VFS[:2])
    node.write_list(VFS[0])
    node.wait_for_sockets(VFS[0])
    assert node.state(VFS[0]).pid == pid
    (node.folder / "run/pciList.dat").unlink()
    node.wait_for_sockets()


def test_a_pod_gets_its_socket_and_the_map_says_where(node):
    node.write_list(*VFS[:2])
    node.start()
    node.wait_for_sockets(*VFS[:2])
    lease = node.agent.sockets.acquire(VFS[1], POD, "client")
    assert lease.path == f"{node.folder}/run/pods/uid-1/vdpa-1"
    wait_for(lambda: node.sockets().get(VFS[1]) == lease.path, "the map")
    assert node.agent.lookup(VFS[1]) == lease.path
    with pytest.raises(DeviceTaken):
        node.agent.sockets.acquire(VFS[1], OTHER, "client")
    wait_for(lambda: node.status()["leases"], "the status")
    (shown,) = node.status()["leases"]
    assert (shown["socket"], shown["owner"]["pod"]) == (lease.path, "one")
    node.agent.sockets.release(POD)
    wait_for(lambda: node.sockets().get(VFS[1], "").endswith("vhost/vdpa-1"), "the device")
    assert os.listdir(node.folder / "run/pods") == []


def test_what_cannot_be_used_is_said_and_the_rest_works(node):
    node.function(VFS[1], driver="virtio-pci")
    node.write_list(VFS[0], VFS[1], "0000:99:00.0", "nonsense", "")
    node.start()
    node.wait_for_sockets(VFS[0])
    assert "bound to the kernel's driver virtio-pci" in node.state(VFS[1]).reason
    assert node.state("0000:99:00.0").state == "absent"
    wait_for(lambda: node.status()["problems"], "the status")
    assert "line 4: 'nonsense' is no PCI address" in node.status()["problems"][0]
    node.function(VFS[1])
    node.wait_for_sockets(*VFS[:2])


def test_a_removed_vf_is_let_go_of_and_said_within_seconds(node):
    told = []
    node.write_list(*VFS[:2])
    node.start()
    node.agent.listeners.append(lambda lease, reason: told.append((lease.device, reason)))
    node.wait_for_sockets(*VFS[:2])
    lease = node.agent.sockets.acquire(VFS[0], POD, "client")
    pid = node.state(VFS[0]).pid
    node.remove_vf(VFS[0])
    wait_for(lambda: not running(pid), "the end of its process, for which the kernel waits")
    node.wait_for_sockets(VFS[1])
    wait_for(lambda: told, "who listens")
    assert told == [(VFS[0], f"{VFS[0]} is being removed.")]
    assert f'device="{VFS[0]}",backend="vdpa",pool="vdpa_a",state="absent"}} 1' in node.get("/metrics")[1]
    node.add_vf(VFS[0], 0)
    wait_for(lambda: is_socket(lease.path), "the lease's socket")
    wait_for(lambda: told[-1] == (VFS[0], ""), "who listens")


def test_a_killed_process_is_said_and_comes_back(node):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    node.agent.sockets.acquire(VFS[0], POD, "client")
    behave(node.folder, "no-pages")
    os.kill(node.state(VFS[0]).pid, signal.SIGKILL)
    wait_for(lambda: node.sockets() == {}, "no socket")
    wait_for(lambda: "hugepage" in node.status()["devices"][0]["reason"], "the reason")
    wait_for(lambda: node.get("/readyz")[0] == 503, "a probe that says so")
    assert "hugepage" in node.get("/readyz")[1]
    assert node.get("/livez")[0] == 200
    assert 'fastpath_agent_backend_up{backend="vdpa"} 0' in node.get("/metrics")[1]
    with pytest.raises(NotReady, match="hugepage"):
        node.agent.sockets.acquire(VFS[0], POD, "client")
    behave(node.folder)
    node.wait_for_sockets(VFS[0])
    assert node.get("/readyz") == (200, "ok\n")


def test_a_process_that_only_starts_again_and_again_is_said_once(node):
    """Between two failures it is starting, which is no sign of life."""
    told, seen = [], []
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    node.agent.sockets.acquire(VFS[0], POD, "client")
    node.agent.listeners.append(lambda lease, reason: told.append(reason))
    behave(node.folder, "no-pages")
    os.kill(node.state(VFS[0]).pid, signal.SIGKILL)
    wait_for(lambda: node.agent.backends[0].problem, "the problem")
    wait_for(lambda: seen.append(node.agent.backends[0].problem) or node.state(VFS[0]).restarts >= 4, "more failures")
    assert all(seen)
    behave(node.folder)
    wait_for(lambda: told[-1:] == [""], "who listens")
    assert [bool(reason) for reason in told].count(False) == 1


def test_an_agent_that_was_killed_comes_back_to_processes_that_went_on(node):
    node.write_list(*VFS[:2])
    node.start()
    node.wait_for_sockets(*VFS[:2])
    lease = node.agent.sockets.acquire(VFS[0], POD, "client")
    pids = [node.state(address).pid for address in VFS[:2]]
    pod = connect(lease.path)
    node.stop(let_go=True)
    node.start()
    node.wait_for_sockets(*VFS[:2])
    assert [node.state(address).pid for address in VFS[:2]] == pids
    assert node.agent.sockets.leases() == [lease]
    assert len(starts(node.folder)) == 2
    pod.setblocking(False)
    with pytest.raises(BlockingIOError):
        pod.recv(1)
    pod.close()


def test_a_rebooted_node_starts_from_nothing(node):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    node.agent.sockets.acquire(VFS[0], POD, "client")
    node.stop()
    node.put("proc/sys/kernel/random/boot_id", "two\n")
    node.put("proc/stat", "btime 4000000000\n")
    node.start()
    assert node.agent.sockets.leases() == []
    assert os.listdir(node.folder / "run/pods") == []
    wait_for(lambda: "before this boot" in "".join(node.status()["problems"]), "the problem")
    assert node.sockets() == {}, "the list is of the former boot"
    node.agent.sockets.release(POD)
    node.put("proc/stat", "btime 1000\n")
    node.write_list(VFS[0])
    node.wait_for_sockets(VFS[0])


def test_the_end_leaves_no_process_and_no_socket(node):
    node.write_list(*VFS[:2])
    node.start()
    node.wait_for_sockets(*VFS[:2])
    pids = [node.state(address).pid for address in VFS[:2]]
    node.stop()
    assert not any(map(running, pids))
    assert os.listdir(node.folder / "run/vhost") == []
    assert node.sockets() == {}, "the file promises nothing either"


def test_what_goes_wrong_in_a_round_is_said_and_tried_again(node, monkeypatch):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    with monkeypatch.context() as patch:
        patch.setattr(agent_module, "format_socket_list", lambda pairs: fail(OSError(28, "No space")))
        wait_for(lambda: "No space" in "".join(node.agent.problems), "the problem")
        assert node.agent.alive
    wait_for(lambda: not node.agent.problems, "no problem")


def test_a_step_that_goes_wrong_keeps_no_other_from_its_work(node, monkeypatch, caplog):
    """A disk that is full: pods' events, the status and what CNI repairs come all the same."""
    told, rounds = [], []
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    node.agent.sockets.acquire(VFS[0], POD, "client")
    node.agent.listeners.append(lambda lease, reason: told.append(reason))
    node.agent.on_tick.insert(0, lambda: 1 / 0)
    node.agent.on_tick.append(lambda: rounds.append(1))
    with monkeypatch.context() as patch:
        patch.setattr(agent_module, "format_socket_list", lambda pairs: fail(OSError(28, "No space")))
        behave(node.folder, "no-pages")
        os.kill(node.state(VFS[0]).pid, signal.SIGKILL)
        wait_for(lambda: told, "who listens")
        wait_for(lambda: len(node.status()["problems"]) == 2, "the status")
        seen = len(rounds)
        wait_for(lambda: len(rounds) > seen, "what comes last")
    assert "SIGKILL" in told[0]
    assert caplog.text.count("No space") == 1, "said once"


def test_a_list_that_somebody_empties_cuts_no_pod_off(node):
    node.write_list(*VFS[:2])
    node.start()
    node.wait_for_sockets(*VFS[:2])
    lease = node.agent.sockets.acquire(VFS[0], POD, "client")
    pid = node.state(VFS[0]).pid
    with connect(lease.path):
        (node.folder / "run/pciList.dat").write_text("")
        node.wait_for_sockets(VFS[0])
        assert (node.state(VFS[0]).state, node.state(VFS[0]).pid) == ("leased", pid)
        assert node.agent.problems == (f"{VFS[0]} is leased, and in the list no more",)
        node.stop(let_go=True)
        node.start()
        node.wait_for_sockets(VFS[0])
        assert node.state(VFS[0]).pid == pid
    node.agent.sockets.release(POD)
    node.wait_for_sockets()
    wait_for(lambda: node.state(VFS[0]) is None, "the end of its process")


def test_a_list_that_cannot_be_read_is_as_it_was(node, monkeypatch):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    with monkeypatch.context() as patch:
        patch.setattr(node.agent._list, "_read", lambda: fail(OSError(5, "Input/output error")))
        wait_for(lambda: "cannot be read: Input/output error" in "".join(node.agent.problems), "the problem")
        assert node.state(VFS[0]).state == "ready"
    wait_for(lambda: not node.agent.problems, "no problem")


def test_what_nobody_foresaw_does_not_end_the_loop(node, monkeypatch):
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    with monkeypatch.context() as patch:
        patch.setattr(agent_module, "format_socket_list", lambda pairs: 1 / 0)
        wait_for(lambda: "ZeroDivisionError" in "".join(node.agent.problems), "the problem")
        assert node.agent.alive
    wait_for(lambda: not node.agent.problems, "no problem")


def test_without_inotify_the_list_is_followed_all_the_same(node, monkeypatch):
    monkeypatch.setattr(agent_module, "FolderWatch", lambda *_arguments: fail(OSError(24, "too many")))
    node.start()
    node.write_list(VFS[0])
    node.wait_for_sockets(VFS[0])


def test_pages(node):
    node.start()
    assert node.get("/livez") == (200, "ok\n")
    assert node.get("/nothing")[0] == 404
    assert json.loads(node.get("/status")[1])["version"] == 1
    assert "fastpath_agent_info" in node.get("/metrics?x=1")[1]


def test_a_loop_that_hangs_is_not_alive(node, monkeypatch):
    monkeypatch.setattr(agent_module, "ALIVE_SECONDS", 0.0)
    node.start()
    assert node.get("/livez") == (503, "loop: it does not come round\n")


def test_an_open_vswitch_that_hangs_holds_nobody_else_up(place, monkeypatch):
    """A loop that waited for it would be taken for dead, and with the container all pods' processes would end."""
    monkeypatch.setattr(agent_module, "DATABASE_SECONDS", 3)
    monkeypatch.setattr(agent_module, "ALIVE_SECONDS", 2.0)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "db.sock"))
        listener.listen()
        pools = [
            {"name": "vdpa_a", "selectors": {"rootDevices": [PF]}},
            {"name": "b", "backend": "ovs", "bridge": "br0"},
        ]
        node = Node(place, pools=pools, ovs_database=str(place / "db.sock"))
        node.start()
        node.write_list(VFS[0])
        node.wait_for_sockets(VFS[0])
        alive = []
        wait_for(lambda: alive.append(node.agent.alive) or node.service.agent.backends[2].problem, "what hangs is said")
        assert all(alive)
        assert "did not answer: no answer within 3 s" in node.agent.backends[2].problem
        assert node.get("/readyz")[0] == 503
        node.stop()


def test_a_face_that_does_not_answer_is_not_alive(node):
    node.start()
    node.service.status.probes["grpc"] = lambda: "it does not answer"
    assert node.get("/livez") == (503, "grpc: it does not answer\n")


def test_a_configuration_without_pools_serves_what_is_listed(place):
    assert Config().pools == ()
    node = Node(place, pools=[])
    node.write_list(VFS[3])
    node.start()
    node.wait_for_sockets(VFS[3])
    node.stop()


def test_grpc_as_part_of_the_whole(place):
    from fastpath_agent.rpc import ask

    node = Node(place, grpc=True)
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    path = str(place / "run/vdpa.sock")
    assert ask(path, VFS[0]) == str(place / "run/vhost/vdpa-0")
    assert ask(path, VFS[1]) == ""
    lease = node.agent.sockets.acquire(VFS[0], POD, "client")
    assert ask(path, VFS[0]) == lease.path
    assert "fastpath_agent_grpc_found_total 2" in node.get("/metrics")[1]
    assert node.get("/livez") == (200, "ok\n")
    node.stop()
    assert not os.path.exists(path)
