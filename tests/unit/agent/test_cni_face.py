# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The CNI plugins as a part of the whole agent: what its configuration says is what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.agent_node import VFS, Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.ovs_server import OvsServer
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import behave, wait_for
from fastpath_agent import cni_face, protocol
from fastpath_agent import http as http_module
from fastpath_agent.agent import Agent
from fastpath_agent.cni import installer
from fastpath_agent.cni.records import ADDED, Record, Records, Step
from fastpath_agent.config import Config, parse

UNIQUE = {"CNI_CONTAINERID": "c" * 64, "CNI_IFNAME": "net1", "CNI_NETNS": "/run/netns/x"}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(http_module, "STOP_SECONDS", 0.02)
    monkeypatch.setattr(cni_face, "REPAIR_SECONDS", 0.05)


@pytest.fixture
def node(place):
    made = Node(place, cni={"bin_dir": str(place / "bin"), "records": str(place / "cni")})
    yield made
    made.stop()


def ask(node: Node, command: str, netconf: dict, **variables: str) -> dict:
    message = {"command": command, "plugin": "vdpa", "netconf": netconf, "env": {**UNIQUE, **variables}}
    return protocol.request(node.config.cni_socket, message, protocol.ANSWER_SECONDS)


def test_the_agent_installs_its_plugins(node):
    node.start()
    for name in protocol.PLUGINS:
        assert installer.is_shim((node.folder / "bin" / name).read_bytes())
    text = (node.folder / "bin/vdpa").read_text().replace(installer.INTERPRETER, sys.executable, 1)
    (node.folder / "bin/vdpa").write_text(text)
    conf = {"cniVersion": "1.1.0", "name": "n", "type": "vdpa", "sharedDir": "/var/run/vdpa/x"}
    node.write_list(VFS[0])
    node.wait_for_sockets(VFS[0])
    argv, environment = [str(node.folder / "bin/vdpa")], {"CNI_COMMAND": "STATUS", "CNI_PATH": "/opt/cni/bin"}
    done = subprocess.run(argv, input=json.dumps(conf).encode(), env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_folder_of_plugins_that_cannot_be_written_is_said_and_tried_again(node, monkeypatch):
    monkeypatch.setattr(cni_face, "INSTALL_SECONDS", 0.05)
    node.folder.joinpath("bin").write_text("in the way")
    node.write_list(VFS[0])
    node.start()
    node.wait_for_sockets(VFS[0])
    wait_for(lambda: "File exists" in "".join(node.agent.problems), "the problem")
    node.folder.joinpath("bin").unlink()
    wait_for(lambda: not node.agent.problems, "no problem")
    assert installer.is_shim((node.folder / "bin/vdpa").read_bytes())
    (node.folder / "bin/vdpa").unlink()
    wait_for((node.folder / "bin/vdpa").exists, "the plugin that somebody removed")


def test_without_a_folder_nothing_is_installed(place):
    assert Config().cni.bin_dir == ""
    node = Node(place)
    node.start()
    assert not (place / "bin").exists()
    node.stop()


def test_a_plugin_says_when_no_pool_works(node):
    """STATUS of the specification: an ADD would fail now."""
    behave(node.folder, "no-pages")
    node.write_list(*VFS[:2])
    node.start()
    conf = {"cniVersion": "1.1.0", "name": "n", "type": "vdpa", "sharedDir": "/var/run/vdpa/x"}
    wait_for(lambda: node.agent.problem, "a problem of the only back end")
    error = ask(node, "STATUS", conf)["error"]
    assert (error["code"], "the socket pools do not work" in error["msg"]) == (50, True)


def test_fifty_pods_at_once_from_the_plugin_to_open_vswitch_and_back(place):
    """Nothing of the agent is replaced: requests, records, leases, folders, ports."""
    server = OvsServer(place)
    server.add_bridge("br0")
    pools = [{"name": "ovs_a", "backend": "ovs", "bridge": "br0"}]
    node = Node(place, pools=pools, ovs_database=server.path, links_in_pod_folders=True)
    node.start()
    told: list = []
    node.agent.listeners.append(lambda lease, reason: told.append(reason))
    shared = {"pool": "ovs_a", "mode": "server", "sharedDir": str(place / "run/shared")}
    conf = {"cniVersion": "1.1.0", "name": "n", "type": "vdpa", **shared}
    sandboxes = [f"{number:02}" * 32 for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda name: ask(node, "ADD", conf, CNI_CONTAINERID=name), sandboxes))
        assert [answer for answer in answers if not answer["ok"]] == []
        paths = {answer["result"]["interfaces"][0]["socketPath"] for answer in answers}
        assert len(paths) == len({os.path.dirname(path) for path in paths}) == 50
        assert len(server.ports()) == 51
        for _number in range(2):
            answers = list(pool.map(lambda name: ask(node, "DEL", conf, CNI_CONTAINERID=name), sandboxes))
            assert [answer for answer in answers if answer != {"ok": True, "result": {}}] == []
    assert (server.ports(), node.agent.sockets.leases()) == (["br0"], [])
    assert told == [], "nobody has lost a socket"
    for folder in ("run/pods", "run/shared", "cni"):
        assert os.listdir(place / folder) == []
    node.stop()
    server.stop()


@pytest.mark.parametrize(
    ("pools", "problems", "expected"),
    [
        ([], {"vdpa": "no memory"}, "no memory"),
        (["vdpa", "ovs"], {"vdpa": "no memory"}, ""),
        (["vdpa", "ovs"], {"vdpa": "no memory", "ovs": "away"}, "no memory; away"),
        (["ovs"], {"vdpa": "no memory"}, ""),
    ],
)
def test_one_back_end_of_use_is_enough(pools, problems, expected):
    config = SimpleNamespace(pools=[SimpleNamespace(backend=name) for name in pools])
    backends = [SimpleNamespace(name=name, problem=problems.get(name, "")) for name in ("vdpa", "translate", "ovs")]
    assert Agent.problem.fget(SimpleNamespace(config=config, backends=backends)) == expected


def test_sockets_that_open_vswitch_made_again_are_brought_to_their_pods(place):
    """A restart of Open vSwitch leaves a new socket in its own folder, and nobody asks for it to be moved."""
    (place / "ovs/pods/uid").mkdir(parents=True)
    node = Node(place, ovs_database=str(place / "ovs/db.sock"))
    source, target = f"{place}/ovs/c-net1", f"{place}/ovs/pods/uid/c-net1"
    box = cni_face.toolbox(cni_face.settings(node.config), None)
    assert box.settings.ovs_rundir == str(place / "ovs")
    step = Step("file", {"path": target, "source": source})
    record = Record("userspace", "n", "c" * 64, "net1", state=ADDED, steps=(step,))
    node.start()
    Records(box.files, node.config.cni.records).put(record)
    make_socket(source)
    wait_for(lambda: os.path.lexists(target) and not os.path.lexists(source), "the socket in the pod's folder")
    node.stop()


def test_what_the_administrator_decides():
    config = parse(
        {
            "kubelet": "/k",
            "sysfs": "/host/sys",
            "ovs_database": "/o/db.sock",
            "cni": {"records": "/r", "tool_folders": ["/t"], "whole_folders": True},
        }
    )
    found = cni_face.settings(config)
    assert (found.kubelet, found.cgroups, found.ovs_rundir) == ("/k", "/host/sys/fs/cgroup", "/o")
    assert (found.records, found.tool_folders, found.whole_folders) == ("/r", ("/t",), True)
