# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Takes a node of a cluster out of service and brings it back; what the module node_service does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_cluster import agent_resources
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_groups import COMPONENT as AGENT
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import selector
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import listed
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import (
    condition,
    is_owned_by,
    on_node,
    pod_unmet,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_cluster import (
    allocatable_unmet,
    offered_resources,
    unreadable_configs,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import COMPONENT as PLUGIN
from ansible_collections.nfv.fastpath.plugins.module_utils._drain import (
    NODE,
    DrainOptions,
    DrainPlan,
    Leaving,
    plan_drain,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import (
    CONFLICT,
    GONE,
    TOO_MANY,
    Answer,
    Ask,
    Kube,
    KubeError,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import BUDGETS, KINDS, NODES, PODS
from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import (
    back_patch,
    coming_node,
    failed_patch,
    is_out,
    out_patch,
    stays_cordoned,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

Item = Mapping[str, Any]
SEVERAL_BUDGETS = 500
TRIES = 5
DAEMONS = ("multus", "device_plugin", "networks")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class NodeService:
    """The module's options.

    ``disruptive``: others than pods may notice what comes, so that it needs consent on an empty node, too.
    ``expected``: devices that the node must offer, by resource. ``boot_id``: which boot the cluster must know of.
    ``joins``: whether it was about to join in this run, which a dry run has not done.
    """

    node: str
    reason: str = ""
    consent: bool = True
    if_needed: bool = False
    drain: DrainOptions = field(default_factory=DrainOptions)
    drain_timeout: float = 300
    expected: Mapping[str, int] = field(default_factory=dict)
    boot_id: str = ""
    wait_timeout: float = 300
    joins: bool = False
    now: Callable[[], str] = _now
    disruptive: bool = True

    @property
    def path(self) -> str:
        return NODES.path(name=self.node)

    def take_out(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """Cordon, taint, say why, and evict what has to leave. Refused before that where something cannot leave."""
        node = self._get(kube, dry_run)
        patch = out_patch(node, self.reason, self.now())
        drain = self._plan(kube)
        if self.if_needed and not (drain.leaving or drain.blocked or is_out(node)):
            return {**_result([], drain, dry_run), "emptied": False}
        if not self.consent and (self.disruptive or drain.leaving):
            raise self._no_consent(drain)
        if drain.blocked:
            raise Refused([Problem("node", self.node, f"cannot be drained: {text}") for text in drain.blocked])
        operations = [Operation("take_out", self.node, reason=self.reason)] if patch else []
        operations += [Operation("evict", str(pod)) for pod in drain.leaving]
        if not dry_run:
            self._patch(kube, lambda item: out_patch(item, self.reason, self.now()))
            # Pods may have come while nobody kept them off.
            drain = self._plan(kube) if patch else drain
            if drain.blocked:
                raise self._failed(
                    kube, f"Node {self.node} cannot be drained: {'; '.join(drain.blocked)}", drain.blocked
                )
            self._evict(kube, drain)
        return {**_result(operations, drain, dry_run), "emptied": self.drain.scope == NODE}

    def bring_back(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """Wait until the node can serve, then let pods come. Fails with all that is missing, and the node stays out."""
        node = self._get(kube, dry_run)
        patch = back_patch(node)
        operations = [Operation("bring_back", self.node)] if patch else []
        warnings = []
        if stays_cordoned(node) and is_out(node):
            warnings.append(f"Node {self.node} was cordoned by somebody before this run, and stays cordoned.")
        if not dry_run:
            self._wait(kube)
            self._patch(kube, back_patch)
        return {**_result(operations, DrainPlan(), dry_run), "warnings_found": warnings}

    def mark_failed(self, kube: Kube, dry_run: bool) -> dict[str, Any]:
        """Write down why a node stays out; a node in service is left alone."""
        node = self._get(kube)
        patch = failed_patch(node, self.reason)
        if patch and not dry_run:
            self._patch(kube, lambda item: failed_patch(item, self.reason))
        operations = [Operation("mark_failed", self.node, reason=self.reason)] if patch else []
        return _result(operations, DrainPlan(), dry_run)

    def _no_consent(self, drain: DrainPlan) -> FastpathError:
        """Who would have to leave: those with devices first, and what they have."""
        holders = {(holder.namespace, holder.name) for holder in drain.holders}
        others = [str(pod) for pod in drain.leaving if (pod.namespace, pod.name) not in holders]
        pods = [*(str(holder) for holder in drain.holders), *others]
        who = f"Pods would have to leave: {', '.join(pods)}" if pods else "No pod would have to leave"
        return FastpathError(
            f"Refused for {self.node}, no pod was moved away: {self.reason}. {who}. "
            "Give consent with fastpath_disruption_ok, and they are moved away first.",
            holders=[str(holder) for holder in drain.holders],
        )

    def _get(self, kube: Kube, dry_run: bool = False) -> dict[str, Any]:
        node = kube.get(self.path)
        if node is None and self.joins and dry_run:
            return coming_node(self.node)
        if node is None:
            message = "is no node of the cluster. Say what it is called there in fastpath_node_name"
            raise Refused([Problem("fastpath_node_name", self.node, message)])
        return node

    def _patch(self, kube: Kube, make: Callable[[Item], dict[str, Any]]) -> None:
        """From what is there now; others write taints and annotations, too."""
        for attempt in range(TRIES):
            patch = make(self._get(kube))
            if not patch:
                return
            try:
                kube.merge_patch(self.path, patch)
                return
            except KubeError as refused:
                if refused.status != CONFLICT or attempt == TRIES - 1:
                    raise

    def _plan(self, kube: Kube) -> DrainPlan:
        pods = listed(kube, PODS, fields=f"spec.nodeName={self.node}") or []
        # What a plugin offers counts also where it is no longer asked for.
        configs = listed(kube, KINDS["ConfigMap"], selector(PLUGIN)) or []
        of_agents = agent_resources(listed(kube, KINDS["ConfigMap"], selector(AGENT)) or [])
        options = replace(self.drain, resources=self.drain.resources | offered_resources(configs) | of_agents)
        plan = plan_drain(pods, listed(kube, BUDGETS) or [], options)
        return replace(plan, warnings=unreadable_configs(configs))

    # Draining

    def _evict(self, kube: Kube, drain: DrainPlan) -> None:
        """All at once, and again what a budget holds back, until none is left or time is over.

        One pod that cannot leave yet does not hold up the others.
        """
        said: dict[str, str] = {}
        left = {pod.uid: pod for pod in drain.leaving}
        asked: set[str] = set()

        def unmet() -> list[str]:
            for pod in [pod for uid, pod in left.items() if uid not in asked]:
                if self._evict_one(kube, pod, said):
                    asked.add(pod.uid)
            there = {
                item["metadata"]["uid"]: item
                for item in kube.items(PODS.path(), "", f"spec.nodeName={self.node}") or ()
            }
            for uid in [uid for uid in left if uid not in there]:
                del left[uid]
            return [f"{pod} {_why(there[uid], said.get(uid, ''))}" for uid, pod in left.items()]

        if not left:
            return
        remaining = kube.wait(unmet, self.drain_timeout)
        if remaining:
            message = f"Node {self.node} is not empty after {self.drain_timeout:g} s: {'; '.join(remaining)}"
            raise self._failed(kube, message, remaining)

    @staticmethod
    def _evict_one(kube: Kube, pod: Leaving, said: dict[str, str]) -> bool:
        """Whether the pod is on its way. Only this very pod, not one that took its name since."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        path = f"{PODS.path(pod.namespace, pod.name)}/eviction"
        answer: Answer = kube.ask(Ask("POST", path, {}, body), accept=(GONE, CONFLICT, TOO_MANY, SEVERAL_BUDGETS))
        if answer.status in (TOO_MANY, SEVERAL_BUDGETS):
            text = answer.body.get("message") if isinstance(answer.body, Mapping) else answer.body
            said[pod.uid] = str(text or answer.status)
            return False
        said.pop(pod.uid, None)
        return True

    # Coming back

    def _wait(self, kube: Kube) -> None:
        left = kube.wait(lambda: self._not_serving(kube), self.wait_timeout)
        if left:
            message = f"Node {self.node} cannot serve after {self.wait_timeout:g} s: {'; '.join(left)}"
            raise self._failed(kube, message, left)

    def _not_serving(self, kube: Kube) -> list[str]:
        node = kube.get(self.path)
        if node is None:
            return ["it left the cluster"]
        ready = condition(node, "Ready")
        if ready != "True":
            return [f"its condition Ready is {ready or 'not there'}"]
        known = ((node.get("status") or {}).get("nodeInfo") or {}).get("bootID", "")
        if self.boot_id and known != self.boot_id:
            return ["its kubelet has not answered since the last boot"]
        found = allocatable_unmet(node, self.expected)
        return [*(text.split(": ", 1)[1] for text in found), *self._daemons_unmet(kube, node)]

    def _daemons_unmet(self, kube: Kube, node: Item) -> list[str]:
        """What pods need on the node before they start."""
        sets = [item for name in DAEMONS for item in listed(kube, KINDS["DaemonSet"], selector(name)) or ()]
        pods = on_node(kube.items(PODS.path(), "", f"spec.nodeName={self.node}") or [], self.node) if sets else []
        found = []
        for item in sets:
            own = [pod for pod in pods if is_owned_by(pod, item)]
            found += [f"{item['metadata']['name']}: {pod_unmet(pod)}" for pod in own if pod_unmet(pod)]
            if not own and _runs_on(item, node):
                found.append(f"{item['metadata']['name']}: there is no pod yet")
        return found

    def _failed(self, kube: Kube, message: str, unmet: Iterable[str]) -> FastpathError:
        """The error, which stands on the node as well. A node that was not out is left in service."""
        try:
            replace(self, reason=message).mark_failed(kube, False)
        except FastpathError as also:
            message = f"{message}. This could not be written on the node: {also.message}"
        return FastpathError(f"{message}.", unmet=list(unmet))


def _runs_on(daemon: Item, node: Item) -> bool:
    labels = node["metadata"].get("labels") or {}
    wanted = daemon["spec"]["template"]["spec"].get("nodeSelector") or {}
    return all(labels.get(key) == value for key, value in wanted.items())


def _why(pod: Item, said: str) -> str:
    if said:
        return f"is held back: {said.rstrip('.')}"
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp") and metadata.get("finalizers"):
        return f"waits for its finalizers ({', '.join(metadata['finalizers'])})"
    return "is ending" if metadata.get("deletionTimestamp") else "is still there"


def _result(operations: list[Operation], drain: DrainPlan, dry_run: bool) -> dict[str, Any]:
    return {
        **Plan(operations=tuple(operations)).result(),
        "holders": [str(holder) for holder in drain.holders],
        "waits": list(drain.waits),
        "dry_run": dry_run,
        "warnings_found": [*drain.waits, *drain.warnings],
    }


def service_result(kube: Kube, params: Mapping[str, Any], dry_run: bool) -> dict[str, Any]:
    """The module's result."""
    drain = DrainOptions(
        params["scope"], frozenset(params["resources"]), params["unmanaged_ok"], params["local_data_ok"]
    )
    service = NodeService(
        params["node"],
        params["reason"],
        params["consent"],
        params["if_needed"],
        drain,
        params["drain_timeout"],
        {str(name): int(count) for name, count in params["expected"].items()},
        params["boot_id"] or "",
        params["wait_timeout"],
        joins=params["joins"],
        disruptive=params["disruptive"],
    )
    if params["gone_ok"] and kube.get(service.path) is None:
        warning = f"Node {service.node} is no node of the cluster, so no pod was moved away from it."
        return {**_result([], DrainPlan(), dry_run), "emptied": False, "warnings_found": [warning]}
    work = {"out": service.take_out, "back": service.bring_back, "failed": service.mark_failed}
    return work[params["state"]](kube, dry_run)
