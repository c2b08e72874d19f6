# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Weaknesses of the programs that did this work before, each with a test that it is gone.

Of vdpa-deployment (a patched device plugin, two containers and shell scripts) and of the Userspace CNI plugin.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _host
from ansible_collections.nfv.fastpath.tests.unit.agent.agent_node import PF, VFS, Node
from ansible_collections.nfv.fastpath.tests.unit.agent.ovs_server import OvsServer
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import behave, connect, is_socket, starts, wait_for
from fastpath_agent import agent as agent_module
from fastpath_agent import http
from fastpath_agent import runner as runner_module
from fastpath_agent.model import PodOwner, SocketError

POD = PodOwner("c" * 64, "net1", "apps", "one", "uid-1")
OTHER = PodOwner("d" * 64, "net1", "apps", "two", "uid-2")
# The tests' own may lie where only root can look.
PYTHON = "/usr/bin/python3"
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(runner_module, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(runner_module, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(agent_module, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(http, "STOP_SECONDS", 0.02)


@pytest.fixture
def node(place):
    made = Node(place, pools=[{"name": "vdpa_a", "selectors": {"rootDevices": [PF]}, "user": 1001, "group": 1001}])
    yield made
    made.stop()


@pytest.fixture
def serving(node):
    node.write_list(*VFS[:2])
    node.start()
    node.wait_for_sockets(*VFS[:2])
    return node


class TestVdpaDeployment:
    @pytest.mark.skipif(os.getuid() != 0 or not os.path.exists(PYTHON), reason="needs root, and a Python for others")
    def test_no_pod_reaches_the_socket_of_another(self, serving):
        """Every pod mounted the folder with the sockets of all."""
        first = serving.agent.sockets.acquire(VFS[0], POD, "client")
        second = serving.agent.sockets.acquire(VFS[1], OTHER, "client")
        assert first.directory != second.directory
        assert os.listdir(serving.folder / "run/vhost") == []
        os.chmod(serving.folder, 0o755)
        # Another user than root: one that a pod's user is, and one that it is not.
        argv = [PYTHON, "-c", CONNECT, first.path]
        tried = [subprocess.run(argv, user=user, group=user, capture_output=True, check=False) for user in (1001, 1002)]
        assert [done.returncode for done in tried] == [0, 1]
        assert b"PermissionError" in tried[1].stderr
        listed = subprocess.run(["ls", str(serving.folder / "run/pods")], user=1002, capture_output=True, check=False)
        assert listed.returncode != 0

    def test_no_limit_of_the_node_is_rewritten(self, node, monkeypatch):
        """Two containers raised the node's limit of inotify watches and set it back, each as it was for itself."""
        written = []
        monkeypatch.setattr(_host.Host, "write_attribute", lambda self, path, value: written.append(path))
        node.write_list(VFS[0])
        node.start()
        node.wait_for_sockets(VFS[0])
        assert written == []

    def test_a_restart_keeps_the_folders_that_pods_have_mounted(self, serving):
        """It removed the folder and made another of that name, which running pods never saw."""
        lease = serving.agent.sockets.acquire(VFS[0], POD, "client")
        before = [os.stat(path).st_ino for path in (lease.directory, serving.folder / "run/vhost")]
        serving.stop()
        assert not os.path.exists(lease.path)
        serving.start()
        wait_for(lambda: is_socket(lease.path), "the socket")
        assert [os.stat(path).st_ino for path in (lease.directory, serving.folder / "run/vhost")] == before
        connect(lease.path).close()

    def test_lists_of_a_former_boot_are_not_believed(self, node):
        """Files that were never removed answered at once after a boot, with sockets of other devices."""
        node.write_list(VFS[0])
        (node.folder / "run/socketList.dat").write_text(f'[{{"pciAddress": "{VFS[1]}", "socketpath": "/x/vdpa-0"}}]\n')
        node.put("proc/stat", "btime 4000000000\n")
        node.start()
        assert node.sockets() == {}
        assert node.agent.lookup(VFS[1]) == ""
        assert "before this boot" in node.agent.problems[0]
        assert starts(node.folder) == []

    def test_a_device_keeps_its_socket_when_the_order_of_the_list_changes(self, serving):
        """Sockets were numbered by the order in which devices were found."""
        before = serving.sockets()
        serving.write_list(VFS[1], VFS[0])
        wait_for(lambda: list(serving.sockets()) == [VFS[1], VFS[0]], "the list")
        assert serving.sockets() == before

    def test_a_reader_never_sees_half_a_list(self, serving):
        """It was written in place, and a reader that came too early served nothing for ever."""
        seen, stop = [], threading.Event()

        def read() -> None:
            while not stop.is_set():
                text = (serving.folder / "run/socketList.dat").read_text()
                seen.append(len(json.loads(text)))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(6):
            serving.write_list(*VFS[: 1 + number % 2])
            serving.wait_for_sockets(*VFS[: 1 + number % 2])
        stop.set()
        reader.join()
        assert set(seen) <= {1, 2}

    def test_a_list_that_comes_late_is_seen_at_once(self, place, monkeypatch):
        """A file that was made between a look and a watch was found five minutes later."""
        monkeypatch.setattr(agent_module, "TICK_SECONDS", 30.0)
        node = Node(place)
        node.start()
        began = time.monotonic()
        node.write_list(VFS[0])
        node.wait_for_sockets(VFS[0])
        assert time.monotonic() - began < 10
        node.stop()

    def test_no_line_of_the_list_becomes_an_argument_unseen(self, node):
        """An empty line became an argument without a device; nothing was looked at."""
        node.function(VFS[2], driver="virtio-pci")
        node.write_list("", VFS[0], VFS[0], "0000:99:00.0", VFS[2], "; reboot", "$(reboot)", "../x")
        node.start()
        node.wait_for_sockets(VFS[0])
        (started,) = starts(node.folder)
        assert f"-a {VFS[0]},vdpa=1 " in started
        states = {state.device: state.state for state in node.agent.states()}
        assert states == {VFS[0]: "ready", "0000:99:00.0": "absent", VFS[2]: "unusable"}
        assert len(node.agent.problems) == 4

    def test_a_device_that_is_no_vdpa_device_is_said_to_be_none(self, node):
        behave(node.folder, "not-vdpa")
        node.write_list(VFS[0])
        node.start()
        wait_for(lambda: "does not drive" in (node.state(VFS[0]).reason if node.state(VFS[0]) else ""), "the reason")
        assert node.sockets() == {}

    @pytest.mark.parametrize("word", ["no-socket", "die-at-create"])
    def test_a_socket_that_was_not_made_is_not_in_the_list(self, node, word):
        """The table had every port, also those that had failed."""
        behave(node.folder, word)
        node.write_list(VFS[0])
        node.start()
        wait_for(lambda: node.state(VFS[0]).restarts >= 1, "a failure")
        assert node.sockets() == {}
        assert node.agent.lookup(VFS[0]) == ""

    def test_nothing_runs_on_the_systems_cpu_and_memory_is_asked_for(self, serving):
        """CPU 0 was written into the script, and no memory at all."""
        for line in starts(serving.folder):
            assert "--lcores 0@1 " in line
            assert "--socket-mem 64 " in line

    def test_probes_test_something(self, serving):
        """There was a start-up probe without anything to run."""
        assert serving.get("/livez")[0] == 200
        assert serving.get("/readyz")[0] == 200
        behave(serving.folder, "no-pages")
        for address in VFS[:2]:
            os.kill(serving.state(address).pid, signal.SIGKILL)
        wait_for(lambda: serving.get("/readyz")[0] == 503, "a probe that says so")

    def test_devices_come_and_go_without_a_restart(self, serving):
        """A new VF meant a restart of everything."""
        pid = serving.state(VFS[0]).pid
        serving.write_list(*VFS[:3])
        serving.wait_for_sockets(*VFS[:3])
        assert serving.state(VFS[0]).pid == pid

    def test_the_list_has_vdpa_devices_once_each_however_often_it_is_written(self, place):
        """All pools were appended to a file, which a crash left there to be appended to again."""
        pools = [
            {"name": "a", "selectors": {"rootDevices": [f"{PF}#0-1"]}},
            {"name": "cloud", "backend": "translate", "selectors": {"pciAddresses": [VFS[3]]}},
        ]
        node = Node(place, pci_list="pools", pools=pools)
        (place / "run").mkdir()
        (place / "run/tmpPciList.dat").write_text(f"{VFS[0]}\n{VFS[3]}\n")
        for _number in range(2):
            node.start()
            assert (place / "run/pciList.dat").read_text() == f"{VFS[0]}\n{VFS[1]}\n"
            node.stop()


class TestUserspaceCni:
    @pytest.fixture
    def bridge(self, place):
        server = OvsServer(place)
        server.add_bridge("br0")
        pools = [{"name": "ovs_a", "backend": "ovs", "bridge": "br0", "vlan": 100}]
        node = Node(place, pools=pools, ovs_database=server.path, links_in_pod_folders=True)
        node.start()
        yield node, server
        node.stop()
        server.stop()

    def test_a_failure_after_the_port_was_made_takes_it_back(self, bridge):
        node, server = bridge
        server.errors["cccccccccccc-net1"] = "no memory"
        with pytest.raises(SocketError):
            node.agent.sockets.acquire("ovs_a", POD, "server")
        assert server.ports() == ["br0"]
        assert os.listdir(node.folder / "run/pods") == []

    def test_deletion_can_be_asked_for_again_and_without_anything_there(self, bridge):
        node, server = bridge
        lease = node.agent.sockets.acquire("ovs_a", POD, "server")
        os.rmdir(lease.directory)
        for _number in range(3):
            node.agent.sockets.release(POD)
        assert server.ports() == ["br0"]

    def test_the_end_of_net1_leaves_net10_alone(self, bridge):
        """Files were removed by a pattern that also fitted longer names."""
        node, server = bridge
        for name in ("net1", "net10"):
            node.agent.sockets.acquire("ovs_a", PodOwner("c" * 64, name, "apps", "one", "uid-1"), "server")
        node.agent.sockets.release(POD)
        assert server.ports() == ["br0", "cccccccccccc-net10"]

    def test_a_bridge_is_left_as_it_was_found(self, bridge):
        """A bridge without ports was removed, whoever had made it."""
        node, server = bridge
        before = server.database.state()["Bridge"]
        node.agent.sockets.acquire("ovs_a", POD, "server")
        node.agent.sockets.release(POD)
        assert server.database.state()["Bridge"] == before

    def test_the_pod_makes_the_socket_and_open_vswitch_comes_back_to_it(self, bridge):
        """The other kind of port was the default, with which all pods have to start again when Open vSwitch does."""
        node, server = bridge
        lease = node.agent.sockets.acquire("ovs_a", POD, "server")
        row = server.interface(lease.socket_name)
        assert (row["type"], row["options"]["vhost-server-path"]) == ("dpdkvhostuserclient", lease.path)

    def test_the_vlan_of_the_pool_is_the_ports(self, bridge):
        """It was read and never used."""
        node, server = bridge
        lease = node.agent.sockets.acquire("ovs_a", POD, "server")
        assert server.database.named("Port", lease.socket_name)["tag"] == 100

    def test_no_tool_of_open_vswitch_is_needed(self, bridge, monkeypatch):
        """Its programs had to be in the PATH of whoever ran the plugin, what they said was lost, and nothing ended."""
        node, _server = bridge
        monkeypatch.setattr(_host.Host, "run", lambda *_arguments, **_more: pytest.fail("a command was run"))
        node.agent.sockets.acquire("ovs_a", POD, "server")
        node.agent.sockets.release(POD)
