# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Whether what was applied has come about, and if not, what stands in its way. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]


def condition(item: Item, kind: str) -> str:
    """``True``, ``False`` or ``Unknown``; empty where the object says nothing of it."""
    for entry in (item.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            return str(entry.get("status"))
    return ""


def daemonset_ready(item: Item) -> bool:
    """All pods are of the present template and ready. No node to run on is right, too."""
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    return bool(
        status.get("observedGeneration") == item["metadata"].get("generation")
        and (status.get("updatedNumberScheduled") or 0) == wanted
        and (status.get("numberReady") or 0) == wanted
    )


def daemonset_unmet(item: Item, pods: Iterable[Item], nodes: Iterable[Item]) -> list[str]:
    """Why a DaemonSet is not ready, node by node. What runs on nodes that are down is not waited for."""
    if daemonset_ready(item):
        return []
    name = item["metadata"]["name"]
    up = {node["metadata"]["name"] for node in nodes if condition(node, "Ready") == "True"}
    own = [pod for pod in pods if is_owned_by(pod, item)]
    found = [
        f"{name} on {node}: {reason}"
        for node, reason in sorted((pod_node(pod), pod_unmet(pod)) for pod in own)
        if reason and (node in up or not node)
    ]
    if found:
        return found
    status = item.get("status") or {}
    if status.get("observedGeneration") != item["metadata"].get("generation"):
        return [f"{name}: the controller has not seen it yet"]
    wanted, current = status.get("desiredNumberScheduled", 0), status.get("currentNumberScheduled", 0)
    down = sorted({pod_node(pod) for pod in own} - up - {""})
    if current < wanted:
        return [f"{name}: {current} of {wanted} pods are there"]
    updated = status.get("updatedNumberScheduled") or 0
    if updated < wanted and not down:
        return [f"{name}: {updated} of {wanted} pods are of the new kind"]
    return [] if down else [f"{name}: {status.get('numberReady') or 0} of {wanted} pods are ready"]


def is_owned_by(pod: Item, owner: Item) -> bool:
    references = pod["metadata"].get("ownerReferences") or ()
    return any(reference.get("uid") == owner["metadata"].get("uid") for reference in references)


def pod_node(pod: Item) -> str:
    """Where it runs, or is to run: the pods of a DaemonSet have their node before they are scheduled."""
    spec = pod.get("spec") or {}
    if spec.get("nodeName"):
        return str(spec["nodeName"])
    terms = (
        ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
        or {}
    ).get("nodeSelectorTerms") or ()
    for term in terms:
        for rule in term.get("matchFields") or ():
            if rule.get("key") == "metadata.name" and rule.get("values"):
                return str(rule["values"][0])
    return ""


def pod_ready(pod: Item) -> bool:
    return not pod_unmet(pod)


def pod_unmet(pod: Item) -> str:
    """Why a pod is not ready, in the words of the first container that says; empty where it is."""
    if pod["metadata"].get("deletionTimestamp"):
        return "is ending"
    if condition(pod, "Ready") == "True":
        return ""
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for state in states:
        said = _container_unmet(state)
        if said:
            return said
    for entry in status.get("conditions") or ():
        if entry.get("type") == "PodScheduled" and entry.get("status") == "False":
            return f"is not scheduled: {entry.get('message') or entry.get('reason')}"
    return str(status.get("phase") or "Pending")


def _container_unmet(state: Mapping[str, Any]) -> str:
    waiting = (state.get("state") or {}).get("waiting") or {}
    ended = (state.get("state") or {}).get("terminated") or (state.get("lastState") or {}).get("terminated") or {}
    reason = str(waiting.get("reason") or "")
    if reason == "PodInitializing":
        return ""
    if reason:
        why = waiting.get("message") or ended.get("message") or ""
        return f"{state.get('name')}: {reason}{f' ({_short(why)})' if why else ''}"
    if ended and ended.get("exitCode"):
        why = _short(ended.get("message") or "")
        return f"{state.get('name')}: ended with exit code {ended['exitCode']}{f' ({why})' if why else ''}"
    return ""


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 200 else f"{line[:197]}..."


def on_node(pods: Sequence[Item], node: str) -> list[Item]:
    return [pod for pod in pods if pod_node(pod) == node]
