# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A port for each pod: made, watched, taken back, also where Open vSwitch fails in between."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.tests.unit.agent.ovs_server import OvsServer
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import connect, is_socket
from fastpath_agent import ovs_backend
from fastpath_agent.config import parse
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.model import NotReady, PodOwner, SocketError
from fastpath_agent.ovs_backend import OvsBackend
from fastpath_agent.sockets import Sockets

PORT = "aaaaaaaaaaaa-net1"


def owner(letter: str = "a", ifname: str = "net1") -> PodOwner:
    return PodOwner(letter * 64, ifname, "apps", f"pod-{letter}", f"uid-{letter}")


class Bench:
    def __init__(self, place) -> None:
        self.place = place
        self.server = OvsServer(place)
        self.server.add_bridge("br0")
        self.start()

    def start(self) -> None:
        config = parse(
            {
                "directory": str(self.place / "run"),
                "ovs_database": self.server.path,
                "pools": [{"name": "ovs_a", "backend": "ovs", "bridge": "br0", "vlan": 7}, {"name": "vdpa_a"}],
            }
        )
        folders = PodFolders(Host(), config.directory, links=True)
        self.backend = OvsBackend(config, folders, Ovsdb(Host(), self.server.path, timeout=10))
        self.sockets = Sockets([self.backend], LeaseFile(Host(), str(self.place / "leases.json")), folders)
        self.sockets.restore()


@pytest.fixture
def bench(place, monkeypatch):
    monkeypatch.setattr(ovs_backend, "TAKE_OVER_SECONDS", 0.6)
    made = Bench(place)
    yield made
    made.server.stop()


def test_a_pod_gets_a_port_and_makes_the_socket_itself(bench):
    lease = bench.sockets.acquire("ovs_a", owner(), "server")
    assert (lease.device, lease.socket_name, lease.mode) == (f"ovs_a/{PORT}", PORT, "server")
    assert bench.server.ports() == [PORT, "br0"]
    assert bench.server.interface(PORT)["options"]["vhost-server-path"] == lease.path
    assert os.stat(lease.directory).st_mode & 0o777 == 0o770
    bench.sockets.release(owner())
    assert bench.server.ports() == ["br0"]
    assert not os.path.exists(lease.directory)


def test_the_same_again_changes_nothing(bench):
    lease = bench.sockets.acquire("ovs_a", owner(), "server")
    commits = bench.server.database.commits
    assert bench.sockets.acquire("ovs_a", owner(), "server") == lease
    bench.backend.tend()
    assert bench.server.database.commits == commits


def test_names_of_other_pools(bench):
    assert bench.backend.candidates("vdpa_a", owner()) is None
    assert bench.backend.candidates("nothing", owner()) is None


def test_a_port_that_cannot_be_made_is_taken_back(bench):
    bench.server.errors[PORT] = "could not open network device (Invalid argument)"
    with pytest.raises(NotReady, match="could not open network device"):
        bench.sockets.acquire("ovs_a", owner(), "server")
    assert bench.server.ports() == ["br0"]
    assert bench.sockets.leases() == []
    assert os.listdir(bench.place / "run/pods") == []


def test_a_bridge_that_is_not_there(bench):
    bench.server.delete_bridge("br0")
    with pytest.raises(SocketError, match="has no bridge br0"):
        bench.sockets.acquire("ovs_a", owner(), "server")
    assert bench.sockets.leases() == []


def test_a_turn_that_never_comes(bench, monkeypatch):
    monkeypatch.setattr(ovs_backend, "TURN_SECONDS", 0.05)
    with bench.backend._work:
        with pytest.raises(NotReady, match="busy with ports of other pods"):
            bench.sockets.acquire("ovs_a", owner(), "server")
        bench.backend.tend()
        assert "busy with ports of other pods" in bench.backend.problem
    bench.sockets.release(owner())
    bench.sockets.acquire("ovs_a", owner(), "server")
    bench.backend.tend()
    assert bench.backend.problem == ""


def test_an_open_vswitch_that_stands_still(bench):
    """The database took the change, and nobody brought it about: the change is taken back in the database."""
    bench.server.running = False
    with pytest.raises(NotReady, match="in vain for ovs-vswitchd to take the change over"):
        bench.sockets.acquire("ovs_a", owner(), "server")
    bench.server.running = True
    bench.sockets.release(owner())
    assert bench.server.ports() == ["br0"]
    assert bench.sockets.leases() == []


def test_an_ovs_vswitchd_that_is_gone_is_said_although_its_database_answers(bench):
    bench.sockets.acquire("ovs_a", owner(), "server")
    bench.server.running = False
    bench.backend.tend()
    assert "ovs-vswitchd does not run" in bench.backend.problem
    (state,) = bench.backend.states()
    assert (state.state, state.reason) == ("failed", bench.backend.problem)
    bench.server.running = True
    bench.backend.tend()
    assert bench.backend.problem == ""
    assert bench.backend.states()[0].state == "leased"


def test_who_waits_for_a_turn_keeps_nobody_from_seeing_that_ovs_vswitchd_is_gone(bench):
    bench.server.running = False
    with bench.backend._turn():
        bench.backend.tend()
    assert "ovs-vswitchd does not run" in bench.backend.problem


def test_a_database_that_is_gone_keeps_the_lease_until_it_is_back(bench):
    bench.sockets.acquire("ovs_a", owner(), "server")
    os.rename(bench.server.path, f"{bench.server.path}.away")
    with pytest.raises(NotReady, match="cannot be reached"):
        bench.sockets.release(owner())
    with pytest.raises(NotReady, match="cannot be reached"):
        bench.sockets.acquire("ovs_a", owner("b"), "server")
    bench.backend.tend()
    assert "cannot be reached" in bench.backend.problem
    (state,) = [state for state in bench.backend.states() if state.device == f"ovs_a/{PORT}"]
    assert (state.state, state.healthy) == ("failed", False)
    os.rename(f"{bench.server.path}.away", bench.server.path)
    bench.sockets.release(owner())
    bench.sockets.release(owner("b"))
    bench.backend.tend()
    assert (bench.server.ports(), bench.sockets.leases(), bench.backend.problem) == (["br0"], [], "")


def test_who_is_connected(bench):
    lease = bench.sockets.acquire("ovs_a", owner(), "server")
    bench.backend.tend()
    (state,) = bench.backend.states()
    assert (state.device, state.pool, state.state, state.connected) == (lease.device, "ovs_a", "leased", False)
    bench.server.connected.add(PORT)
    bench.backend.tend()
    bench.backend.tend()
    (state,) = bench.backend.states()
    assert (state.connected, state.socket) == (True, lease.path)


def test_a_port_that_somebody_removed_comes_back(bench):
    bench.sockets.acquire("ovs_a", owner(), "server")
    bench.server.delete_bridge("br0")
    bench.backend.tend()
    assert bench.backend.states()[0].state == "failed"
    assert "has no bridge br0" in bench.backend.states()[0].reason
    bench.server.add_bridge("br0")
    bench.backend.tend()
    assert bench.backend.states()[0].state == "leased"
    assert bench.server.ports() == [PORT, "br0"]


def test_another_agent_goes_on(bench):
    lease = bench.sockets.acquire("ovs_a", owner(), "server")
    commits = bench.server.database.commits
    bench.start()
    bench.backend.tend()
    assert bench.server.database.commits == commits
    assert [state.device for state in bench.backend.states()] == [lease.device]
    bench.sockets.release(owner())
    assert bench.server.ports() == ["br0"]


def test_ports_that_a_former_boot_left_go(bench):
    """Open vSwitch keeps its database over a reboot, and pods do not outlive one."""
    bench.sockets.acquire("ovs_a", owner(), "server")
    (bench.place / "leases.json").unlink()
    bench.start()
    bench.backend.tend()
    assert bench.server.ports() == ["br0"]


def test_a_pod_that_is_the_client_gets_the_socket_in_its_own_folder(bench):
    """And not the folder in which Open vSwitch has the sockets of all."""
    lease = bench.sockets.acquire("ovs_a", owner(), "client")
    assert bench.server.interface(PORT)["type"] == "dpdkvhostuser"
    assert is_socket(lease.path)
    assert not os.path.exists(bench.place / PORT)
    connect(lease.path).close()
    bench.sockets.release(owner())
    assert not os.path.exists(lease.directory)


def test_a_socket_that_open_vswitch_made_anew_is_fetched_again(bench):
    lease = bench.sockets.acquire("ovs_a", owner(), "client")
    before = os.lstat(lease.path).st_ino
    bench.server.make_socket(PORT)
    bench.backend.tend()
    assert os.lstat(lease.path).st_ino != before
    connect(lease.path).close()


def test_a_socket_that_open_vswitch_does_not_make(bench):
    bench.server.makes_sockets = False
    with pytest.raises(NotReady, match="in vain for Open vSwitch to make"):
        bench.sockets.acquire("ovs_a", owner(), "client")
    assert bench.server.ports() == ["br0"]


def test_where_open_vswitch_has_its_sockets(bench):
    (bench.place / "vhost").mkdir()
    bench.server.database.root["other_config"] = {"vhost-sock-dir": "vhost"}
    lease = bench.sockets.acquire("ovs_a", owner(), "client")
    assert is_socket(lease.path)


def test_fifty_pods_at_once(bench, monkeypatch):
    """However slow the machine is that this runs on."""
    monkeypatch.setattr(ovs_backend, "TURN_SECONDS", 300.0)

    def one(number: int) -> None:
        bench.sockets.acquire("ovs_a", PodOwner(f"{number:064x}"[::-1], "net1", uid=f"u{number}"), "server")

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(one, range(50)))
    assert len(bench.server.ports()) == 51
    assert len({lease.path for lease in bench.sockets.leases()}) == 50
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda lease: bench.sockets.release(lease.owner), bench.sockets.leases()))
    assert bench.server.ports() == ["br0"]
    assert os.listdir(bench.place / "run/pods") == []


def test_a_node_without_such_a_pool_never_asks_open_vswitch(place):
    config = parse({"directory": str(place), "ovs_database": str(place / "none.sock")})
    backend = OvsBackend(config, PodFolders(Host(), str(place)), Ovsdb(Host(), str(place / "none.sock")))
    backend.tend()
    assert backend.problem == ""
