# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent needs on its node comes, stays, and goes with all that the agent left."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_node import MARK, AgentNodeConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_node_plan import UNIT, UNIT_PATH
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode
from fastpath_agent.cni.installer import MARK as AGENTS_MARK
from fastpath_agent.cni.installer import SAVED, Installer, render
from fastpath_agent.protocol import PLUGINS

AGENT = {"pools": [{"name": "fast"}], "vdpa": {"cpus": "1"}}
HOST_NIC = [{"pciAddress": "0000:02:00.1", "ipAddr": "192.0.2.1", "ipMask": "255.255.255.0"}]
LINK = f"etc/systemd/system/local-fs.target.wants/{UNIT}"
OURS = "fastpath /run/vdpa tmpfs rw,nosuid,nodev,noexec,nosymfollow,mode=755 0 0\n"


class Node(FolderNode):
    """systemd mounts what its unit says."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: list[str] = []
        self.put("proc/self/mounts", "")
        self.put("proc/sys/kernel/osrelease", "6.12.0-amd64\n")
        self.put("sys/devices/system/cpu/present", "0-3\n")
        (root / "opt/cni/bin").mkdir(parents=True)
        (root / "proc/sys/kernel/random").mkdir(parents=True, exist_ok=True)
        self.put("proc/sys/kernel/random/boot_id", "boot\n")

    def _command(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        self.commands.append(" ".join(argv))
        link = Path(self.root) / LINK
        if argv[1] == "enable":
            assert self.text(UNIT_PATH[1:])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(UNIT_PATH)
            self.put("proc/self/mounts", OURS)
            (Path(self.root) / "run/vdpa").mkdir(parents=True, exist_ok=True)
        elif argv[1] == "disable":
            link.unlink(missing_ok=True)
            self.put("proc/self/mounts", "")
            shutil.rmtree(Path(self.root) / "run/vdpa/pods")
        elif argv[0] == "systemd-tmpfiles":
            assert "nosymfollow" in (self.text("proc/self/mounts") or "")
            assert "d /run/vdpa/pods 0711" in (self.text(argv[2][1:]) or "")
            (Path(self.root) / "run/vdpa/pods").mkdir(mode=0o711, exist_ok=True)
        return Completed(0, "", "")


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def apply(node: Node, dry_run: bool = False, agent: Any = None, host_nic: Any = None) -> Plan:
    spec = {"agent": agent or AGENT, "bin_dir": "/opt/cni/bin", "host_nic": host_nic}
    return converge(AgentNodeConcern(node), Request(spec, dry_run=dry_run))


def teardown(node: Node) -> Plan:
    return converge(AgentNodeConcern(node), Request(present=False))


def test_first_run_second_run_teardown(node):
    before = set(node.tree())
    ahead = apply(node, dry_run=True, host_nic=HOST_NIC)
    assert set(node.tree()) == before
    done = apply(node, host_nic=HOST_NIC)
    actions = ["save_desired", "write_unit", "mount", "make_pods_folder", "write_host_nic"]
    assert [step.action for step in done.operations] == actions
    assert done.operations == ahead.operations
    assert "192.0.2.1" in node.text("etc/fastpath/hostNic.json")
    assert "nosymfollow" in node.text(UNIT_PATH[1:])
    assert not apply(node, host_nic=HOST_NIC).changed
    assert teardown(node).changed
    assert set(node.tree()) == before
    assert not (Path(node.root) / "run/vdpa").exists()
    assert not teardown(node).changed


def test_plugins_of_the_agent_go_and_former_ones_come_back(node):
    theirs = Path(node.root) / "opt/cni/bin/userspace"
    theirs.write_bytes(b"#!/bin/sh\n")
    theirs.chmod(0o755)
    apply(node)
    Installer(f"{node.root}/opt/cni/bin", render("0.1.0", "/run/fastpath/agent/cni.sock")).install()
    node.put("var/lib/fastpath/cni/x.json", "{}")
    node.put("var/lib/cni/usrspcni/data", "theirs")
    teardown(node)
    assert sorted(path.name for path in theirs.parent.iterdir()) == ["userspace"]
    assert (theirs.read_bytes(), theirs.stat().st_mode & 0o777) == (b"#!/bin/sh\n", 0o755)
    assert not (Path(node.root) / "var/lib/fastpath").exists()
    assert node.text("var/lib/cni/usrspcni/data") == "theirs"


def test_the_marks_are_the_agents():
    from ansible_collections.nfv.fastpath.plugins.module_utils import _agent_node, _agent_node_plan

    assert MARK.decode() == AGENTS_MARK
    assert _agent_node.SAVED == SAVED
    assert set(_agent_node_plan.PLUGINS) == set(PLUGINS)


def test_a_folder_that_somebody_removed_is_made_again(node):
    apply(node)
    shutil.rmtree(Path(node.root) / "run/vdpa/pods")
    assert [step.action for step in apply(node).operations] == ["make_pods_folder"]


def test_a_node_that_nobody_touched_needs_no_teardown(node):
    assert not teardown(node).changed
    assert node.commands == []


@pytest.mark.parametrize("host_nic", [[], None])
def test_addresses_that_nobody_asks_for_any_more_go(node, host_nic):
    apply(node, host_nic=HOST_NIC)
    assert [step.action for step in apply(node, host_nic=host_nic).operations] == ["save_desired", "remove_host_nic"]
    assert node.text("etc/fastpath/hostNic.json") is None


def test_addresses_of_somebody_else_stay(node):
    node.put("etc/fastpath/hostNic.json", "theirs")
    apply(node)
    teardown(node)
    assert node.text("etc/fastpath/hostNic.json") == "theirs"


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("sys/devices/system/cpu/present", "0\n", "has CPU 1, which this node has not: it has 0"),
        ("proc/sys/kernel/osrelease", "5.4.0\n", "Linux has them from 5.10 on"),
        ("proc/self/mounts", "tmpfs /run/vdpa tmpfs rw 0 0\n", "is a mount of somebody else without nosymfollow"),
        (UNIT_PATH[1:], "[Mount]\n", "is a unit of somebody else"),
    ],
)
def test_what_stands_against_it(node, path, text, said):
    node.put(path, text)
    with pytest.raises(Refused) as refused:
        apply(node)
    assert said in str(refused.value)


def test_wrong_input_is_one_message(node):
    with pytest.raises(Refused) as refused:
        apply(node, agent={"pools": [{"name": "a"}], "wdpa": {}}, host_nic=["x"])
    assert len(refused.value.problems) == 2


def test_without_an_agent_a_verification_says_so(node):
    apply(node)
    failed = {check.id for check in verify(AgentNodeConcern(node), {"agent": AGENT}) if not check.ok}
    assert failed == {"node_agent.plugins", "node_agent.agent"}
