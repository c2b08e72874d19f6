# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was wrong with the plugins that these three take the place of, one test for each known weakness.

The first plugins of these names are meant; the numbers tell the weaknesses of each apart.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import (
    CONTAINER,
    DEVICE,
    IPAM,
    NAMESPACE,
    POD,
    SHORT,
    UID,
    Node,
    NoSocket,
    is_socket,
    make_socket,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
    vpp_conf,
)
from fastpath_agent.cni.commands import Completed
from fastpath_agent.cni.errors import CniError


def with_vpp(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")


# vdpa


class UnknownDevice(Exception):
    cni_code = 7


@pytest.mark.parametrize(
    ("what", "code"), [("pools away", 11), ("unknown VF", 7), ("API away", 11), ("no API", 7), ("no socket", 101)]
)
def test_vdpa_1_no_pod_starts_without_its_socket(node: Node, what: str, code: int) -> None:
    node.pods.put(pod())
    before = node.left()
    if what == "pools away":
        node.sockets.fails = NoSocket("the process behind the socket is not up")
    elif what == "unknown VF":
        node.sockets.fails = UnknownDevice(f"{DEVICE} is neither a device nor a pool")
    elif what == "API away":
        node.pods.fails = [CniError(11, "the Kubernetes API is away")]
    elif what == "no API":
        node.change(pods=None)
    else:
        node.sockets.makes_sockets = False
    assert node.bad("ADD", vdpa_conf(ipam=IPAM))["code"] == code
    assert node.left() == before


@pytest.mark.parametrize("container", ["a", "abc", SHORT, CONTAINER])
@pytest.mark.parametrize("conf", [{}, "x", 1, None, [], "{"])
def test_vdpa_2_nothing_panics_on_odd_requests(node: Node, container: str, conf: Any) -> None:
    error = node.bad("ADD", conf, CNI_CONTAINERID=container)
    assert error["code"] in (1, 6)
    node.pods.put(pod())
    node.good("ADD", vdpa_conf(), CNI_CONTAINERID=container)
    node.good("DEL", vdpa_conf(), CNI_CONTAINERID=container)


def test_vdpa_3_files_do_what_the_api_does(node: Node) -> None:
    node.change(pods=None)
    conf = vdpa_conf(kubeconfig=None, sharedDir="/var/run/vdpa/shared", IP="192.0.2.9", IPMask="24")
    node.good("ADD", conf)
    path = f"/var/run/vdpa/shared/{SHORT}/configData-{SHORT}-net1.json"
    element = json.loads(node.box.files.read(path, 10000))
    assert element["config"]["vhost"] == {"mode": "client", "socketfile": "vdpa-0"}
    assert element["ipResult"]["ips"][0]["address"] == "192.0.2.9/24"
    node.good("DEL", conf)
    assert not node.has(f"/var/run/vdpa/shared/{SHORT}")


def test_vdpa_4_versions_check_and_del_are_real(node: Node) -> None:
    """The version asked for; CHECK that checks; DEL that gives everything back. STATUS and GC: test_commands."""
    node.pods.put(pod())
    conf = vdpa_conf(cniVersion="1.0.0")
    result = node.good("ADD", conf)
    assert result["cniVersion"] == "1.0.0"
    node.good("CHECK", {**conf, "prevResult": result})
    os.unlink(f"{node.root}{node.sockets.leases()[0].directory}/vdpa-0")
    assert node.bad("CHECK", {**conf, "prevResult": result})["code"] == 102
    node.good("DEL", conf)
    assert node.sockets.table == {} and "userspace/configuration-data" not in node.pods.annotations()


def test_vdpa_5_addresses_of_every_kind(node: Node) -> None:
    node.pods.put(pod())
    conf = vdpa_conf(
        cniVersion="1.0.0",
        IP="2001:db8::5",
        IPMask="64",
        gateway="2001:db8::1",
        routes=[{"dst": "::/0", "gw": "2001:db8::1"}],
        dns={"nameservers": ["2001:db8::53"]},
    )
    result = node.good("ADD", conf)
    assert result["ips"] == [{"interface": 0, "address": "2001:db8::5/64", "gateway": "2001:db8::1"}]
    assert result["routes"] == [{"dst": "::/0", "gw": "2001:db8::1"}]
    assert result["dns"] == {"nameservers": ["2001:db8::53"]}


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "{}",
        "[1]",
        '[{"pciAddress": "0000:83:00.5", "mac": "01:00:5e:00:00:01"}]',
        '[{"pciAddress": "0000:83:00.5", "mac": "nonsense"}]',
        '[{"pciAddress": "0000:83:00.5", "ipAddr": "300.1.1.1", "ipMask": "255.255.255.0"}]',
        '[{"pciAddress": "0000:83:00.5", "ipAddr": "192.0.2.1", "ipMask": "255.0.255.0"}]',
        '[{"pciAddress": "0000:83:00.5", "ipAddr": "192.0.2.1"}]',
        '[{"pciAddress": "0000:83:00.5", "ipAddr": "192.0.2.1", "ipMask": "0.0.0.0"}]',
        '[{"pciAddress": "0000:83:00.5"}, {"pciAddress": "0000:83:00.5"}]',
    ],
)
def test_vdpa_5_wrong_addresses_are_told_and_nothing_is_made(node: Node, text: str) -> None:
    node.pods.put(pod())
    node.put_file("/var/run/vdpa/hostNic.json", text)
    before = node.left()
    error = node.bad("ADD", vdpa_conf(hostNic="/var/run/vdpa/hostNic.json"))
    assert error["code"] == 7 and "hostNic.json" in error["msg"]
    assert node.left() == before


def test_vdpa_5_host_nic_gives_mac_and_address(node: Node) -> None:
    node.pods.put(pod())
    entries = [
        {"pciAddress": "0000:83:00.2", "ipAddr": "nonsense of another VF", "ipMask": "", "mac": "x"},
        {"pciAddress": DEVICE, "ipAddr": "172.16.224.16", "ipMask": "255.255.240.0", "mac": "00:E8:CA:11:BA:02"},
    ]
    node.put_file("/var/run/vdpa/hostNic.json", json.dumps(entries))
    args = f"K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={POD};MAC=02:00:00:00:00:01"
    result = node.good("ADD", vdpa_conf(hostNic="/var/run/vdpa/hostNic.json"), CNI_ARGS=args)
    assert result["interfaces"][0]["mac"] == "00:e8:ca:11:ba:02"
    assert result["ips"] == [{"version": "4", "interface": 0, "address": "172.16.224.16/20"}]


def test_vdpa_6_annotations_are_merged_although_others_write_too(node: Node) -> None:
    foreign = [{"containerId": "x", "ifName": "net9", "note": '[brackets] and \\ "quotes"'}, "odd"]
    node.pods.put(pod(annotations={"userspace/configuration-data": json.dumps(foreign), "other": "stays"}))
    node.pods.writers_between = 3
    node.good("ADD", vdpa_conf())
    annotations = node.pods.annotations()
    elements = json.loads(annotations["userspace/configuration-data"])
    assert elements[:2] == foreign and elements[2]["ifName"] == "net1"
    assert annotations["other"] == "stays" and "k8s.v1.cni.cncf.io/network-status" in annotations
    node.pods.writers_between = 3
    node.good("DEL", vdpa_conf())
    assert json.loads(node.pods.annotations()["userspace/configuration-data"]) == foreign


def test_vdpa_6_a_pod_that_never_stops_changing_is_try_again_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpath_agent.cni.annotations.FIRST_PAUSE", 0)
    node.pods.put(pod())
    node.pods.writers_between = 1000
    assert node.bad("ADD", vdpa_conf())["code"] == 11
    assert node.sockets.table == {}


@pytest.mark.parametrize("mount", ["/var/lib/cni/usrspcni", "/var/lib/cni/usrspcni/", "/a//"])
def test_vdpa_7_folder_and_file_are_two_things(node: Node, mount: str) -> None:
    node.pods.put(pod(mount={"mountPath": mount, "subPathExpr": "$(POD_UID)"}))
    node.good("ADD", vdpa_conf())
    assert node.pods.annotations()["userspace/mapped-dir"] == mount.rstrip("/")


def test_vdpa_8_a_pod_sees_its_own_sockets_only(node: Node) -> None:
    """The whole folder mounted is refused; the administrator of the node alone can allow it."""
    node.pods.put(pod(mount={}))
    error = node.bad("ADD", vdpa_conf())
    assert error["code"] == 7 and "subPathExpr: $(POD_UID)" in error["msg"]
    assert node.sockets.table == {}


def test_vdpa_8_the_first_manifests_work_where_the_node_allows_it(tmp_path: Any) -> None:
    node = Node(tmp_path, whole_folders=True)
    node.pods.put(pod(mount={}))
    node.good("ADD", vdpa_conf())
    elements = json.loads(node.pods.annotations()["userspace/configuration-data"])
    assert elements[0]["config"]["vhost"]["socketfile"] == f"{UID}/vdpa-0"


# userspace


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
    assert interface["options"] == ["map", [["vhost-server-path", path]]]


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
        assert any(argv[3:] and argv[3:7] == ["set", "interface", "l2", "bridge"] for argv, *_ in node.programs.calls)
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


# vhostuser


def helper(node: Node, tmp_path: Any) -> str:
    folder = tmp_path / "tools"
    folder.mkdir(mode=0o755)
    tool = folder / "helper"
    tool.write_text("#!/bin/false\n")
    tool.chmod(0o755)
    node.change(settings=node.settings.__class__(**{**vars(node.settings), "tool_folders": (str(folder),)}))
    return str(tool)


def test_vhostuser_a_helper_that_fails_is_a_failure(node: Node, tmp_path: Any) -> None:
    tool = helper(node, tmp_path)
    before = node.left()
    for answer in (Completed(1, b"", b"no space"), Completed(0, b"", b""), Completed(0, b"two words\n", b"")):
        node.programs.answers = {"helper create": answer}
        assert node.bad("ADD", vhostuser_conf(tool), "vhostuser")["code"] == 106
        assert node.left() == before


def test_vhostuser_parse_errors_are_told(node: Node) -> None:
    error = node.bad("ADD", vhostuser_conf(vhost={}), "vhostuser")
    assert error["code"] == 7 and "vhost.vhost_tool" in error["msg"]
    assert node.bad("ADD", {"cniVersion": "1.0.0", "name": "x"}, "vhostuser")["code"] == 7


def test_vhostuser_helpers_get_words_and_never_a_line(node: Node, tmp_path: Any) -> None:
    tool = helper(node, tmp_path)
    node.good("ADD", vhostuser_conf(tool), "vhostuser")
    node.good("DEL", vhostuser_conf(tool), "vhostuser")
    socket, mac = f"/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1", None
    calls = [argv for argv, *_ in node.programs.calls if argv[0] == tool]
    mac = calls[2][4]
    assert calls == [
        [tool, "create", socket],
        [tool, "getmac", f"{SHORT}-net1"],
        [tool, "config", f"{SHORT}-net1", "10.56.217.131", mac],
        [tool, "delete", f"{SHORT}-net1"],
        [tool, "delete", f"{SHORT}-net1"],
    ]


@pytest.mark.parametrize(
    "name", ["net1;reboot", "$(reboot)", "a b", "`x`", "../../x", "a/b", "x" * 16, "net1,mac=x", ""]
)
def test_vhostuser_names_with_meaning_are_refused(node: Node, name: str) -> None:
    error = node.bad("ADD", vhostuser_conf(), "vhostuser", CNI_IFNAME=name)
    assert error["code"] == 4 and "CNI_IFNAME" in error["msg"]
    assert node.files() == {"/var/run"}


@pytest.mark.parametrize("tool", ["/bin/sh", "/tmp/x", "sh", "../ovs", "/usr/libexec/fastpath/vhost-tools/../x"])
def test_vhostuser_no_other_program_is_run(node: Node, tool: str) -> None:
    before = node.left()
    error = node.bad("ADD", vhostuser_conf(tool), "vhostuser")
    assert error["code"] in (7, 106), error
    node.good("DEL", vhostuser_conf(tool, ipam=None), "vhostuser")
    assert node.left() == before and node.programs.calls == []


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_vhostuser_a_helper_that_others_can_write_is_not_run(node: Node, tmp_path: Any, mode: int) -> None:
    tool = helper(node, tmp_path)
    os.chmod(tool, mode)
    assert node.bad("ADD", vhostuser_conf(tool), "vhostuser")["code"] == 106
    os.chmod(tool, 0o755)
    os.chmod(os.path.dirname(tool), mode)
    assert node.bad("ADD", vhostuser_conf(tool), "vhostuser")["code"] == 106


def test_vhostuser_the_global_socket_folder_is_left_alone(node: Node) -> None:
    node.database.tables["Open_vSwitch"]["root"]["other_config"] = ["map", [["vhost-sock-dir", "vhost"]]]
    node.good("ADD", vhostuser_conf(), "vhostuser")
    assert node.database.tables["Open_vSwitch"]["root"]["other_config"] == ["map", [["vhost-sock-dir", "vhost"]]]
    assert is_socket(f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1")


def test_vhostuser_sockets_outlive_a_restart_of_open_vswitch(node: Node) -> None:
    node.good("ADD", vhostuser_conf(), "vhostuser")
    target = f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1"
    before = os.stat(target).st_ino
    node.dispatcher.repair()
    assert os.stat(target).st_ino == before
    make_socket(f"{node.root}/run/openvswitch/{SHORT}-net1")
    node.dispatcher.repair()
    assert is_socket(target) and os.stat(target).st_ino != before


def test_vhostuser_the_bridge_can_be_another(node: Node) -> None:
    node.database.add_bridge("br-vhu")
    node.good("ADD", vhostuser_conf(bridge={"bridgeName": "br-vhu"}), "vhostuser")
    assert node.database.bridges() == {"br-vhu"}


def test_vhostuser_del_works_when_the_description_is_gone(node: Node) -> None:
    node.good("ADD", vhostuser_conf(), "vhostuser")
    os.unlink(f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1.json")
    node.good("DEL", vhostuser_conf(), "vhostuser")
    assert node.database.ports() == {} and not node.has(f"/var/lib/cni/vhostuser/{CONTAINER}")


def test_vhostuser_folders_are_closed_and_a_pod_reaches_its_own(node: Node) -> None:
    node.good("ADD", vhostuser_conf(), "vhostuser")
    base = f"{node.root}/var/lib/cni/vhostuser"
    assert stat.S_IMODE(os.stat(f"{base}/{CONTAINER}").st_mode) == 0o700
    assert is_socket(f"{base}/pods/{UID}/{SHORT}-net1")
    node.good("ADD", vhostuser_conf(), "vhostuser", CNI_IFNAME="net2")
    node.good("DEL", vhostuser_conf(), "vhostuser")
    assert is_socket(f"{base}/pods/{UID}/{SHORT}-net2"), "the other interface keeps its folder"
    node.good("DEL", vhostuser_conf(), "vhostuser", CNI_IFNAME="net2")
    assert os.listdir(f"{base}/pods") == [] and os.listdir(base) == ["pods"]


def test_vhostuser_ipv6_has_a_file_too(node: Node) -> None:
    ipam = {"type": "static", "result": {"cniVersion": "0.3.1", "ips": [{"version": "6", "address": "2001:db8::7/64"}]}}
    node.good("ADD", vhostuser_conf(ipam=ipam), "vhostuser")
    path = f"/var/lib/cni/vhostuser/{CONTAINER}/{SHORT}-net1-ip6.conf"
    assert json.loads(node.box.files.read(path, 1000))["ipAddr"] == "2001:db8::7/128"


def test_vhostuser_files_are_the_known_ones(node: Node) -> None:
    """Byte for byte what the readers of the first plugin parse."""
    with_vpp(node)
    tool = "/path/to/vhost-user-net-plugin/tests/vpp-config.py"
    result = node.good("ADD", vhostuser_conf(tool), "vhostuser")
    mac = result["interfaces"][0]["mac"]
    folder = f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}"
    assert sorted(os.listdir(folder)) == [f"{SHORT}-net1", f"{SHORT}-net1-ip4.conf", f"{SHORT}-net1.json"]
    with open(f"{folder}/{SHORT}-net1.json") as file:
        assert file.read() == (
            '{"vhostname":"VirtualEthernet0/0/0","vhostmac":"02:fe:fc:89:49:d8","ifname":"net1",'
            f'"ifmac":"{mac}","vhost_tool":"{tool}"}}'
        )
    with open(f"{folder}/{SHORT}-net1-ip4.conf") as file:
        assert file.read() == (
            '{\n\t"ipAddr": "10.56.217.131/32",\n'
            f'\t"macAddr": "{mac}",\n\t"gateway": "10.56.217.1",\n\t"gwMac": "02:fe:fc:89:49:d8"\n}}'
        )
    assert {stat.S_IMODE(os.stat(f"{folder}/{SHORT}-net1{end}").st_mode) for end in (".json", "-ip4.conf")} == {0o644}
    assert re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", mac)
