# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Kinds of objects that the collection makes, and where they are in the API. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError

# What tells one object from another of its cluster: kind, namespace (empty where there is none), name.
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Kind:
    kind: str
    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """One object, or all of a namespace, or all."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{place}/{self.plural}{'/' if name else ''}{name}"


RBAC = "rbac.authorization.k8s.io/v1"
CRD = "CustomResourceDefinition"
NAD = "NetworkAttachmentDefinition"
# In the order in which they are made; they are removed in the reverse one.
_ALL = (
    Kind(CRD, "apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    Kind("ServiceAccount", "v1", "serviceaccounts"),
    Kind("ClusterRole", RBAC, "clusterroles", False),
    Kind("ClusterRoleBinding", RBAC, "clusterrolebindings", False),
    Kind("Role", RBAC, "roles"),
    Kind("RoleBinding", RBAC, "rolebindings"),
    Kind("ConfigMap", "v1", "configmaps"),
    Kind("DaemonSet", "apps/v1", "daemonsets"),
    Kind("Deployment", "apps/v1", "deployments"),
    Kind(NAD, "k8s.cni.cncf.io/v1", "network-attachment-definitions"),
)
KINDS: dict[str, Kind] = {kind.kind: kind for kind in _ALL}
ORDER = tuple(KINDS)
NODES = Kind("Node", "v1", "nodes", False)
PODS = Kind("Pod", "v1", "pods")
NAMESPACES = Kind("Namespace", "v1", "namespaces", False)
BUDGETS = Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")


def kind_of(item: Mapping[str, Any]) -> Kind:
    """The kind of an object that is to be made; FastpathError where it is none of ours."""
    found = KINDS.get(str(item.get("kind")))
    if found is None or found.api_version != item.get("apiVersion"):
        raise FastpathError(f"{item.get('apiVersion')} {item.get('kind')} is no kind of object that is managed here.")
    return found


def key_of(item: Mapping[str, Any]) -> Key:
    metadata = item["metadata"]
    return (str(item["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"]))


def named(key: Key) -> str:
    """An object in one readable word."""
    kind, namespace, name = key
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
