# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which node runs which node agent: groups of nodes with one configuration, as for the device plugin. No I/O.

Ports of Open vSwitch are no devices that a plugin could find, so the number of them is put on the Node itself, as an
extended resource. An annotation says which resources are ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_config import AgentPod
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

COMPONENT = "node_agent"
GROUP_LABEL = "nfv.fastpath/node-agent"
PORTS_ANNOTATION = "nfv.fastpath/ports"
Item = Mapping[str, Any]


@dataclass(frozen=True)
class NodeView:
    """Of a node in the cluster what matters here. ``ports``: resources of ours, ``capacity``: what it has of each."""

    name: str
    group: str = ""
    ports: tuple[str, ...] = ()
    capacity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentsPlan:
    """``groups``: all that have a node. ``moves``: by node. ``offers``: resources by node, before and after.

    ``marks``: which resources are ours from now on, by node.
    """

    groups: Mapping[str, AgentPod] = field(default_factory=dict)
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    moves: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    offers: Mapping[str, Mapping[str, tuple[int | None, int | None]]] = field(default_factory=dict)
    marks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def operations(self) -> tuple[Operation, ...]:
        steps = [
            Operation("move_node_agent", node, before or None, after or None)
            for node, (before, after) in sorted(self.moves.items())
        ]
        steps += [
            Operation("offer_ports", f"{node} {resource}", before, after)
            for node, offers in sorted(self.offers.items())
            for resource, (before, after) in sorted(offers.items())
        ]
        return tuple(steps)

    def as_json(self) -> list[dict[str, Any]]:
        return [self.groups[name].as_json() for name in sorted(self.groups)]


def view(node: Item) -> NodeView:
    metadata = node["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    capacity = (node.get("status") or {}).get("capacity") or {}
    return NodeView(metadata["name"], labels.get(GROUP_LABEL, ""), _ports(annotations), capacity)


def _ports(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Somebody may have edited it; then what it said is lost."""
    try:
        found = json.loads(annotations.get(PORTS_ANNOTATION, "[]"))
    except ValueError:
        return ()
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def plan_agents(
    wanted: Mapping[str, AgentPod | None], nodes: Iterable[NodeView], known: Mapping[str, AgentPod]
) -> AgentsPlan:
    """``wanted``: for the nodes that were looked at. ``nodes``: all. ``known``: groups that are in the cluster."""
    there = {node.name: node for node in nodes}
    looked_at = sorted(set(wanted) & set(there))
    own = {name: pod.group if (pod := wanted[name]) else "" for name in looked_at}
    pods = {**known, **{pod.group: pod for pod in wanted.values() if pod is not None}}
    assigned = {name: own.get(name, node.group) for name, node in there.items()}
    used = {group for group in assigned.values() if group in pods}
    return AgentsPlan(
        groups={group: pods[group] for group in sorted(used)},
        members={group: tuple(sorted(name for name in assigned if assigned[name] == group)) for group in sorted(used)},
        moves={name: (there[name].group, own[name]) for name in looked_at if there[name].group != own[name]},
        offers=_by_node(looked_at, wanted, there),
        marks={name: tuple(sorted(_offered(wanted[name]))) for name in looked_at},
        problems=tuple(_no_node(name, there) for name in sorted(set(wanted) - set(there))),
        warnings=tuple(_lost(name, group) for name, group in sorted(assigned.items()) if group and group not in pods),
    )


def plan_agents_teardown(nodes: Iterable[NodeView], only: Iterable[str] | None = None) -> AgentsPlan:
    """``only``: of these nodes; None: of all."""
    chosen = None if only is None else set(only)
    there = [node for node in nodes if chosen is None or node.name in chosen]
    return AgentsPlan(
        moves={node.name: (node.group, "") for node in there if node.group},
        offers=_by_node([node.name for node in there], {}, {node.name: node for node in there}),
        marks={node.name: () for node in there if node.ports},
    )


def _by_node(
    names: Iterable[str], wanted: Mapping[str, AgentPod | None], there: Mapping[str, NodeView]
) -> dict[str, dict[str, tuple[int | None, int | None]]]:
    found = {name: _offers(there[name], _offered(wanted.get(name))) for name in names}
    return {name: offers for name, offers in found.items() if offers}


def _offered(pod: AgentPod | None) -> Mapping[str, int]:
    return pod.ports if pod else {}


def _offers(node: NodeView, wanted: Mapping[str, int]) -> dict[str, tuple[int | None, int | None]]:
    """What differs: of what is wanted, and of ours that is not wanted any more."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for resource in sorted({*wanted, *node.ports}):
        text = str(node.capacity.get(resource, ""))
        before = int(text) if text.isdigit() else None
        if before != wanted.get(resource):
            found[resource] = (before, wanted.get(resource))
    return found


def _no_node(name: str, there: Mapping[str, NodeView]) -> Problem:
    known = ", ".join(sorted(there)[:8]) + (" ..." if len(there) > 8 else "")
    message = f"is no node of the cluster ({known or 'it has none'}). Say what it is called there in fastpath_node_name"
    return Problem("fastpath_node_name", name, message)


def _lost(name: str, group: str) -> str:
    return (
        f"Node {name} has the label {GROUP_LABEL}={group}, and there is no such configuration any more: it has no node "
        "agent until a run looks at it."
    )
