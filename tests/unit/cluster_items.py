# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of a cluster, as its API server would show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import BUDGETS

Item = dict[str, Any]


def node(name: str, ready: bool = True, **more: Any) -> Item:
    """``labels``, ``annotations``, ``taints``, ``allocatable``, ``unschedulable``, ``boot_id``."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **more.get("labels", {})},
            "annotations": dict(more.get("annotations", {})),
        },
        "spec": {
            **({"taints": list(more["taints"])} if "taints" in more else {}),
            **({"unschedulable": True} if more.get("unschedulable") else {}),
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
            "allocatable": {"cpu": "4", **more.get("allocatable", {})},
            "nodeInfo": {"bootID": more.get("boot_id", "boot-1")},
        },
    }


def pod(name: str, on: str = "node1", namespace: str = "apps", ready: bool = True, **more: Any) -> Item:
    """More: labels, annotations, resources (limits), owner (its kind), volumes, phase, tolerations, finalizers."""
    owner = more.get("owner", "ReplicaSet")
    references = (
        [{"kind": owner, "name": f"{name}-owner", "uid": f"{owner}-{name}", "controller": True}] if owner else []
    )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict(more.get("labels", {})),
            "annotations": dict(more.get("annotations", {})),
            "ownerReferences": references,
            **({"finalizers": list(more["finalizers"])} if "finalizers" in more else {}),
        },
        "spec": {
            "nodeName": on,
            "containers": [{"name": "main", "image": "x", "resources": {"limits": dict(more.get("resources", {}))}}],
            "volumes": list(more.get("volumes", ())),
            "tolerations": list(more.get("tolerations", ())),
        },
        "status": {
            "phase": more.get("phase", "Running"),
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def daemon_pod(item: Item, on: str, ready: bool = True) -> Item:
    """The pod of a DaemonSet on a node."""
    made = pod(f"{item['metadata']['name']}-{on}", on, item["metadata"].get("namespace", ""), ready)
    made["metadata"]["labels"] = dict(item["spec"]["template"]["metadata"]["labels"])
    owner = {"kind": "DaemonSet", "name": item["metadata"]["name"], "uid": item["metadata"]["uid"], "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    if not ready:
        waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
        made["status"] = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": waiting}}]}
    return made


def budget(name: str, allowed: int, labels: Mapping[str, str], namespace: str = "apps") -> Item:
    return {
        "apiVersion": "policy/v1",
        "kind": BUDGETS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": dict(labels)}},
        "status": {"disruptionsAllowed": allowed},
    }


def daemonset(name: str, namespace: str = "kube-system", image: str = "example.com/x:1", **more: Any) -> Item:
    labels = {"app.kubernetes.io/name": more.get("app", name)}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(more.get("labels", {}))},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}},
        },
    }


def namespace(name: str) -> Item:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
