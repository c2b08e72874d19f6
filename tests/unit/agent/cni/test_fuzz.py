# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile configurations, annotations, pods and files: an answer of the specification, no write outside, no command.

The short form is in the normal run; ``make fuzz`` is the long one.
"""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import FakeSockets, make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    IPAM,
    NAMESPACE,
    POD,
    UID,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
    vpp_conf,
)

ROUNDS = int(os.environ.get("FASTPATH_FUZZ", "600"))
CONFS = {
    "vdpa": [
        lambda: vdpa_conf(ipam=IPAM, runtimeConfig={"CNIDeviceInfoFile": "/var/run/k8s.cni.cncf.io/devinfo/cni/x"}),
        lambda: vdpa_conf(hostNic="/var/run/vdpa/hostNic.json", IP="192.0.2.1", IPMask="24", gateway="192.0.2.254"),
        lambda: vdpa_conf(kubeconfig=None, sharedDir="/var/run/vdpa/x", routes=[{"dst": "0.0.0.0/0"}]),
    ],
    "userspace": [
        lambda: userspace_conf(ipam=IPAM),
        lambda: userspace_conf("client", kubeconfig=None, sharedDir="/run/openvswitch/x"),
        vpp_conf,
    ],
    "vhostuser": [
        vhostuser_conf,
        lambda: vhostuser_conf("vpp"),
        lambda: vhostuser_conf("/usr/libexec/fastpath/vhost-tools/x", cniDir="/var/lib/cni/vhostuser/x"),
    ],
}
HOSTILE: list[Any] = [
    *(None, True, 0, -1, 2**70, 1.5, 1e308, [], [[]], {}, [None], {"a": {"b": {}}}, ["x"] * 300, "x" * 5000),
    *("", " ", ".", "..", "/", "//", "~", "\x00", "\n", "\r\n", "\ud800", "ü", "\U0001f600", '"', "\\", "%s%n", "NaN"),
    *("../../../etc/passwd", "/etc/passwd", "/var/run/vdpa/../../etc/x", "/var/run/vdpa/escape/x", "/var/run/vdpa/./x"),
    *("; touch /tmp/owned", "$(touch /tmp/owned)", "`touch /tmp/owned`", "| reboot", "-rf", "--help", "a b", "a,b=c"),
    *("0000:83:00.5", "vdpa", "ovs", "/bin/sh", "/run/openvswitch/db.sock", "192.0.2.1/24", "::1", "02:00:00:00:00:01"),
]
OUTSIDE = ("/etc/passwd", "/etc/group", "/etc/shadow")


@pytest.fixture
def trap(tmp_path: Path) -> Node:
    """A node with links out of every folder that a configuration may name, and files that must not change."""
    node = Node(tmp_path / "host")
    for path in OUTSIDE:
        node.put_file(path, "untouched")
    for folder in ("run/vdpa", "run/openvswitch", "run/vpp", "var/lib/cni/vhostuser", "var/lib/cni/usrspcni"):
        (node.root / folder).mkdir(parents=True, exist_ok=True)
        (node.root / folder / "escape").symlink_to(node.root / "etc")
    (node.root / "var/log/vdpa-escape.log").symlink_to(node.root / "etc/passwd")
    make_socket(f"{node.root}/run/vpp/cli.sock")
    return node


def mutate(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """Some part of a value becomes something that nobody expects."""
    roll = chance.random()
    if roll < 0.12 or depth > 4:
        return copy.deepcopy(chance.choice(HOSTILE))
    if isinstance(value, dict):
        changed = {
            key: mutate(item, chance, depth + 1) if chance.random() < 0.4 else item for key, item in value.items()
        }
        if chance.random() < 0.2:
            changed[str(chance.choice(HOSTILE))] = copy.deepcopy(chance.choice(HOSTILE))
        if changed and chance.random() < 0.2:
            del changed[chance.choice(list(changed))]
        return changed
    if isinstance(value, list):
        return [mutate(item, chance, depth + 1) for item in value] + ([None] if chance.random() < 0.2 else [])
    if isinstance(value, str) and value and chance.random() < 0.5:
        place = chance.randrange(len(value))
        return value[:place] + str(chance.choice(HOSTILE)) + value[place:]
    return value


def check(node: Node, answer: dict[str, Any], told: Any) -> None:
    assert answer["ok"] or isinstance(answer["error"]["code"], int), told
    assert answer["ok"] or answer["error"]["code"] != 999, (answer, told)
    json.dumps(answer)
    for path in OUTSIDE:
        assert (node.root / path[1:]).read_text() == "untouched", told
    assert sorted(os.listdir(node.root / "etc")) == ["group", "passwd", "shadow"], told
    assert not os.path.exists("/tmp/owned")
    for argv, _stdin, _environment in node.programs.calls:
        known = argv[0].startswith(str(node.bin_dir)) or argv[0] == "vppctl"
        assert known and all("\n" not in word and " " not in word and ";" not in word for word in argv[1:]), told


def outside_of_our_folders(node: Node) -> set[str]:
    allowed = [base.replace("/var/run", "/run") for base in node.settings.written]
    return {path for path in node.files() if not any(path.startswith(f"{base}/") for base in allowed)}


def test_configurations(trap: Node) -> None:
    chance = random.Random(6)
    before = outside_of_our_folders(trap)
    good = 0
    for number in range(ROUNDS):
        plugin = chance.choice(list(CONFS))
        trap.pods.pods.clear()
        trap.pods.put(chance.choice([pod, ovs_pod])())
        conf = mutate(chance.choice(CONFS[plugin])(), chance) if number % 10 else chance.choice(CONFS[plugin])()
        variables = {}
        if chance.random() < 0.1:
            variables[chance.choice(["CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS", "CNI_NETNS"])] = str(
                chance.choice(HOSTILE)
            )
        command = chance.choice(["ADD", "ADD", "ADD", "CHECK", "STATUS", "GC", "DEL"])
        answer = trap.ask(command, conf, plugin, **variables)
        check(trap, answer, (command, conf, variables))
        good += answer["ok"]
        check(trap, trap.ask("DEL", conf, plugin, **variables), conf)
        for record in trap.box.records.all():
            trap.dispatcher.plugins[record.plugin]._take_back(record, None, _silent(trap))
        assert trap.sockets.table == {} and trap.database.ports() == {} and trap.programs.memifs == set()
        trap.programs.calls.clear()
        trap.programs.vhosts.clear()
        trap.programs.allocated.clear()
    assert good > ROUNDS / 50, "the fuzzer only hits the front door"
    assert outside_of_our_folders(trap) == before


def test_pods_and_annotations(trap: Node) -> None:
    chance = random.Random(7)
    for _number in range(ROUNDS // 3):
        odd = mutate(
            pod(
                annotations={
                    "userspace/configuration-data": json.dumps(
                        [{"containerId": CONTAINER, "ifName": "net1", "config": {}}, {"ifName": "net2"}]
                    ),
                    "userspace/mapped-dir": "/x",
                }
            ),
            chance,
        )
        trap.pods.pods.clear()
        trap.pods.pods[NAMESPACE, POD] = odd if isinstance(odd, dict) else {}
        trap.pods.patch = lambda *_arguments: None  # type: ignore[assignment]
        plugin, conf = chance.choice([("vdpa", vdpa_conf()), ("userspace", userspace_conf("client"))])
        check(trap, trap.ask("ADD", conf, plugin), odd)
        check(trap, trap.ask("DEL", conf, plugin), odd)
        assert trap.sockets.table == {} and trap.database.ports() == {}


def test_host_nic_and_ipam_answers(trap: Node) -> None:
    from fastpath_agent.cni.commands import Completed

    chance = random.Random(8)
    trap.pods.put(pod())
    entries = [
        {"pciAddress": "0000:83:00.5", "ipAddr": "192.0.2.1", "ipMask": "255.255.255.0", "mac": "02:00:00:00:00:01"}
    ]
    result = {"cniVersion": "1.0.0", "ips": [{"address": "192.0.2.1/24", "gateway": "192.0.2.254"}], "routes": [],
              "dns": {"nameservers": ["192.0.2.53"]}}  # fmt: skip
    for number in range(ROUNDS // 3):
        if number % 2:
            trap.put_file(
                "/run/vdpa/hostNic.json", json.dumps(mutate(entries, chance)).replace("null", "NaN", number % 3)
            )
            conf = vdpa_conf(hostNic="/var/run/vdpa/hostNic.json")
        else:
            told = json.dumps(mutate(result, chance)).encode()[: chance.choice([5, 10**6, 10**6])]
            trap.programs.answers = {"host-local ADD": Completed(chance.choice([0, 0, 0, 1]), told, b"\xff")}
            conf = vdpa_conf(ipam=IPAM)
        check(trap, trap.ask("ADD", conf), conf)
        trap.good("DEL", conf)
        assert trap.sockets.table == {} and trap.programs.allocated == set()
        trap.programs.calls.clear()


def test_records_and_descriptions(trap: Node) -> None:
    """Files that somebody with access to their folder rewrote: DEL answers, and runs nothing that they name."""
    chance = random.Random(9)
    trap.pods.put(ovs_pod())
    for _number in range(ROUNDS // 10):
        trap.good("ADD", vhostuser_conf(), "vhostuser")
        path = f"/var/lib/cni/vhostuser/{CONTAINER}/{CONTAINER[:12]}-net1.json"
        described = json.loads((trap.root / path[1:]).read_text())
        described["vhost_tool"] = "/bin/sh"
        trap.put_file(path, json.dumps(mutate(described, chance)))
        trap.box.records.remove(CONTAINER, "net1")
        trap.good("DEL", vhostuser_conf(), "vhostuser")
        assert trap.database.ports() == {}
    assert all(argv[0].startswith(str(trap.bin_dir)) for argv, *_rest in trap.programs.calls)


@pytest.mark.parametrize("where", ["escape", "escape/deeper"])
@pytest.mark.parametrize("plugin", ["vdpa", "userspace"])
def test_links_lead_nowhere(trap: Node, plugin: str, where: str) -> None:
    trap.change(pods=None)
    base = "/var/run/vdpa" if plugin == "vdpa" else "/run/openvswitch"
    conf = vdpa_conf(kubeconfig=None) if plugin == "vdpa" else userspace_conf("client", kubeconfig=None)
    answer = trap.ask("ADD", {**conf, "sharedDir": f"{base}/{where}"}, plugin)
    assert answer["ok"] is False and answer["error"]["code"] == 5
    check(trap, answer, where)


def test_log_goes_to_logs_of_the_plugin_only(trap: Node) -> None:
    trap.pods.put(pod())
    for path in (
        "/etc/passwd",
        "/var/log/auth.log",
        "/var/log/../../etc/vdpa.log",
        "/var/log/userspace.log",
        "vdpa.log",
    ):
        assert trap.bad("ADD", vdpa_conf(logFile=path))["code"] == 7
    trap.good("ADD", vdpa_conf(logFile="/var/log/vdpa-escape.log", logLevel="verbose"))
    check(trap, {"ok": True}, "log")
    trap.good("DEL", vdpa_conf(logFile="/var/log/vdpa-cni-a.log", logLevel="verbose"))


def test_socket_planted_in_the_way_is_not_taken(trap: Node) -> None:
    """A pod that makes a link where its socket should be gets no socket through it."""
    trap.pods.put(pod())
    trap.sockets.makes_sockets = False
    folder = trap.root / f"run/vdpa/vhost/{UID}"
    folder.mkdir(parents=True)
    make_socket(f"{trap.root}/run/vdpa/other.sock")
    (folder / "vdpa-0").symlink_to(trap.root / "run/vdpa/other.sock")
    assert trap.bad("ADD", vdpa_conf())["code"] == 101
    assert isinstance(trap.sockets, FakeSockets)


def _silent(node: Node) -> Any:
    from fastpath_agent.cni.log import Log

    return Log(node.box.logs)


@pytest.fixture(autouse=True)
def nothing_owned() -> Any:
    yield
    assert not os.path.exists("/tmp/owned")
    shutil.rmtree("/tmp/owned", ignore_errors=True)
