# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which node runs which device plugin: groups of nodes with one configuration. No I/O.

A group is a ConfigMap, a DaemonSet and a label on nodes, all named by the configuration's checksum. So a plugin pod
shows what it was started with, a node moves to another group by a change of its label, and no other node's pod is
restarted. Nodes that are not looked at in a run keep what they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    EMPTY,
    PoolOptions,
    as_text,
    checksum,
    group_name,
    node_config,
    resource_names,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import BUS_DRIVERS, PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

GROUP_LABEL = "nfv.fastpath/device-plugin"
SEEN_ANNOTATION = "nfv.fastpath/devices"
CONFIG_KEY = "config.json"
COMPONENT = "device_plugin"


@dataclass(frozen=True)
class Member:
    """One node that was looked at: its devices, and what its user says of pools."""

    node: str
    devices: tuple[PoolDevices, ...] = ()
    fingerprint: str = ""
    options: Mapping[str, PoolOptions] = field(default_factory=dict)
    prefix: str = ""

    def config(self) -> str:
        return as_text(node_config(self.devices, self.options, self.prefix))

    def found_now(self) -> dict[str, int]:
        """What a plugin that starts now finds, by resource: the VFs that are there and have the right driver."""
        names = resource_names({part.pool for part in self.devices}, self.options, self.prefix)
        counts: dict[str, int] = dict.fromkeys(names.values(), 0)
        for part in self.devices:
            counts[names[part.pool]] += sum(1 for device in part.state if _is_found(part, device))
        return counts


def _is_found(part: PoolDevices, device: Mapping[str, Any]) -> bool:
    driver = device.get("driver")
    if driver is None or (part.driver not in (None, "kernel") and driver != part.driver):
        return False
    on_it = device.get("vdpa_devices") or ()
    return part.vdpa is None or any(BUS_DRIVERS.get(vdpa["bus"]) == part.vdpa for vdpa in on_it)


@dataclass(frozen=True)
class NodeView:
    """Of a node in the cluster what matters here.

    ``offers``: devices by resource; None where it says nothing of what its plugin found: the node is down, or its
    plugin has not had the time to register.
    """

    name: str
    group: str = ""
    seen: str = ""
    offers: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class GroupsPlan:
    """``groups``: configuration by name, of all that have a node. ``moves`` and ``restarts``: by node."""

    groups: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moves: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    restarts: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def operations(self) -> tuple[Operation, ...]:
        steps = [
            Operation("move_device_plugin", node, before or None, after or None)
            for node, (before, after) in sorted(self.moves.items())
        ]
        steps += [Operation("restart_device_plugin", node) for node in self.restarts]
        return tuple(steps)

    def as_json(self) -> list[dict[str, Any]]:
        """For the manifests' template."""
        return [
            {"name": name, "config": self.groups[name], "checksum": checksum(self.groups[name])}
            for name in sorted(self.groups)
        ]


def view(node: Mapping[str, Any], has_settled: bool = False) -> NodeView:
    metadata = node["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    offers = ((node.get("status") or {}).get("allocatable") or {}) if has_settled else None
    return NodeView(metadata["name"], labels.get(GROUP_LABEL, ""), annotations.get(SEEN_ANNOTATION, ""), offers)


def unoffered(offers: Mapping[str, Any], expected: Mapping[str, int]) -> dict[str, tuple[Any, int]]:
    """What is offered and what is expected, of each resource where these differ."""
    return {
        resource: (offers.get(resource, 0), count)
        for resource, count in sorted(expected.items())
        if str(offers.get(resource, 0)) != str(count)
    }


def plan_groups(members: Iterable[Member], nodes: Iterable[NodeView], known: Mapping[str, str]) -> GroupsPlan:
    """``nodes``: all of the cluster. ``known``: configurations that are in the cluster, by group."""
    looked_at = {member.node: member for member in members}
    there = {node.name: node for node in nodes}
    problems = [_no_node(name, there) for name in sorted(set(looked_at) - set(there))]
    texts = {name: member.config() for name, member in looked_at.items()}
    wanted = {name: "" if text == as_text(EMPTY) else group_name(text) for name, text in texts.items()}
    configs = {**known, **{wanted[name]: text for name, text in texts.items() if wanted[name]}}
    assigned = {node.name: wanted.get(node.name, node.group) for node in there.values()}
    lost = sorted(name for name, group in assigned.items() if group and group not in configs)
    used = {group for group in assigned.values() if group in configs}
    return GroupsPlan(
        groups={group: configs[group] for group in sorted(used)},
        members={group: tuple(sorted(name for name in assigned if assigned[name] == group)) for group in sorted(used)},
        moves={
            name: (there[name].group, wanted[name])
            for name in _present(looked_at, there)
            if _moves(there, wanted, name)
        },
        restarts=tuple(
            name for name in _present(looked_at, there) if _restarts(there[name], wanted[name], looked_at[name])
        ),
        marks={name: looked_at[name].fingerprint if wanted[name] else "" for name in _present(looked_at, there)},
        problems=tuple(problems),
        warnings=tuple(
            f"Node {name} has the label {GROUP_LABEL}={assigned[name]}, and there is no such configuration any more: "
            "it has no device plugin until a run looks at it."
            for name in lost
        ),
    )


def plan_groups_teardown(nodes: Iterable[NodeView]) -> GroupsPlan:
    """Labels and annotations of all nodes go, wherever they are from."""
    there = [node for node in nodes if node.group or node.seen]
    return GroupsPlan(
        moves={node.name: (node.group, "") for node in there},
        marks={node.name: "" for node in there},
    )


def _present(looked_at: Mapping[str, Member], there: Mapping[str, NodeView]) -> list[str]:
    return sorted(set(looked_at) & set(there))


def _moves(there: Mapping[str, NodeView], wanted: Mapping[str, str], name: str) -> bool:
    return there[name].group != wanted[name]


def _restarts(node: NodeView, group: str, member: Member) -> bool:
    """The plugin looks only when it starts. One that moves starts anyway.

    It may have started while devices were away that are the same again now: then only what it offers tells.
    """
    if not group or node.group != group:
        return False
    if node.seen != member.fingerprint:
        return True
    return node.offers is not None and bool(unoffered(node.offers, member.found_now()))


def _no_node(name: str, there: Mapping[str, NodeView]) -> Problem:
    known = ", ".join(sorted(there)[:8]) + (" ..." if len(there) > 8 else "")
    message = f"is no node of the cluster ({known or 'it has none'}). Say what it is called there in fastpath_node_name"
    return Problem("fastpath_node_name", name, message)
