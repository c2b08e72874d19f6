# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of pods on this machine's Open vSwitch, in a folder and a network namespace of its own.

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
from ansible_collections.nfv.fastpath.tests.ovs_sandbox import EAL, Sandbox, available
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import (
    CONTAINER,
    SHORT,
    UID,
    Node,
    is_socket,
    ovs_pod,
    userspace_conf,
    vhostuser_conf,
)
from fastpath_agent.cni.ovs import Switch

pytestmark = pytest.mark.skipif(not available(), reason="needs openvswitch-switch-dpdk, and root for a namespace")
PORT = f"{SHORT}-net1"


@pytest.fixture(name="ovs", scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The folder's path is short: sockets have to fit."""
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    made = Sandbox(folder / "o")
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
    made.change(switch=Switch(f"{ovs.folder}/run/openvswitch/db.sock"))
    made.pods.put(ovs_pod())
    return made


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
    node.change(switch=Switch(f"{ovs.folder}/none.sock"))
    assert node.bad("DEL", conf, "userspace")["code"] == 11
    node.change(switch=Switch(f"{ovs.folder}/run/openvswitch/db.sock"))
    node.good("GC", {**conf, "cniVersion": "1.1.0", "cni.dev/valid-attachments": []}, "userspace")
    assert ovs.vsctl("list-br") == ""
