# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module device_plugin does, apart from Ansible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import selector
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import listed
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import condition, pod_node, pod_unmet
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    DEFAULT_PREFIX,
    parse_pools,
    parse_prefix,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import (
    COMPONENT,
    CONFIG_KEY,
    GROUP_LABEL,
    SEEN_ANNOTATION,
    GroupsPlan,
    Member,
    NodeView,
    plan_groups,
    plan_groups_teardown,
    unoffered,
    view,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Kube
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import KINDS, NODES, PODS
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan

Item = Mapping[str, Any]
# A plugin registers some seconds after its start, and a kubelet says every ten seconds what there is.
SETTLE_SECONDS = 60.0


@dataclass(frozen=True)
class DevicePluginTask:
    """The module's options. ``members``: what was found on each node, by its name in the cluster."""

    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    present: bool = True
    assign: bool = False
    wait_timeout: float = 300

    def result(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """Groups for the manifests; with ``assign`` nodes get their group, and what is stale starts again."""
        members = self._members() if self.present else []
        nodes = listed(kube, NODES) or []
        coming = self._coming(nodes) if dry_run else []
        plan = self._plan(kube, members, nodes, coming)
        if plan.problems:
            raise Refused(plan.problems)
        if self.assign and not dry_run:
            self._carry_out(kube, plan, {node["metadata"]["name"]: node for node in nodes})
            self._wait(kube, plan, members)
            if not self.present:
                self._wait_for_the_end(kube)
        done = Plan(
            operations=plan.operations() if self.assign else (),
            before={name: before for name, (before, _after) in sorted(plan.moves.items())},
            after={name: after for name, (_before, after) in sorted(plan.moves.items())},
        )
        return {
            **done.result(),
            "groups": plan.as_json(),
            "members": {group: list(names) for group, names in plan.members.items()},
            "warnings_found": [*plan.warnings, *(f"Node {name} is yet to join the cluster." for name in coming)],
            "scope": "cluster",
        }

    def _plan(self, kube: Kube, members: Sequence[Member], nodes: Sequence[Item], coming: Sequence[str]) -> GroupsPlan:
        views = [*(view(node) for node in nodes), *(NodeView(name) for name in coming)]
        if not self.present:
            return plan_groups_teardown(views)
        known = self._known(kube)
        plan = plan_groups(members, views, known)
        stale = self._stale(kube, plan, members, nodes) if self.assign else {}
        if not stale:
            return plan
        return plan_groups(members, [stale.get(one.name, one) for one in views], known)

    def _stale(
        self, kube: Kube, plan: GroupsPlan, members: Sequence[Member], nodes: Sequence[Item]
    ) -> dict[str, NodeView]:
        """Nodes that nothing is planned for, and whose plugin runs and yet does not offer what is there.

        One that has just started has its time to register first. One that does not run yet will look when it starts.
        """
        by_name = {node["metadata"]["name"]: node for node in nodes}
        at_rest = {name for name in by_name if plan.marks.get(name)} - {*plan.moves, *plan.restarts}
        doubtful = [one for one in members if one.node in at_rest and _offers_otherwise(one, by_name[one.node])]
        if not doubtful:
            return {}
        kube.wait(lambda: _unmet(kube, doubtful), min(SETTLE_SECONDS, self.wait_timeout))
        now = {node["metadata"]["name"]: node for node in kube.items(NODES.path()) or ()}
        pods = kube.items(PODS.path(), selector(COMPONENT)) or []
        return {
            one.node: view(now[one.node], has_settled=True)
            for one in doubtful
            if _offers_otherwise(one, now[one.node]) and not _pod_reason(now[one.node], pods)
        }

    def _members(self) -> list[Member]:
        found = []
        problems: list[Problem] = []
        for node, given in sorted(self.members.items()):
            options, wrong = parse_pools(given.get("pools"))
            prefix, more = parse_prefix(given.get("prefix") or DEFAULT_PREFIX)
            problems += [*wrong, *more]
            devices = parse_devices(given.get("devices") or ())
            found.append(Member(node, devices, str(given.get("fingerprint") or ""), options, prefix))
        if problems:
            raise Refused(problems)
        return found

    def _coming(self, nodes: Iterable[Item]) -> list[str]:
        """Nodes that a dry run did not let join."""
        there = {node["metadata"]["name"] for node in nodes}
        return sorted(name for name, given in self.members.items() if given.get("joins") and name not in there)

    @staticmethod
    def _known(kube: Kube) -> dict[str, str]:
        maps = listed(kube, KINDS["ConfigMap"], selector(COMPONENT)) or []
        pairs = [((item["metadata"].get("labels") or {}).get(GROUP_LABEL), item.get("data") or {}) for item in maps]
        return {str(group): data[CONFIG_KEY] for group, data in pairs if group and CONFIG_KEY in data}

    def _carry_out(self, kube: Kube, plan: GroupsPlan, nodes: Mapping[str, Item]) -> None:
        """The mark of what was seen comes last: cut off before it, the next run starts the plugin once more."""
        gone = self._end_pods(kube, plan.restarts) if plan.restarts else []
        left = kube.wait(lambda: _still_there(kube, gone), self.wait_timeout) if gone else []
        if left:
            raise _did_not_end(left, self.wait_timeout)
        for name in sorted({*plan.moves, *plan.marks}):
            patch = _patch(nodes[name], plan, name)
            if patch:
                kube.merge_patch(NODES.path(name=name), patch)

    @staticmethod
    def _end_pods(kube: Kube, nodes: Sequence[str]) -> list[str]:
        pods = listed(kube, PODS, selector(COMPONENT)) or []
        ended = []
        for pod in pods:
            if pod_node(pod) in nodes:
                metadata = pod["metadata"]
                kube.delete(PODS.path(metadata["namespace"], metadata["name"]), metadata["uid"])
                ended.append(metadata["uid"])
        return ended

    def _wait_for_the_end(self, kube: Kube) -> None:
        """Until then a node still offers devices. A node that is down is not waited for."""

        def left() -> list[str]:
            up = {
                node["metadata"]["name"]
                for node in kube.items(NODES.path()) or ()
                if condition(node, "Ready") == "True"
            }
            pods = kube.items(PODS.path(), selector(COMPONENT)) or []
            return [pod["metadata"]["name"] for pod in pods if pod_node(pod) in up]

        remaining = kube.wait(left, self.wait_timeout)
        if remaining:
            raise _did_not_end(remaining, self.wait_timeout)

    def _wait(self, kube: Kube, plan: GroupsPlan, members: Iterable[Member]) -> None:
        """Only for nodes whose plugin starts in this run, and that can answer."""
        started = {*plan.restarts, *(name for name, (_before, after) in plan.moves.items() if after)}
        waiting = [member for member in members if member.node in started]
        if not waiting:
            return
        left = kube.wait(lambda: _unmet(kube, waiting), self.wait_timeout)
        if left:
            message = f"The device plugin is not ready after {self.wait_timeout:g} s: {'; '.join(left)}."
            raise FastpathError(message, unmet=left)


def _unmet(kube: Kube, members: Iterable[Member]) -> list[str]:
    nodes = {node["metadata"]["name"]: node for node in kube.items(NODES.path()) or ()}
    pods = kube.items(PODS.path(), selector(COMPONENT)) or []
    return [reason for member in members for reason in member_unmet(member, nodes[member.node], pods)]


def member_unmet(member: Member, node: Item, pods: Iterable[Item]) -> list[str]:
    """Why a node does not offer yet what its plugin should have found; a node that is down is not waited for."""
    if condition(node, "Ready") != "True":
        return []
    reason = _pod_reason(node, pods)
    if reason:
        return [f"{member.node}: {reason}"]
    return allocatable_unmet(node, member.found_now())


def allocatable_unmet(node: Item, expected: Mapping[str, int]) -> list[str]:
    """Resources of which a node does not offer the expected number."""
    have = (node.get("status") or {}).get("allocatable") or {}
    return [
        f"{node['metadata']['name']}: {resource} is {offered}, expected {count}"
        for resource, (offered, count) in unoffered(have, expected).items()
    ]


def _offers_otherwise(member: Member, node: Item) -> bool:
    """Whether a node that is up offers something else than its plugin would find now."""
    return condition(node, "Ready") == "True" and bool(allocatable_unmet(node, member.found_now()))


def _pod_reason(node: Item, pods: Iterable[Item]) -> str:
    """Why the plugin of a node's group does not run there; empty where it does."""
    now = view(node)
    own = [pod for pod in pods if pod_node(pod) == now.name and _group_of(pod) == now.group]
    return pod_unmet(own[0]) if own else "there is no pod yet"


def offered_resources(maps: Iterable[Item]) -> frozenset[str]:
    """Names of all resources in the configurations of our device plugin."""
    found: set[str] = set()
    for item in maps:
        found |= _resources_of(item) or set()
    return frozenset(found)


def unreadable_configs(maps: Iterable[Item]) -> tuple[str, ...]:
    """A warning for each configuration that somebody edited so that nobody knows what it offers."""
    return tuple(
        f"The ConfigMap {item['metadata'].get('namespace')}/{item['metadata']['name']} was edited and is no "
        "configuration of a device plugin any more: pods with devices of pools that are no longer in fastpath_sriov "
        "are not seen to have them. The role device_plugin writes it anew."
        for item in maps
        if _resources_of(item) is None
    )


def _resources_of(item: Item) -> set[str] | None:
    """None where it cannot be read; the plugin cannot read it either."""
    try:
        entries = json.loads((item.get("data") or {})[CONFIG_KEY])["resourceList"]
        return {f"{entry['resourcePrefix']}/{entry['resourceName']}" for entry in entries}
    except (ValueError, LookupError, AttributeError, TypeError):
        return None


def _group_of(pod: Item) -> str:
    return str((pod["metadata"].get("labels") or {}).get(GROUP_LABEL, ""))


def _did_not_end(pods: Sequence[str], seconds: float) -> FastpathError:
    return FastpathError(f"The device plugin did not end after {seconds:g} s: {', '.join(pods)}.")


def _still_there(kube: Kube, uids: Sequence[str]) -> list[str]:
    pods = kube.items(PODS.path(), selector(COMPONENT)) or []
    return [pod["metadata"]["name"] for pod in pods if pod["metadata"]["uid"] in uids]


def _patch(node: Item, plan: GroupsPlan, name: str) -> dict[str, Any]:
    """What is different on a node; empty where nothing is."""
    metadata: dict[str, Any] = {}
    now = view(node)
    group = plan.moves[name][1] if name in plan.moves else now.group
    if group != now.group:
        metadata["labels"] = {GROUP_LABEL: group or None}
    if plan.marks.get(name, now.seen) != now.seen:
        metadata["annotations"] = {SEEN_ANNOTATION: plan.marks[name] or None}
    return {"metadata": metadata} if metadata else {}
