# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was wrong with the first plugin of the name vhostuser, one test for each known weakness."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    SHORT,
    UID,
    vhostuser_conf,
)
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import is_socket
from fastpath_agent.cni.commands import Completed


def with_vpp(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")


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
    calls = [argv for argv, *_rest in node.programs.calls if argv[0] == tool]
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
    node.database.root["other_config"] = {"vhost-sock-dir": "vhost"}
    node.good("ADD", vhostuser_conf(), "vhostuser")
    assert node.database.root["other_config"] == {"vhost-sock-dir": "vhost"}
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
