# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent's ports of pods on a real Open vSwitch, in a folder and a network namespace of its own.

DPDK runs without hugepages and devices, so this shows what no model can: that the real programs take it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovsdb import Ovsdb
from ansible_collections.nfv.fastpath.tests.ovs_sandbox import EAL, Sandbox, make_sandbox
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    SHORT,
    UID,
    ovs_pod,
    userspace_conf,
    vhostuser_conf,
)
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import is_socket
from fastpath_agent.cni.ovs import Port, Switch
from fastpath_agent.config import parse
from fastpath_agent.folders import PodFolders
from fastpath_agent.lease_file import LeaseFile
from fastpath_agent.model import NotReady, PodOwner
from fastpath_agent.ovs_backend import OvsBackend
from fastpath_agent.sockets import Sockets

PORT = f"{SHORT}-net1"
OWNER = PodOwner(CONTAINER, "net1", "apps", "one", UID)


@pytest.fixture(name="ovs", scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The folder's path is short: sockets have to fit."""
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    made = make_sandbox(folder / "o")
    try:
        made.start_server()
        options = {"dpdk-init": "true", "dpdk-extra": EAL, "pmd-cpu-mask": "1", "per-port-memory": "true"}
        settings = [f'other_config:{key}="{value}"' for key, value in options.items()]
        made.vsctl("--no-wait", "set", "Open_vSwitch", ".", *settings)
        assert made.start_vswitchd().rc == 0
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@pytest.fixture
def node(ovs: Sandbox, tmp_path: Path) -> Node:
    """The plugins on a node whose Open vSwitch is the sandbox's."""
    made = Node(tmp_path / "host")
    shutil.rmtree(made.root / "run/openvswitch")
    (made.root / "run/openvswitch").symlink_to(ovs.folder / "run/openvswitch")
    made.change(switch=switch(ovs))
    made.pods.put(ovs_pod())
    return made


def switch(ovs: Sandbox, name: str = "db.sock") -> Switch:
    return Switch(Ovsdb(Host(), f"{ovs.folder}/run/openvswitch/{name}", timeout=10))


def interface(ovs: Sandbox, column: str) -> str:
    return ovs.vsctl("get", "Interface", PORT, column)


def test_pod_connects(ovs: Sandbox, node: Node) -> None:
    """Open vSwitch makes the socket; it is moved, works there, and comes again after a restart."""
    conf: dict[str, Any] = userspace_conf("server", cniVersion="1.1.0")
    result = node.good("ADD", conf, "userspace")
    path = f"{ovs.folder}/run/openvswitch/pods/{UID}/{PORT}"
    assert is_socket(path) and interface(ovs, "type") == "dpdkvhostuser"
    assert ovs.vsctl("get", "Bridge", "br0", "datapath_type") == "netdev"
    node.good("CHECK", {**conf, "prevResult": result}, "userspace")
    ovs.kill()
    assert ovs.start_vswitchd().rc == 0
    ovs.wait_for(lambda: os.path.exists(f"{ovs.folder}/run/openvswitch/{PORT}"), 10, "the new socket")
    before = os.stat(path).st_ino
    node.dispatcher.repair()
    assert is_socket(path) and os.stat(path).st_ino != before
    node.good("DEL", conf, "userspace")
    assert ovs.vsctl("list-br") == "" and not os.path.exists(path)


def test_pod_listens_in_a_vlan_on_a_bridge_of_somebody_else(ovs: Sandbox, node: Node) -> None:
    ovs.vsctl("add-br", "br9", "--", "set", "Bridge", "br9", "datapath_type=netdev")
    host = {**userspace_conf("client")["host"], "bridge": {"bridgeName": "br9", "vlanId": 100}}
    conf = userspace_conf("client", host=host)
    node.good("ADD", conf, "userspace")
    node.good("ADD", conf, "userspace", CNI_IFNAME="net2")
    assert interface(ovs, "type") == "dpdkvhostuserclient"
    assert f"pods/{UID}/{PORT}" in interface(ovs, "options:vhost-server-path")
    assert ovs.vsctl("get", "Port", PORT, "tag") == "100"
    node.good("DEL", conf, "userspace")
    assert ovs.vsctl("list-ports", "br9") == f"{SHORT}-net2"
    node.good("DEL", conf, "userspace", CNI_IFNAME="net2")
    assert ovs.vsctl("list-br") == "br9"
    ovs.vsctl("del-br", "br9")


def test_bridge_of_the_kernel_is_refused(ovs: Sandbox, node: Node) -> None:
    ovs.vsctl("--no-wait", "add-br", "br0")
    assert node.bad("ADD", userspace_conf(), "userspace")["code"] == 7
    assert ovs.vsctl("list-ports", "br0") == ""
    ovs.vsctl("--no-wait", "del-br", "br0")


def test_helper_that_is_built_in(ovs: Sandbox, node: Node) -> None:
    node.good("ADD", vhostuser_conf(), "vhostuser")
    assert is_socket(f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}/{PORT}")
    node.good("DEL", vhostuser_conf(), "vhostuser")
    assert ovs.vsctl("list-br") == ""


def test_open_vswitch_away_and_back(ovs: Sandbox, node: Node) -> None:
    conf = userspace_conf("client")
    node.good("ADD", conf, "userspace")
    node.change(switch=switch(ovs, "none.sock"))
    assert node.bad("DEL", conf, "userspace")["code"] == 11
    node.change(switch=switch(ovs))
    node.good("GC", {**conf, "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}, "userspace")
    assert ovs.vsctl("list-br") == ""


def test_another_client_between_two_steps(ovs: Sandbox) -> None:
    """The real server refuses what was decided on a database that is another one by now; it is decided anew."""
    database = Ovsdb(Host(), f"{ovs.folder}/run/openvswitch/db.sock", timeout=10)
    read = database.live

    def read_and_lose_a_race() -> Any:
        found = read()
        if not ovs.vsctl("list-br"):
            ovs.vsctl("add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev")
        return found

    database.live = read_and_lose_a_race  # type: ignore[method-assign]
    made = Switch(database)
    made.add_port(Port("br0", PORT, CONTAINER, "net1", "n", f"{ovs.folder}/x"))
    made.delete_port(CONTAINER, "net1")
    assert ovs.vsctl("list-br") == "br0"
    ovs.vsctl("del-br", "br0")


def test_the_back_end_of_pools(ovs: Sandbox, tmp_path: Path) -> None:
    """Both sides of a socket, through the planner of the role."""
    ovs.vsctl("add-br", "br5", "--", "set", "Bridge", "br5", "datapath_type=netdev")
    pool = {"name": "ovs_a", "backend": "ovs", "bridge": "br5", "vlan": 7}
    place = f"{ovs.folder}/run"
    config = parse({"directory": place, "ovs_database": f"{place}/openvswitch/db.sock", "pools": [pool]})
    folders = PodFolders(Host(), place, links=True)
    backend = OvsBackend(config, folders, Ovsdb(Host(), config.ovs_database, timeout=10))
    sockets = Sockets([backend], LeaseFile(Host(), str(tmp_path / "leases.json")), folders)
    for mode, kind in (("server", "dpdkvhostuserclient"), ("client", "dpdkvhostuser")):
        lease = sockets.acquire("ovs_a", OWNER, mode)
        assert (interface(ovs, "type"), ovs.vsctl("get", "Port", PORT, "tag")) == (kind, "7")
        assert is_socket(lease.path) == (mode == "client")
        backend.tend()
        assert [state.state for state in backend.states()] == ["leased"]
        sockets.release(OWNER)
        assert ovs.vsctl("list-ports", "br5") == "" and not os.path.lexists(lease.path)
    ovs.vsctl("del-br", "br5")
    with pytest.raises(NotReady, match="no bridge br5"):
        sockets.acquire("ovs_a", OWNER, "server")


def test_an_ovs_vswitchd_that_was_killed(ovs: Sandbox) -> None:
    """The database's server says it by the lock that ovs-vswitchd holds there."""
    database = Ovsdb(Host(), f"{ovs.folder}/run/openvswitch/db.sock", timeout=10)
    assert database.switched()
    ovs.kill()
    ovs.wait_for(lambda: not database.switched(), 10, "the lock to be free")
    assert ovs.start_vswitchd().rc == 0
    ovs.wait_for(database.switched, 10, "ovs-vswitchd to have its lock")
