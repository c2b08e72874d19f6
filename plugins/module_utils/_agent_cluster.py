# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module agent_groups does, apart from Ansible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_config import (
    AgentPod,
    Folders,
    agent_pod,
    parse_pod,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_groups import (
    COMPONENT,
    GROUP_LABEL,
    PORTS_ANNOTATION,
    AgentsPlan,
    NodeView,
    plan_agents,
    plan_agents_teardown,
    view,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import AgentSpec, parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import selector
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import listed
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import condition, pod_node, pod_unmet
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_cluster import allocatable_unmet
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    DEFAULT_PREFIX,
    parse_pools,
    parse_prefix,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._drain import holder_of
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host_nics import host_nics, plan_numbers
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_hugepages
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Kube
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import KINDS, NODES, PODS
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan

Item = Mapping[str, Any]
NUMBER_ANNOTATION = "nfv.fastpath/node-number"


@dataclass(frozen=True)
class Found:
    """One node's member as it came from there, parsed."""

    spec: AgentSpec
    pod: AgentPod | None
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentGroupsTask:
    """The module's options. ``members``: what was found on each node, by its name in the cluster.

    ``only``: the nodes that a teardown is about; empty: all.
    """

    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    present: bool = True
    assign: bool = False
    only: tuple[str, ...] = ()
    consent: bool = False
    wait_timeout: float = 300
    folders: Folders = field(default_factory=Folders)

    def result(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """Groups for the manifests; with ``assign`` nodes get their group and offer their ports."""
        nodes = listed(kube, NODES) or []
        coming = self._coming(nodes) if dry_run else []
        found = self._found() if self.present else {}
        plan = self._plan(kube, found, nodes, coming)
        numbers = self._numbers(found, nodes)
        if plan.problems:
            raise Refused(plan.problems)
        warnings = [*plan.warnings, *(f"Node {name} is yet to join the cluster." for name in coming)]
        # Also where nodes are not changed yet: the agent of a group ends with its objects, before nodes move.
        warnings += self._judge_users(kube, plan, dry_run)
        if self.assign and not dry_run:
            self._carry_out(kube, plan, numbers, {node["metadata"]["name"]: node for node in nodes})
            self._wait(kube, plan, found)
        done = Plan(
            operations=plan.operations() if self.assign else (),
            before={name: before for name, (before, _after) in sorted(plan.moves.items())},
            after={name: after for name, (_before, after) in sorted(plan.moves.items())},
        )
        return {
            **done.result(),
            "groups": plan.as_json(),
            "members": {group: list(names) for group, names in plan.members.items()},
            "host_nics": {name: self._host_nics(found[name], number) for name, number in sorted(numbers.items())},
            "warnings_found": warnings,
            "scope": "cluster",
        }

    def _plan(self, kube: Kube, found: Mapping[str, Found], nodes: Sequence[Item], coming: Sequence[str]) -> AgentsPlan:
        views = [*(view(node) for node in nodes), *(NodeView(name) for name in coming)]
        if not self.present:
            return plan_agents_teardown(views, self.only or None)
        return plan_agents({name: one.pod for name, one in found.items()}, views, known_pods(kube))

    def _found(self) -> dict[str, Found]:
        problems: list[Problem] = []
        found = {name: _parsed(given, self.folders, problems) for name, given in sorted(self.members.items())}
        if problems:
            raise Refused(problems)
        return found

    def _coming(self, nodes: Iterable[Item]) -> list[str]:
        """Nodes that a dry run did not let join."""
        there = {node["metadata"]["name"] for node in nodes}
        return sorted(name for name, given in self.members.items() if given.get("joins") and name not in there)

    @staticmethod
    def _numbers(found: Mapping[str, Found], nodes: Iterable[Item]) -> dict[str, int]:
        asked = [name for name, one in found.items() if one.spec.host_nic]
        former = {node["metadata"]["name"]: _number(node) for node in nodes}
        return plan_numbers(asked, {name: number for name, number in former.items() if number is not None})

    @staticmethod
    def _host_nics(one: Found, number: int) -> list[dict[str, str]]:
        return host_nics(one.spec.host_nic, number, one.addresses)

    def _judge_users(self, kube: Kube, plan: AgentsPlan, dry_run: bool) -> list[str]:
        """A pod's socket ends with the agent that serves it."""
        leaving = {name: before for name, (before, _after) in plan.moves.items() if before}
        if not leaving:
            return []
        known = known_pods(kube)
        pods = kube.items(PODS.path()) or []
        holders = []
        for pod in pods:
            group = known.get(leaving.get(pod_node(pod), ""))
            holder = holder_of(pod, frozenset(group.resources)) if group else None
            holders += [f"{holder} on {pod_node(pod)}"] if holder else []
        if not holders:
            return []
        said = f"These pods lose their sockets, since the agent of their node starts anew: {', '.join(sorted(holders))}"
        if self.consent or dry_run:
            return [f"{said}. Start them anew."]
        shape = f"is no consent. {said}. Move them away, or set it to true and start them anew"
        raise Refused([Problem("fastpath_disruption_ok", False, shape)])

    def _carry_out(self, kube: Kube, plan: AgentsPlan, numbers: Mapping[str, int], nodes: Mapping[str, Item]) -> None:
        """What is ours is written down before it is there, and forgotten after it is gone."""
        for name in sorted({*plan.moves, *plan.offers, *plan.marks, *numbers}):
            node = nodes[name]
            offers = plan.offers.get(name, {})
            now, after = view(node), plan.marks.get(name, view(node).ports)
            self._annotate(kube, node, {PORTS_ANNOTATION: _listed({*now.ports, *after})})
            if offers:
                capacity = {res: None if count is None else str(count) for res, (_b, count) in offers.items()}
                kube.merge_patch(f"{NODES.path(name=name)}/status", {"status": {"capacity": capacity}})
            number = str(numbers[name]) if name in numbers else None
            wanted = {PORTS_ANNOTATION: _listed(after), **({NUMBER_ANNOTATION: number} if number else {})}
            group = plan.moves[name][1] if name in plan.moves else now.group
            self._annotate(kube, kube.get(NODES.path(name=name)) or node, wanted, group)

    def _annotate(self, kube: Kube, node: Item, wanted: Mapping[str, Any], group: str | None = None) -> None:
        metadata = node["metadata"]
        have = metadata.get("annotations") or {}
        patch: dict[str, Any] = {key: value for key, value in wanted.items() if have.get(key) != value}
        if not self.present and NUMBER_ANNOTATION in have:
            patch[NUMBER_ANNOTATION] = None
        body: dict[str, Any] = {"annotations": patch} if patch else {}
        if group is not None and view(node).group != group:
            body["labels"] = {GROUP_LABEL: group or None}
        if body:
            kube.merge_patch(NODES.path(name=metadata["name"]), {"metadata": body})

    def _wait(self, kube: Kube, plan: AgentsPlan, found: Mapping[str, Found]) -> None:
        """Until agents answer and ports are offered, or until agents are gone. Not for a node that is down."""
        names = {name: one.pod for name, one in found.items()} if self.present else dict.fromkeys(plan.moves)
        left = kube.wait(lambda: _unmet(kube, names), self.wait_timeout)
        if left:
            message = f"The node agent is not ready after {self.wait_timeout:g} s: {'; '.join(left)}."
            if not self.present:
                message = f"The node agent did not end after {self.wait_timeout:g} s: {'; '.join(left)}."
            raise FastpathError(message, unmet=left)


def known_pods(kube: Kube) -> dict[str, AgentPod]:
    """Groups by name, as their ConfigMaps say."""
    maps = listed(kube, KINDS["ConfigMap"], selector(COMPONENT)) or []
    pods = (parse_pod(item.get("data") or {}) for item in maps)
    return {pod.group: pod for pod in pods if pod is not None}


def agent_resources(maps: Iterable[Item]) -> frozenset[str]:
    """What pods ask for, of all agents' pools: such a pod has a socket."""
    pods = (parse_pod(item.get("data") or {}) for item in maps)
    return frozenset(resource for pod in pods if pod is not None for resource in pod.resources)


def _parsed(given: Mapping[str, Any], folders: Folders, problems: list[Problem]) -> Found:
    spec, wrong = parse_agent(given.get("agent"))
    options, of_pools = parse_pools(given.get("pools"))
    prefix, of_prefix = parse_prefix(given.get("prefix") or DEFAULT_PREFIX)
    pages, of_pages = parse_hugepages(given.get("hugepages"))
    found = [*wrong, *of_pools, *of_prefix, *of_pages]
    problems += found
    if found:
        return Found(spec, None)
    devices = parse_devices(given.get("devices") or ())
    addresses: dict[str, tuple[str, ...]] = {}
    for part in sorted(devices, key=lambda one: (one.pool, one.pf, one.indexes)):
        there = tuple(str(device["address"]) for device in part.state)
        addresses[part.pool] = (*addresses.get(part.pool, ()), *there)
    return Found(spec, agent_pod(spec, devices, pages, (options, prefix), folders), addresses)


def _unmet(kube: Kube, wanted: Mapping[str, AgentPod | None]) -> list[str]:
    nodes = {node["metadata"]["name"]: node for node in kube.items(NODES.path()) or ()}
    pods = kube.items(PODS.path(), selector(COMPONENT)) or []
    return [reason for name, pod in sorted(wanted.items()) for reason in _node_unmet(nodes.get(name), pod, pods)]


def _node_unmet(node: Item | None, wanted: AgentPod | None, pods: Iterable[Item]) -> list[str]:
    if node is None or condition(node, "Ready") != "True":
        return []
    name = node["metadata"]["name"]
    own = [pod for pod in pods if pod_node(pod) == name]
    if wanted is None:
        return [f"{name}: {pod['metadata']['name']} is still there" for pod in own]
    right = [pod for pod in own if (pod["metadata"].get("labels") or {}).get(GROUP_LABEL) == wanted.group]
    reason = pod_unmet(right[0]) if right else "there is no pod yet"
    return [f"{name}: {reason}"] if reason else allocatable_unmet(node, wanted.ports)


def _listed(names: Iterable[str]) -> str | None:
    return json.dumps(sorted(names)) if names else None


def _number(node: Item) -> int | None:
    text = (node["metadata"].get("annotations") or {}).get(NUMBER_ANNOTATION, "")
    return int(text) if text.isdigit() else None
