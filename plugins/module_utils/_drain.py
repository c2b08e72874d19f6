# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which pods have to leave a node, which cannot, and which of them hold devices. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import EFFECT, TAINT

Item = Mapping[str, Any]
MIRROR = "kubernetes.io/config.mirror"
STATUS = "k8s.v1.cni.cncf.io/network-status"
ENDED = ("Succeeded", "Failed")
# What is in memory does not outlast the pod wherever it runs.
IN_MEMORY = ("Memory", "HugePages")
NODE, DEVICES = "node", "devices"


@dataclass(frozen=True)
class DrainOptions:
    """``scope``: all pods of the node, or only those with devices. ``resources``: names of what pods may hold.

    Consent to lose what cannot be had again: pods that nobody makes anew, and files in their own folders.
    """

    scope: str = NODE
    resources: frozenset[str] = frozenset()
    unmanaged_ok: bool = False
    local_data_ok: bool = False


@dataclass(frozen=True)
class Holder:
    """A pod with devices of ours. ``devices``: their addresses, as far as the pod's networks tell them."""

    namespace: str
    name: str
    counts: tuple[tuple[str, int], ...]
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = ", ".join(f"{count} x {resource}" for resource, count in self.counts)
        return f"{self.namespace}/{self.name} ({what}{': ' if self.devices else ''}{', '.join(self.devices)})"


@dataclass(frozen=True)
class Leaving:
    """A pod that is to be evicted."""

    namespace: str
    name: str
    uid: str
    has_devices: bool = False
    budgets: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class DrainPlan:
    """``blocked``: what no waiting helps against. ``waits``: disruption budgets that allow nothing just now.

    ``warnings``: what makes it uncertain who holds devices.
    """

    leaving: tuple[Leaving, ...] = ()
    blocked: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_drain(pods: Iterable[Item], budgets: Sequence[Item], options: DrainOptions) -> DrainPlan:
    """For the pods of one node; ``budgets`` are those of the whole cluster."""
    leaving, blocked, waits, holders = [], [], [], []
    for pod in sorted(pods, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"])):
        holder = holder_of(pod, options.resources)
        if holder is not None:
            holders.append(holder)
        if not _has_to_leave(pod, holder, options):
            continue
        reason = _cannot_leave(pod, holder, options)
        covering = [item for item in budgets if covers_pod(item, pod)]
        if len(covering) > 1:
            names = ", ".join(item["metadata"]["name"] for item in covering)
            reason = f"has several disruption budgets ({names}), and the API server evicts no such pod: leave it one"
        if reason:
            blocked.append(f"{pod['metadata']['namespace']}/{pod['metadata']['name']} {reason}")
            continue
        item = _leaving(pod, holder, covering)
        leaving.append(item)
        for one in covering:
            if not _allows(one):
                waits.append(f"{item} waits for its disruption budget {one['metadata']['name']}, which allows none now")
    return DrainPlan(tuple(leaving), tuple(blocked), tuple(waits), tuple(holders))


def _leaving(pod: Item, holder: Holder | None, covering: Iterable[Item]) -> Leaving:
    metadata = pod["metadata"]
    names = tuple(item["metadata"]["name"] for item in covering)
    return Leaving(metadata["namespace"], metadata["name"], metadata["uid"], holder is not None, names)


def _has_to_leave(pod: Item, holder: Holder | None, options: DrainOptions) -> bool:
    if _ended(pod) or MIRROR in (pod["metadata"].get("annotations") or {}):
        return False
    # A daemon's pod is made anew on the same node, but not while it has a taint that the daemon does not tolerate.
    only_with_devices = _owner(pod) == "DaemonSet" or options.scope == DEVICES
    return holder is not None or not only_with_devices


def _cannot_leave(pod: Item, holder: Holder | None, options: DrainOptions) -> str:
    owner = _owner(pod)
    if owner == "DaemonSet" and holder is not None and _tolerates_taint(pod):
        return f"is a daemon's pod that holds devices and tolerates every taint: it would come right back ({holder})"
    if not owner and not options.unmanaged_ok:
        return "has no controller and would be lost: remove it yourself, or give consent with rollout_unmanaged_ok"
    folders = [volume["name"] for volume in (pod.get("spec") or {}).get("volumes") or () if _is_local_data(volume)]
    if folders and owner != "DaemonSet" and not options.local_data_ok:
        return (
            f"has files in its own folder ({', '.join(folders)}), which would be lost: give consent with "
            "rollout_local_data_ok"
        )
    return ""


def _is_local_data(volume: Mapping[str, Any]) -> bool:
    folder = volume.get("emptyDir")
    return folder is not None and not str(folder.get("medium") or "").startswith(IN_MEMORY)


def _ended(pod: Item) -> bool:
    return (pod.get("status") or {}).get("phase") in ENDED


def _owner(pod: Item) -> str:
    """Kind of what would make the pod anew; empty where nothing would."""
    for reference in pod["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return str(reference.get("kind"))
    return ""


def _tolerates_taint(pod: Item) -> bool:
    return any(_tolerates(toleration) for toleration in (pod.get("spec") or {}).get("tolerations") or ())


def _tolerates(toleration: Mapping[str, Any]) -> bool:
    if toleration.get("effect") not in (None, "", EFFECT):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", TAINT)
    return toleration.get("key") == TAINT and not toleration.get("value")


def holder_of(pod: Item, resources: frozenset[str]) -> Holder | None:
    """The pod as a holder of devices; None where it has none, or has given them back."""
    if _ended(pod):
        return None
    spec = pod.get("spec") or {}
    at_once = _asked(spec.get("containers"), resources)
    before = [_asked([container], resources) for container in spec.get("initContainers") or ()]
    # What runs first gives its devices on to what runs after it.
    every = {name for one in [at_once, *before] for name in one}
    counts = {name: max(one.get(name, 0) for one in [at_once, *before]) for name in every}
    if not counts:
        return None
    metadata = pod["metadata"]
    return Holder(metadata["namespace"], metadata["name"], tuple(sorted(counts.items())), device_addresses(pod))


def _asked(containers: Iterable[Mapping[str, Any]] | None, resources: frozenset[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for container in containers or ():
        asked = container.get("resources") or {}
        for name, amount in {**(asked.get("requests") or {}), **(asked.get("limits") or {})}.items():
            if name in resources and str(amount).isdigit() and int(amount):
                counts[name] = counts.get(name, 0) + int(amount)
    return counts


def device_addresses(pod: Item) -> tuple[str, ...]:
    """PCI addresses that Multus wrote down for the pod's networks."""
    found = set()
    for status in network_status(pod):
        info = status.get("device-info")
        for part in (info or {}).values() if isinstance(info, Mapping) else ():
            address = part.get("pci-address") if isinstance(part, Mapping) else None
            found |= {str(address)} if address else set()
    return tuple(sorted(found))


def network_status(pod: Item) -> list[Mapping[str, Any]]:
    """What Multus says that the pod got; empty where it says nothing that can be read."""
    text = (pod["metadata"].get("annotations") or {}).get(STATUS)
    try:
        value = json.loads(text) if text else []
    except ValueError:
        return []
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _allows(budget: Item) -> bool:
    return ((budget.get("status") or {}).get("disruptionsAllowed") or 0) > 0


def covers_pod(budget: Item, pod: Item) -> bool:
    """Whether a disruption budget is about a pod. An empty selector means every pod of the namespace."""
    if budget["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    selector = (budget.get("spec") or {}).get("selector")
    if selector is None:
        return False
    labels = pod["metadata"].get("labels") or {}
    wanted = selector.get("matchLabels") or {}
    rules = selector.get("matchExpressions") or ()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _matches(rule, labels) for rule in rules
    )


def _matches(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = rule.get("key"), rule.get("operator"), rule.get("values") or ()
    if operator == "In":
        return labels.get(str(key)) in values
    if operator == "NotIn":
        return labels.get(str(key)) not in values
    return (key in labels) == (operator == "Exists")
