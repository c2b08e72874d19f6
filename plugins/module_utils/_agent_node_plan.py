# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the node agent needs on its node, and what it leaves there. No I/O.

All sockets lie on one mount that follows no links, so that a pod which makes its socket itself cannot send the node's
process to another pod's; and on one, since sockets are moved from the agent's folder to the pods'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import VARIABLE, AgentSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import format_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

MOUNT_POINT = "/run/vdpa"
UNIT = "run-vdpa.mount"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
WANTED_BY = "local-fs.target"
# Pods name it as a volume, which the kubelet looks for before the agent is asked for anything.
PODS = f"{MOUNT_POINT}/pods"
FOLDERS_PATH = "/etc/tmpfiles.d/fastpath-node-agent.conf"
FOLDERS_TEXT = f"""\
# Made by nfv.fastpath (node_agent); the teardown removes it.
d {PODS} 0711 root root -
"""
NO_LINKS = "nosymfollow"
HOST_NIC = "/etc/fastpath/hostNic.json"
PLUGINS = ("vdpa", "userspace", "vhostuser")
SHIM, OTHERS = "shim", "others"
OLDEST_KERNEL = (5, 10)
# The agent's own, which go with all that is in them.
OWN_FOLDERS = ("/run/fastpath/agent", "/var/lib/fastpath/cni")
# Of its plugins; somebody else may have put something there.
SHARED_FOLDERS = (
    "/usr/libexec/fastpath/vhost-tools",
    "/var/lib/cni/usrspcni",
    "/var/lib/cni/vhostuser",
    "/var/lib/vhost_sockets",
)
UNIT_TEXT = f"""\
# Made by nfv.fastpath (node_agent); the teardown removes it.
[Unit]
Description=Sockets of the node agent of nfv.fastpath
Before=kubelet.service

[Mount]
What=fastpath
Where={MOUNT_POINT}
Type=tmpfs
Options={NO_LINKS},nosuid,nodev,noexec,mode=0755,size=64m

[Install]
WantedBy={WANTED_BY}
"""


@dataclass(frozen=True)
class AgentNode:
    """``host_nic``: text of the file; None: nobody asks for one. One that somebody else wrote then stays.

    ``expected``: how many devices each pool shall have.
    """

    agent: AgentSpec = field(default_factory=AgentSpec)
    bin_dir: str = "/opt/cni/bin"
    host_nic: str | None = None
    expected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentNodeState:
    """``mount``: options of what is mounted at the place of the sockets; None: nothing is. ``at_boot``: what makes the
    folder of pods at a boot, ``pods``: whether it is there.

    ``plugins``: whose each is that is there. ``saved``: former plugins that are kept beside. ``folders``: of all that
    could be there, those that are.
    """

    unit: str | None = None
    at_boot: str | None = None
    pods: bool = False
    enabled: bool = False
    mount: tuple[str, ...] | None = None
    host_nic: str | None = None
    plugins: Mapping[str, str] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    kernel: tuple[int, ...] = ()
    cpus: tuple[int, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        return {
            "unit": self.unit is not None,
            "enabled": self.enabled,
            "mounted": self.mount is not None,
            "pods": self.pods,
            "host_nic": self.host_nic,
        }


def parse_kernel(release: str) -> tuple[int, ...]:
    match = re.match(r"([0-9]+)\.([0-9]+)", release)
    return (int(match.group(1)), int(match.group(2))) if match else ()


def mount_options(mounts: str) -> tuple[str, ...] | None:
    """Options of the last mount at the sockets' place, out of /proc/self/mounts."""
    found = None
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) > 3 and words[1] == MOUNT_POINT:
            found = tuple(words[3].split(","))
    return found


def node_problems(state: AgentNodeState, desired: AgentNode) -> list[Problem]:
    problems = []
    for place, cpus in desired.agent.cpus.items():
        missing = set(cpus) - set(state.cpus)
        if state.cpus and missing:
            shape = f"has CPU {format_cpu_list(missing)}, which this node has not: it has {format_cpu_list(state.cpus)}"
            problems.append(Problem(place, format_cpu_list(cpus), shape))
    if state.kernel and state.kernel < OLDEST_KERNEL:
        shape = f"needs mounts that follow no links, and Linux has them from {'.'.join(map(str, OLDEST_KERNEL))} on"
        problems.append(Problem(VARIABLE, f"Linux {'.'.join(map(str, state.kernel))}", shape))
    if state.mount is not None and NO_LINKS not in state.mount:
        shape = f"is a mount of somebody else without {NO_LINKS}: unmount it, and take it out of /etc/fstab"
        problems.append(Problem(VARIABLE, MOUNT_POINT, shape))
    if state.unit not in (None, UNIT_TEXT) and not _ours(state.unit):
        problems.append(Problem(VARIABLE, UNIT_PATH, "is a unit of somebody else: remove it"))
    return problems


def plan(state: AgentNodeState, desired: AgentNode) -> Plan:
    steps = []
    if state.unit != UNIT_TEXT:
        steps.append(Operation("write_unit", UNIT_PATH, state.unit, UNIT_TEXT))
    if not state.enabled or state.mount is None:
        before = {"enabled": state.enabled, "mounted": state.mount is not None}
        steps.append(Operation("mount", MOUNT_POINT, before, {"enabled": True, "mounted": True}))
    if state.at_boot != FOLDERS_TEXT or not state.pods or state.mount is None:
        steps.append(Operation("make_pods_folder", PODS, state.pods, True))
    wanted = desired.host_nic or (None if state.record.get("host_nic") else state.host_nic)
    if wanted != state.host_nic:
        steps.append(Operation("write_host_nic" if wanted else "remove_host_nic", HOST_NIC, state.host_nic, wanted))
    after = {"unit": True, "enabled": True, "mounted": True, "pods": True, "host_nic": wanted}
    return Plan(tuple(steps), state.shown(), after)


def plan_teardown(state: AgentNodeState) -> Plan:
    """The agent's pod is gone by then. Without a record only what has our mark is ours."""
    steps = [
        Operation("give_back_plugin", name, SHIM, OTHERS if name in state.saved else None)
        for name in PLUGINS
        if state.plugins.get(name) == SHIM or (name in state.saved and name not in state.plugins)
    ]
    if _ours(state.unit):
        steps.append(Operation("unmount", MOUNT_POINT, {"enabled": state.enabled, "mounted": state.mount is not None}))
        steps.append(Operation("remove_unit", UNIT_PATH, state.unit))
    if state.at_boot == FOLDERS_TEXT:
        steps.append(Operation("remove_at_boot", FOLDERS_PATH, state.at_boot))
    if state.record:
        if state.host_nic is not None and state.record.get("host_nic"):
            steps.append(Operation("remove_host_nic", HOST_NIC, state.host_nic))
        steps += [Operation("remove_folder", path, True) for path in OWN_FOLDERS if path in state.folders]
        made = state.record.get("folders", ())
        steps += [
            Operation("remove_empty_folder", path, True) for path in _deepest_first(made) if path in state.folders
        ]
    after = {"unit": False, "enabled": False, "mounted": False, "pods": False, "host_nic": None}
    return Plan(tuple(steps), state.shown(), after if steps else state.shown())


def _ours(unit: str | None) -> bool:
    return unit is not None and unit.startswith(UNIT_TEXT.splitlines()[0])


def _deepest_first(paths: Sequence[str]) -> list[str]:
    return sorted(paths, key=lambda path: (-path.count("/"), path))
