# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing is left behind: after DEL, after an ADD that failed at any point, and after an agent that was killed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Bomb, Killed, Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import (
    CONTAINER,
    DEVICE_INFO,
    IPAM,
    SHORT,
    UID,
    ovs_pod,
    pod,
    userspace_conf,
    vdpa_conf,
    vhostuser_conf,
    vpp_conf,
)
from fastpath_agent.cni.errors import CniError

INFO = {"CNIDeviceInfoFile": DEVICE_INFO}
EMPTY_DIR = {"volume": {"emptyDir": {}}, "mount": {}}


@dataclass(frozen=True)
class Case:
    """One way to attach: the request, and how the node has to be for it."""

    plugin: str
    conf: Callable[[], dict[str, Any]]
    pod: Callable[[], dict[str, Any]] | None = pod
    prepare: Callable[[Node], None] = lambda node: None
    settings: dict[str, Any] = field(default_factory=dict)

    def node(self, folder: Path) -> Node:
        node = Node(folder, **self.settings)
        if self.pod is None:
            node.change(pods=None)
        else:
            node.pods.put(self.pod())
        self.prepare(node)
        return node


def empty_dir(node: Node) -> None:
    os.makedirs(f"{node.root}/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~empty-dir/shared-dir")


def with_vpp(node: Node) -> None:
    (node.root / "run/vpp").mkdir()
    make_socket(f"{node.root}/run/vpp/cli.sock")


def with_host_nic(node: Node) -> None:
    entry = '[{"pciAddress": "0000:83:00.5", "ipAddr": "192.168.133.2", "ipMask": "255.255.255.0"}]'
    node.put_file("/var/run/vdpa/hostNic.json", entry)


def with_tool(node: Node) -> None:
    tool = Path(TOOLS) / "helper"
    tool.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    tool.write_text("#!/bin/false\n")
    tool.chmod(0o755)


TOOLS = f"/tmp/fastpath-test-tools-{os.getpid()}"
HELPER = f"{TOOLS}/helper"

CASES = {
    "vdpa": Case("vdpa", vdpa_conf),
    "vdpa with all": Case("vdpa", lambda: vdpa_conf(ipam=IPAM, runtimeConfig=INFO, cniVersion="1.1.0")),
    "vdpa with hostNic": Case("vdpa", lambda: vdpa_conf(hostNic="/var/run/vdpa/hostNic.json"), prepare=with_host_nic),
    "vdpa by files": Case(
        "vdpa", lambda: vdpa_conf(kubeconfig=None, sharedDir="/var/run/vdpa/shared", runtimeConfig=INFO), None
    ),
    "userspace server": Case("userspace", lambda: userspace_conf("server", ipam=IPAM, runtimeConfig=INFO), ovs_pod),
    "userspace client": Case("userspace", lambda: userspace_conf("client", ipam=IPAM), ovs_pod),
    "userspace client, emptyDir": Case(
        "userspace", lambda: userspace_conf("client"), lambda: pod(**EMPTY_DIR), prepare=empty_dir
    ),
    "userspace by files": Case(
        "userspace", lambda: userspace_conf("server", kubeconfig=None, sharedDir="/run/openvswitch/x"), None
    ),
    "userspace on its own": Case("userspace", lambda: userspace_conf("client", kubeconfig=None), None),
    "userspace on VPP": Case(
        "userspace",
        lambda: vpp_conf(ipam=IPAM),
        lambda: pod(volume={"hostPath": {"path": "/run/vpp/pods"}}),
        prepare=with_vpp,
    ),
    "vhostuser on Open vSwitch": Case("vhostuser", lambda: vhostuser_conf(runtimeConfig=INFO)),
    "vhostuser on VPP": Case("vhostuser", lambda: vhostuser_conf("vpp", runtimeConfig=INFO), prepare=with_vpp),
    "vhostuser with a helper": Case(
        "vhostuser", lambda: vhostuser_conf(HELPER), prepare=with_tool, settings={"tool_folders": (TOOLS,)}
    ),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


@pytest.fixture(autouse=True)
def no_tools_left() -> Any:
    yield
    if os.path.isdir(TOOLS):
        os.unlink(HELPER)
        os.rmdir(TOOLS)


@cases
def test_del_after_add_leaves_nothing(case: Case, tmp_path: Path) -> None:
    node = case.node(tmp_path / "host")
    before, folders = node.left(), node.folders()
    node.good("ADD", case.conf(), case.plugin)
    assert node.left() != before
    assert node.good("DEL", case.conf(), case.plugin) == {}
    assert node.left() == before
    assert_only_shared_folders(node.folders() - folders)


@cases
def test_del_can_come_again_and_without_add(case: Case, tmp_path: Path) -> None:
    node = case.node(tmp_path / "host")
    before = node.left()
    node.good("DEL", case.conf(), case.plugin)
    node.good("ADD", case.conf(), case.plugin)
    node.good("DEL", case.conf(), case.plugin)
    node.good("DEL", case.conf(), case.plugin)
    node.good("DEL", case.conf(), case.plugin, CNI_NETNS="")
    assert node.left() == before


@cases
def test_del_without_its_record_takes_everything_that_follows_from_its_parameters(case: Case, tmp_path: Path) -> None:
    node = case.node(tmp_path / "host")
    before = node.left()
    node.good("ADD", case.conf(), case.plugin)
    node.box.records.remove(CONTAINER, "net1")
    node.good("DEL", case.conf(), case.plugin)
    left = node.left()
    # A socket in a pod's own volume goes with the volume.
    left["files"] = {path for path in left["files"] if f"/{UID}/" not in path}
    assert left == before


@cases
@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
def test_add_that_fails_at_any_point_leaves_nothing(case: Case, afterwards: bool, tmp_path: Path) -> None:
    errors = [OSError(errno.ENOSPC, "No space left on device"), CniError(11, "away"), RuntimeError("a fault")]
    for at in range(1, 200):
        node = case.node(tmp_path / f"host{at}")
        before, folders = node.left(), node.folders()
        bomb = Bomb(at, errors[at % len(errors)], afterwards)
        node.arm(bomb)
        answer = node.ask("ADD", case.conf(), case.plugin)
        if not bomb.went_off:
            assert answer["ok"] and at > 4
            return
        assert not answer["ok"] and answer["error"]["code"] > 0, (at, bomb.done)
        assert node.left() == before, (at, bomb.done)
        assert_only_shared_folders(node.folders() - folders)
    raise AssertionError("an ADD without end")


@cases
@pytest.mark.parametrize("afterwards", [False, True], ids=["before", "after"])
def test_agent_killed_during_add(case: Case, afterwards: bool, tmp_path: Path) -> None:
    """The next agent, the runtime's DEL or its next ADD finds and takes back what the killed one had begun."""
    for at in range(1, 200):
        way = ("DEL", "start", "ADD")[(at + afterwards) % 3]
        node = case.node(tmp_path / f"host{at}")
        before = node.left()
        bomb = Bomb(at, Killed(), afterwards)
        node.arm(bomb)
        try:
            node.ask("ADD", case.conf(), case.plugin)
            return
        except Killed:
            pass
        node.restart()
        if way == "start":
            node.dispatcher.recover()
        elif way == "ADD" and not node.ask("ADD", case.conf(), case.plugin)["ok"]:
            # It had been done, and only the answer was lost.
            assert _is_added(node), bomb.done
        if way != "start" or _is_added(node):
            node.good("DEL", case.conf(), case.plugin)
        assert _without_half_files(node.left()) == before, (way, at, bomb.done)
    raise AssertionError("an ADD without end")


@cases
def test_agent_killed_during_del(case: Case, tmp_path: Path) -> None:
    for at in range(1, 200):
        node = case.node(tmp_path / f"host{at}")
        before = node.left()
        node.good("ADD", case.conf(), case.plugin)
        bomb = Bomb(at, Killed())
        node.arm(bomb)
        try:
            node.ask("DEL", case.conf(), case.plugin)
        except Killed:
            node.restart()
            node.good("DEL", case.conf(), case.plugin)
        assert node.left() == before
        if not bomb.went_off:
            return
    raise AssertionError("a DEL without end")


@cases
def test_collection_after_a_crash_takes_what_is_not_valid_and_nothing_else(case: Case, tmp_path: Path) -> None:
    node = case.node(tmp_path / "host")
    before = node.left()
    conf = {**case.conf(), "cniVersion": "1.1.0"}
    node.good("ADD", conf, case.plugin)
    present = node.left()
    valid = {"cni.dev/valid-attachments": [{"containerID": CONTAINER, "ifname": "net1"}]}
    assert node.good("GC", {**conf, **valid}, case.plugin, CNI_CONTAINERID="", CNI_IFNAME="", CNI_NETNS="") == {}
    assert node.left() == present
    node.restart()
    node.good("GC", {**conf, "name": "another-network", "cni.dev/valid-attachments": []}, case.plugin)
    assert {**node.left(), "addresses": 0} == {**present, "addresses": 0}
    node.good("GC", {**conf, "cni.dev/valid-attachments": []}, case.plugin)
    assert node.left() == before


def assert_only_shared_folders(new: set[str]) -> None:
    """Folders that all pods share may come; none of a pod may stay."""
    for folder in new:
        assert SHORT not in folder and UID not in folder, folder


def _is_added(node: Node) -> bool:
    record = node.box.records.get(CONTAINER, "net1")
    return record is not None and record.state == "added"


def _without_half_files(left: dict[str, Any]) -> dict[str, Any]:
    """A file that was cut off before it had its name stays until that name is written again."""
    return {**left, "files": {path for path in left["files"] if "/.fastpath-" not in path}}
