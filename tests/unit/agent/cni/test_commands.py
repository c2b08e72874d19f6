# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""CHECK, STATUS and GC, and what every command does with odd requests."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    IPAM,
    NAMESPACE,
    NETNS,
    POD,
    SHORT,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
    vpp_conf,
)
from fastpath_agent.cni.commands import Completed, TimedOut
from fastpath_agent.cni.errors import CniError

CONFS = {"vdpa": vdpa_conf, "userspace": userspace_conf, "vhostuser": vhostuser_conf}
plugins = pytest.mark.parametrize("plugin", list(CONFS))
GONE = {"CNI_CONTAINERID": "", "CNI_IFNAME": "", "CNI_NETNS": "", "CNI_ARGS": ""}


def attached(node: Node, plugin: str, **changes: Any) -> dict[str, Any]:
    """An attachment, and its configuration with the result of ADD in it."""
    node.pods.put(pod() if plugin == "vdpa" else ovs_pod())
    conf = CONFS[plugin](cniVersion="1.1.0", **changes)
    return {**conf, "prevResult": node.good("ADD", conf, plugin)}


@plugins
def test_check_of_what_is_as_it_was(node: Node, plugin: str) -> None:
    conf = attached(node, plugin, ipam=IPAM)
    assert node.good("CHECK", conf, plugin) == {}
    assert [call[2]["CNI_COMMAND"] for call in node.programs.calls] == ["ADD", "CHECK"]


@plugins
def test_check_passes_on_what_the_ipam_plugin_says(node: Node, plugin: str) -> None:
    conf = attached(node, plugin, ipam=IPAM)
    told = b'{"code": 100, "msg": "the address is not ours"}'
    node.programs.answers = {"host-local CHECK": Completed(1, told, b"")}
    error = node.bad("CHECK", conf, plugin)
    assert error["code"] == 100 and "the address is not ours" in error["msg"]


@plugins
@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK"])
def test_later_plugins_may_have_added_to_the_result(node: Node, plugin: str, command: str) -> None:
    conf = attached(node, plugin, ipam=IPAM)
    previous = conf["prevResult"]
    previous["interfaces"].append({"name": "tap7"})
    previous["routes"] = [{"dst": "203.0.113.0/24"}]
    previous["ips"].append({"address": "203.0.113.7/24", "interface": 1})
    node.good("CHECK", conf, plugin)


@plugins
@pytest.mark.parametrize("part", ["prevResult", "interface", "mac", "address", "record", "network"])
def test_check_of_what_is_not_as_it_was(node: Node, plugin: str, part: str) -> None:
    conf = attached(node, plugin, ipam=IPAM, runtimeConfig={"mac": "02:00:00:00:00:01"})
    if part == "prevResult":
        del conf["prevResult"]
    elif part == "interface":
        conf["prevResult"]["interfaces"][0]["sandbox"] = "/another"
    elif part == "mac":
        conf["prevResult"]["interfaces"][0]["mac"] = "02:00:00:00:00:99"
    elif part == "address":
        conf["prevResult"]["ips"][0]["address"] = "10.56.217.132/24"
    elif part == "record":
        node.box.records.remove(CONTAINER, "net1")
    else:
        conf["name"] = "another"
    assert node.bad("CHECK", conf, plugin)["code"] == (7 if part == "prevResult" else 102)


@pytest.mark.parametrize("what", ["lease", "socket", "annotation", "pod"])
def test_check_of_vdpa_looks_at_everything(node: Node, what: str) -> None:
    conf = attached(node, "vdpa")
    if what == "lease":
        node.sockets.table.clear()
    elif what == "socket":
        lease = node.sockets.leases()[0]
        os.unlink(f"{node.root}{lease.directory}/{lease.socket_name}")
    elif what == "annotation":
        node.pods.annotations().clear()
    else:
        node.pods.pods.clear()
    assert node.bad("CHECK", conf)["code"] == 102


@pytest.mark.parametrize("what", ["port", "number", "socket", "annotation", "database"])
def test_check_of_userspace_looks_at_everything(node: Node, what: str) -> None:
    conf = attached(node, "userspace")
    if what == "port":
        node.box.switch.delete_port(CONTAINER, "net1")
    elif what == "number":
        node.database.interface(f"{SHORT}-net1")["ofport"] = None
    elif what == "socket":
        os.unlink(f"{node.root}/run/openvswitch/pods/{node.pods.pods[NAMESPACE, POD]['metadata']['uid']}/{SHORT}-net1")
    elif what == "annotation":
        node.pods.annotations().clear()
    else:
        node.database.away = True
    assert node.bad("CHECK", conf, "userspace")["code"] == (11 if what == "database" else 102)


@pytest.mark.parametrize("what", ["socket", "description", "port"])
def test_check_of_vhostuser_looks_at_everything(node: Node, what: str) -> None:
    conf = attached(node, "vhostuser")
    folder = f"{node.root}/var/lib/cni/vhostuser/{CONTAINER}"
    if what == "port":
        node.box.switch.delete_port(CONTAINER, "net1")
    else:
        os.unlink(f"{folder}/{SHORT}-net1{'.json' if what == 'description' else ''}")
    assert node.bad("CHECK", conf, "vhostuser")["code"] == 102


@plugins
def test_status(node: Node, plugin: str) -> None:
    """As a runtime asks: no device, no container."""
    conf = {**CONFS[plugin](cniVersion="1.1.0", ipam=IPAM), "deviceID": None}
    assert node.good("STATUS", conf, plugin, **GONE) == {}
    assert node.programs.calls[-1][2]["CNI_COMMAND"] == "STATUS"
    told = b'{"code": 50, "msg": "no addresses left"}'
    node.programs.answers = {"host-local STATUS": Completed(1, told, b"")}
    assert node.bad("STATUS", conf, plugin, **GONE)["code"] == 50


def test_status_says_what_is_away(node: Node) -> None:
    node.pods.up = False
    assert node.bad("STATUS", vdpa_conf(cniVersion="1.1.0"), **GONE)["code"] == 50
    files = vdpa_conf(cniVersion="1.1.0", kubeconfig=None, sharedDir="/var/run/vdpa/x")
    node.good("STATUS", files, **GONE)
    assert node.bad("STATUS", userspace_conf(cniVersion="1.1.0"), "userspace", **GONE)["code"] == 50
    node.pods.up, node.database.away = True, True
    for plugin in ("userspace", "vhostuser"):
        assert node.bad("STATUS", CONFS[plugin](cniVersion="1.1.0"), plugin, **GONE)["code"] == 50
    for plugin, conf in (("userspace", vpp_conf), ("vhostuser", lambda **c: vhostuser_conf("vpp", **c))):
        error = node.bad("STATUS", conf(cniVersion="1.1.0"), plugin, **GONE)
        assert error["code"] == 50 and "VPP" in error["msg"]

    node.change(problem=lambda: "no process serves a device")
    assert node.bad("STATUS", vdpa_conf(cniVersion="1.1.0"), **GONE)["code"] == 50


@plugins
@pytest.mark.parametrize(
    "value",
    [None, {}, "x", [1], [{}], [{"containerID": 1, "ifname": "net1"}], [{"containerID": "x"}]],
)
def test_collection_without_a_proper_list_collects_nothing(node: Node, plugin: str, value: Any) -> None:
    conf = attached(node, plugin, ipam=IPAM)
    present = node.left()
    error = node.bad("GC", {**conf, "cni.dev/valid-attachments": value}, plugin, **GONE)
    assert error["code"] == 7 and "cni.dev/valid-attachments" in error["msg"]
    assert node.left() == present


@plugins
def test_collection_goes_on_past_errors_and_tells_them(node: Node, plugin: str) -> None:
    node.pods.put(pod() if plugin == "vdpa" else ovs_pod())
    conf = CONFS[plugin](cniVersion="1.1.0", ipam=IPAM)
    for name in ("net1", "net2", "net3"):
        changes = {"deviceID": f"0000:83:00.{name[-1]}"} if plugin == "vdpa" else {}
        node.good("ADD", {**conf, **changes}, plugin, CNI_IFNAME=name)
    failure = Completed(1, b"", b"cannot reach the store")
    node.programs.answers = {"host-local DEL": failure, "host-local GC": failure}
    valid = [{"containerID": CONTAINER, "ifname": "net2"}]
    error = node.bad("GC", {**conf, "cni.dev/valid-attachments": valid}, plugin, **GONE)
    assert error["code"] == 103 and error["msg"].count("host-local failed at DEL") == 2
    assert "failed at GC" in error["msg"]
    assert len(node.sockets.table) == (1 if plugin == "vdpa" else 0)
    assert len(node.database.ports()) == (0 if plugin == "vdpa" else 1)
    node.programs.answers = {}
    node.good("GC", {**conf, "cni.dev/valid-attachments": valid}, plugin, **GONE)
    assert node.programs.allocated == {(CONTAINER, "net2")}
    assert [record.ifname for record in node.box.records.all()] == ["net2"]


def test_collection_finds_ports_that_no_record_tells_of(node: Node) -> None:
    conf = attached(node, "userspace")
    node.box.records.remove(CONTAINER, "net1")
    valid = [{"containerID": CONTAINER, "ifname": "net1"}]
    node.good("GC", {**conf, "cni.dev/valid-attachments": valid}, "userspace", **GONE)
    assert len(node.database.ports()) == 1
    node.good("GC", {**conf, "cni.dev/valid-attachments": []}, "userspace", **GONE)
    assert node.database.ports() == {}


@plugins
def test_an_interface_is_added_once(node: Node, plugin: str) -> None:
    conf = attached(node, plugin)
    present = node.left()
    assert node.bad("ADD", conf, plugin)["code"] == 107
    assert node.left() == present


@plugins
def test_del_of_another_network_takes_nothing(node: Node, plugin: str) -> None:
    conf = attached(node, plugin)
    present = node.left()
    node.good("DEL", {**conf, "name": "another"}, plugin)
    assert node.left() == present


@plugins
def test_del_asks_for_nothing_but_the_name(node: Node, plugin: str) -> None:
    """The configuration may be wrong by now, the namespace and the pod are gone, the API is away."""
    before = node.left()
    attached(node, plugin, ipam=IPAM)
    node.pods.pods.clear()
    node.pods.fails = [CniError(11, "away")] * 5
    wrong = {"host": 1, "vhost": [], "MAC": 7, "deviceID": {}, "logFile": "/etc/passwd", "runtimeConfig": "x"}
    odd = {"cniVersion": "1.1.0", "name": CONFS[plugin]()["name"], **wrong, "sharedDir": "../..", "ipam": IPAM}
    node.good("DEL", odd, plugin, CNI_NETNS="", CNI_ARGS="")
    assert {**node.left(), "annotations": {}} == {**before, "annotations": {}}


@plugins
def test_del_that_cannot_release_the_address_says_so_and_is_repeated(node: Node, plugin: str) -> None:
    conf = attached(node, plugin, ipam=IPAM)
    for answer, code in (
        (Completed(1, b'{"code": 11, "msg": "later"}', b""), 11),
        (TimedOut("host-local did not end within 1 s"), 11),
        (PermissionError(13, "Permission denied"), 103),
        (Completed(1, b"", b"no json"), 103),
    ):
        node.programs.answers = {"host-local DEL": answer}
        assert node.bad("DEL", conf, plugin)["code"] == code
        assert node.sockets.table == {} and node.database.ports() == {}
    node.programs.answers = {}
    node.good("DEL", conf, plugin)
    assert node.programs.allocated == set() and node.box.records.all() == []


def test_pools_that_fail_to_release_are_asked_again(node: Node) -> None:
    conf = attached(node, "vdpa")
    node.sockets.release_fails = RuntimeError("the table is broken")
    assert node.bad("DEL", conf)["code"] == 999
    node.sockets.release_fails = None
    node.good("DEL", conf)
    assert node.sockets.table == {}


def test_pod_that_is_another_by_now(node: Node) -> None:
    node.pods.put(pod(uid="another-uid"))
    assert node.bad("ADD", vdpa_conf())["code"] == 11
    node.pods.pods.clear()
    assert node.bad("ADD", vdpa_conf())["code"] == 11


def test_pod_replaced_while_it_is_annotated_keeps_its_own_annotations(node: Node) -> None:
    conf = attached(node, "vdpa")
    del node.pods.pods[NAMESPACE, POD]
    other = node.pods.put(pod(uid="another", annotations={"userspace/configuration-data": "[1]"}))
    node.good("DEL", conf)
    assert other["metadata"]["annotations"] == {"userspace/configuration-data": "[1]"}


def test_unforeseen_faults_have_a_code_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.pods.put(pod())
    monkeypatch.setattr("fastpath_agent.cni.vdpa.configuration", lambda *_a: 1 / 0)
    error = node.bad("ADD", vdpa_conf())
    assert error["code"] == 999 and "ZeroDivisionError" in error["msg"]
    assert node.sockets.table == {}


def test_agent_at_its_start_takes_back_what_was_half_done_only(node: Node) -> None:
    conf = attached(node, "vdpa", ipam=IPAM)
    node.restart()
    node.dispatcher.recover()
    node.good("CHECK", conf)


def test_records_that_cannot_be_read_are_as_none(node: Node) -> None:
    conf = attached(node, "vdpa")
    path = f"{node.settings.records}/{CONTAINER}@net1.json"
    for content in ("", "{", "[]", '{"steps": 1}', '{"plugin": "x", "steps": []}', "[" * 60_000):
        node.put_file(path, content)
        assert node.box.records.get(CONTAINER, "net1") is None and node.box.records.all() == []
    node.put_file(f"{node.settings.records}/not-a-record.json", "{}")
    node.good("DEL", conf)
    assert node.sockets.table == {}


def test_vpp_is_asked_for_by_name_where_there_is_none(node: Node) -> None:
    node.pods.put(ovs_pod())
    for plugin, conf in (("userspace", vpp_conf()), ("vhostuser", vhostuser_conf("vpp", ipam=None))):
        before = node.left()
        error = node.bad("ADD", conf, plugin)
        assert error["code"] == 2 and '"vpp"' in error["msg"] and "does not run on this node" in error["msg"]
        assert node.left() == before
        node.good("DEL", conf, plugin)


def test_netns_of_the_result_is_that_of_the_request(node: Node) -> None:
    conf = attached(node, "vdpa")
    assert conf["prevResult"]["interfaces"][0]["sandbox"] == NETNS


def test_pool_without_devices_is_named_by_the_configuration(node: Node) -> None:
    node.pods.put(pod())
    conf = vdpa_conf(deviceID=None, pool="ovs0", mode="server", cniVersion="1.1.0")
    node.sockets.makes_sockets = False
    result = node.good("ADD", conf)
    assert "pciID" not in result["interfaces"][0]
    assert '"mode":"server"' in node.pods.annotations()["userspace/configuration-data"]
    node.good("CHECK", {**conf, "prevResult": result})


def test_vf_keeps_its_own_mac_where_nobody_wants_another(node: Node) -> None:
    node.pods.put(pod())
    node.change(mac_of=lambda device: "02:00:5e:10:00:07")
    assert node.good("ADD", vdpa_conf())["interfaces"][0]["mac"] == "02:00:5e:10:00:07"


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (("runtime", "args", "variable", "conf"), "02:00:00:00:00:01"),
        (("args", "variable", "conf"), "02:00:00:00:00:02"),
        (("variable", "conf"), "02:00:00:00:00:03"),
        (("conf",), "02:00:00:00:00:04"),
    ],
)
def test_mac_of_the_one_who_comes_first(node: Node, sources: tuple[str, ...], expected: str) -> None:
    node.pods.put(pod())
    conf = vdpa_conf(
        runtimeConfig={"mac": "02:00:00:00:00:01"} if "runtime" in sources else None,
        args={"cni": {"mac": "02:00:00:00:00:02"}} if "args" in sources else None,
        MAC="02:00:00:00:00:04",
    )
    variable = ";MAC=02:00:00:00:00:03" if "variable" in sources else ""
    result = node.good("ADD", conf, CNI_ARGS=f"K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={POD}{variable}")
    assert result["interfaces"][0]["mac"] == expected


def test_cpus_of_the_cgroup_are_told_where_the_runtime_names_it(node: Node) -> None:
    node.pods.put(pod())
    path = "/kubepods.slice/pod1.slice"
    node.put_file(f"/sys/fs/cgroup{path}/cpuset.cpus.effective", "2-3,6\n")
    node.good("ADD", vdpa_conf(runtimeConfig={"cgroupPath": path}))
    assert '"cpus":"2-3,6"' in node.pods.annotations()["userspace/configuration-data"]


def test_memif_of_vpp(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")
    node.pods.put(pod(volume={"hostPath": {"path": "/run/vpp/pods"}}))
    host = {**vpp_conf()["host"], "netType": "interface", "bridge": {}}
    info = {"CNIDeviceInfoFile": "/var/run/k8s.cni.cncf.io/devinfo/cni/x"}
    node.good("ADD", vpp_conf(host=host, ipam=IPAM, runtimeConfig=info), "userspace")
    lines = [" ".join(argv[3:]) for argv, *_rest in node.programs.calls if argv[0] == "vppctl"]
    number = lines[0].split()[4]
    folder = f"/run/vpp/pods/{node.pods.pods[NAMESPACE, POD]['metadata']['uid']}"
    assert lines == [
        f"create memif socket id {number} filename {folder}/memif-{SHORT}-net1.sock",
        f"create interface memif id 0 socket-id {number} master",
        f"set interface state memif{number}/0 up",
        f"set interface ip address memif{number}/0 10.56.217.131/24",
    ]
    described = node.box.files.read(info["CNIDeviceInfoFile"], 1000).decode()
    assert '"memif":{"role":"slave","mode":"ethernet","path":"/var/lib/cni/usrspcni/memif-' in described
