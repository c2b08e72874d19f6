# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was wrong with the first plugin of the name userspace, one test for each known weakness."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    IPAM,
    SHORT,
    UID,
    ovs_pod,
    pod,
    userspace_conf,
    vpp_conf,
)
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import is_socket


def with_vpp(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")


def test_userspace_1_files_work_without_an_api_and_a_failure_leaves_no_port(node: Node) -> None:
    node.change(pods=None)
    conf = userspace_conf(kubeconfig=None, sharedDir="/run/openvswitch/x")
    node.good("ADD", conf, "userspace")
    folder = f"/run/openvswitch/x/{SHORT}"
    element = json.loads(node.box.files.read(f"{folder}/configData-{SHORT}-net1.json", 10000))
    assert element["config"] == {
        "engine": "ovs-dpdk",
        "iftype": "vhostuser",
        "netType": "interface",
        "memif": {},
        "vhost": {"mode": "client", "socketfile": f"{SHORT}-net1"},
        "bridge": {},
    }
    assert is_socket(f"{node.root}{folder}/{SHORT}-net1")
    node.good("DEL", conf, "userspace")
    # The configuration that failed only after the port was there:
    assert node.bad("ADD", userspace_conf(), "userspace")["code"] == 7
    assert node.database.ports() == {}


def test_userspace_2_del_is_idempotent_and_gives_the_address_back(node: Node) -> None:
    node.pods.put(ovs_pod())
    conf = userspace_conf(ipam=IPAM)
    node.good("DEL", conf, "userspace")
    node.good("ADD", conf, "userspace")
    node.database.away = True
    error = node.bad("DEL", conf, "userspace")
    assert error["code"] == 11
    assert node.programs.allocated == set(), "the address is not held because of the port"
    node.database.away = False
    node.good("DEL", conf, "userspace")
    assert node.database.ports() == {}
    node.good("DEL", conf, "userspace")


def test_userspace_3_deleting_net1_leaves_net10_alone(node: Node) -> None:
    node.change(pods=None)
    conf = userspace_conf(kubeconfig=None, sharedDir="/run/openvswitch/x")
    names = ["net1", "net2", "net10", "net1.x"]
    for name in names:
        node.good("ADD", conf, "userspace", CNI_IFNAME=name)
    node.good("DEL", conf, "userspace", CNI_IFNAME="net1")
    present = set(os.listdir(f"{node.root}/run/openvswitch/x/{SHORT}"))
    expected = {f"{SHORT}-{name}" for name in names[1:]} | {f"configData-{SHORT}-{name}.json" for name in names[1:]}
    assert present == expected
    assert set(node.database.ports()) == {f"{SHORT}-{name}" for name in names[1:]}


def test_userspace_4_only_a_bridge_that_was_made_here_goes(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.database.add_bridge("br0")
    node.good("ADD", userspace_conf(), "userspace")
    node.good("DEL", userspace_conf(), "userspace")
    assert node.database.bridges() == {"br0"}
    other = userspace_conf(host={**userspace_conf()["host"], "bridge": {"bridgeName": "br7"}})
    node.good("ADD", other, "userspace")
    node.good("ADD", other, "userspace", CNI_IFNAME="net2")
    node.good("DEL", other, "userspace")
    assert node.database.bridges() == {"br0", "br7"}
    node.good("DEL", other, "userspace", CNI_IFNAME="net2")
    assert node.database.bridges() == {"br0"}


def test_userspace_5_client_mode_is_there_and_reconnects_by_itself(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.good("ADD", userspace_conf("client"), "userspace")
    interface = node.database.interface(f"{SHORT}-net1")
    path = f"/var/run/openvswitch/pods/{UID}/{SHORT}-net1"
    assert interface["type"] == "dpdkvhostuserclient"
    assert interface["options"] == {"vhost-server-path": path}


def test_userspace_5_server_mode_outlives_a_restart_of_open_vswitch(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.good("ADD", userspace_conf("server"), "userspace")
    target = f"{node.root}/run/openvswitch/pods/{UID}/{SHORT}-net1"
    before = os.stat(target).st_ino
    make_socket(f"{node.root}/run/openvswitch/{SHORT}-net1")
    node.dispatcher.repair()
    assert os.stat(target).st_ino != before
    assert not node.has(f"/run/openvswitch/{SHORT}-net1")


def test_userspace_6_vpp_gives_back_what_it_made_whatever_the_bridge_is_called(node: Node) -> None:
    with_vpp(node)
    node.pods.put(pod(volume={"hostPath": {"path": "/run/vpp/pods"}}))
    for bridge in ({"bridgeName": "4"}, {"bridgeId": 4}):
        conf = vpp_conf(host={**vpp_conf()["host"], "bridge": bridge})
        node.good("ADD", conf, "userspace")
        assert any(
            argv[3:] and argv[3:7] == ["set", "interface", "l2", "bridge"] for argv, *_rest in node.programs.calls
        )
        node.good("DEL", conf, "userspace")
        assert node.programs.memifs == set()


def test_userspace_7_what_open_vswitch_says_is_told_in_bounded_time(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.database.error = "could not add network device to ofproto (No such device)"
    error = node.bad("ADD", userspace_conf(), "userspace")
    assert error["code"] == 104 and "could not add network device" in error["msg"]
    assert node.database.ports() == {}
    node.database.error, node.database.vswitchd = "", False
    assert node.bad("ADD", userspace_conf(), "userspace")["code"] == 11
    assert node.database.ports() == {}
    node.database.away = True
    assert node.bad("ADD", userspace_conf(), "userspace")["code"] == 11
    assert node.programs.calls == [], "no program of Open vSwitch is needed"


def test_userspace_8_versions_conflicts_and_commands_are_real(node: Node) -> None:
    node.pods.put(ovs_pod())
    node.pods.writers_between = 4
    conf = userspace_conf(cniVersion="1.1.0")
    result = node.good("ADD", conf, "userspace")
    assert result["cniVersion"] == "1.1.0"
    node.good("CHECK", {**conf, "prevResult": result}, "userspace")
    node.database.error = "gone"
    node.database.interface(f"{SHORT}-net1").update(ofport=-1, error="gone")
    assert "gone" in node.bad("CHECK", {**conf, "prevResult": result}, "userspace")["msg"]
    node.good("STATUS", conf, "userspace")
    node.good("GC", {**conf, "cni.dev/valid-attachments": []}, "userspace")
    assert node.database.ports() == {}


def test_userspace_vlan_works(node: Node) -> None:
    node.pods.put(ovs_pod())
    conf = userspace_conf(host={**userspace_conf()["host"], "bridge": {"bridgeName": "br0", "vlanId": 100}})
    node.good("ADD", conf, "userspace")
    assert node.database.ports()[f"{SHORT}-net1"]["tag"] == 100


def test_userspace_a_socket_of_a_fixed_name_is_nobody_elses(node: Node) -> None:
    """Where pods may share a folder, a second pod of the same network must not take the first one's socket away."""
    node.settings = replace(node.settings, whole_folders=True)
    node.restart()
    node.pods.put(pod(volume={"hostPath": {"path": "/run/openvswitch/shared"}}, mount={}))
    conf = userspace_conf("server")
    conf["host"]["vhost"]["socketfile"] = "app.sock"
    node.good("ADD", conf, "userspace")
    path = f"{node.root}/run/openvswitch/shared/app.sock"
    before = os.stat(path).st_ino
    assert node.bad("ADD", conf, "userspace", CNI_CONTAINERID="e" * 64)["code"] == 11
    assert os.stat(path).st_ino == before
    node.good("DEL", conf, "userspace", CNI_CONTAINERID="e" * 64)
    node.good("DEL", conf, "userspace")
    assert not os.path.exists(path)
