# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was wrong with the first plugin of the name vdpa, one test for each known weakness."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import NoSocket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    DEVICE,
    IPAM,
    NAMESPACE,
    POD,
    SHORT,
    UID,
    pod,
    vdpa_conf,
)
from fastpath_agent.cni.errors import CniError


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
