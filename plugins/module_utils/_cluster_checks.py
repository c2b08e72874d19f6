# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is looked at in a cluster: nodes, their devices, daemons, networks, what pods really got. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import COMPONENT, covers, is_ours
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_wait import (
    condition,
    is_owned_by,
    pod_node,
    pod_unmet,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import COMPONENT as DEVICE_PLUGIN
from ansible_collections.nfv.fastpath.plugins.module_utils._drain import network_status
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import Key, key_of
from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import PHASE, REASON, SINCE, is_out, is_tainted
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check

Item = Mapping[str, Any]
LAYER = "cluster"
NETWORKS = "k8s.v1.cni.cncf.io/networks"
READY, IN_SERVICE, AS_WANTED = "ready", "in service", "as wanted"


@dataclass(frozen=True)
class Seen:
    """The cluster as it is. ``networks`` None: it does not know the kind."""

    nodes: Sequence[Item] = ()
    pods: Sequence[Item] = ()
    daemons: Sequence[Item] = ()
    networks: Sequence[Item] | None = None


def check_cluster(
    seen: Seen,
    expected: Mapping[str, Mapping[str, int]],
    networks: Sequence[Item],
    components: Iterable[str] = (),
    own: Mapping[str, Iterable[str]] | None = None,
) -> list[Check]:
    """``expected``: devices by resource, by node. ``components``: whose daemons must be ready on all of these nodes.

    ``own``: those that only some nodes have; by default the device plugin where there are devices.
    """
    of_nodes = {name: [DEVICE_PLUGIN] for name in expected if expected[name]} if own is None else own
    by_name = {node["metadata"]["name"]: node for node in seen.nodes}
    everywhere = set(components)
    checks = []
    for name in sorted(expected):
        node = by_name.get(name)
        if node is None:
            remedy = "Let it join, or say what it is called there in fastpath_node_name"
            checks.append(Check("cluster.node", LAYER, name, READY, "not in the cluster", remedy))
            continue
        checks += _node_checks(node)
        checks += _allocatable_checks(node, expected[name])
        checks += _daemon_checks(node, seen, everywhere | set(of_nodes.get(name, ())))
    checks += _network_checks(networks, seen.networks)
    pods = [pod for pod in seen.pods if pod_node(pod) in expected]
    return checks + [check for pod in pods for check in _pod_checks(pod)]


def _node_checks(node: Item) -> list[Check]:
    name = node["metadata"]["name"]
    ready = condition(node, "Ready")
    seen = READY if ready == "True" else f"its condition Ready is {ready or 'not there'}"
    remedy = "Look at the kubelet's log on the node"
    return [
        Check("cluster.node", LAYER, name, READY, seen, remedy),
        Check(
            "cluster.in_service", LAYER, name, IN_SERVICE, _service(node), "Run site.yml again: it goes on from there"
        ),
    ]


def _service(node: Item) -> str:
    annotations = node["metadata"].get("annotations") or {}
    if is_out(node):
        phase, since = annotations.get(PHASE), annotations.get(SINCE, "?")
        return f"{phase} since {since}: {annotations.get(REASON) or 'no reason is given'}"
    return "it never came into service, it has the taint still" if is_tainted(node) else IN_SERVICE


def _allocatable_checks(node: Item, expected: Mapping[str, int]) -> list[Check]:
    have = (node.get("status") or {}).get("allocatable") or {}
    remedy = (
        "Compare the VFs' drivers (layer sriov) with their pool, then run site.yml again: the plugin looks only once"
    )
    name = node["metadata"]["name"]
    return [
        Check("cluster.allocatable", LAYER, f"{name} {resource}", count, _number(have.get(resource, 0)), remedy)
        for resource, count in sorted(expected.items())
    ]


def _number(value: Any) -> Any:
    return int(value) if str(value).isdigit() else value


def _daemon_checks(node: Item, seen: Seen, components: set[str]) -> list[Check]:
    """One pod of each daemon that is to run on the node."""
    name = node["metadata"]["name"]
    labels = node["metadata"].get("labels") or {}
    checks = []
    for daemon in seen.daemons:
        component = (daemon["metadata"].get("labels") or {}).get(COMPONENT)
        chosen = daemon["spec"]["template"]["spec"].get("nodeSelector") or {}
        if component not in components or any(labels.get(key) != value for key, value in chosen.items()):
            continue
        own = [pod for pod in seen.pods if pod_node(pod) == name and is_owned_by(pod, daemon)]
        state = "; ".join(filter(None, map(pod_unmet, own))) or READY if own else "it has no pod there"
        remedy = "Look at the pod: kubectl describe pod in the namespace of the daemon"
        checks.append(
            Check(f"cluster.{component}", LAYER, f"{name} {daemon['metadata']['name']}", READY, state, remedy)
        )
    missing = components - {(item["metadata"].get("labels") or {}).get(COMPONENT) for item in seen.daemons}
    return checks + [
        Check(f"cluster.{component}", LAYER, name, READY, "it is not in the cluster", f"Run the role {component}")
        for component in sorted(missing)
    ]


def _network_checks(wanted: Sequence[Item], live: Sequence[Item] | None) -> list[Check]:
    there: dict[Key, Item] = {key_of(item): item for item in live or ()}
    checks = []
    for item in wanted:
        key = key_of(item)
        found = there.get(key)
        if found is None:
            state = "missing" if live is not None else "the cluster does not know the kind: Multus is missing"
        elif not is_ours(found):
            state = "made by others"
        else:
            state = AS_WANTED if covers(found, item) else "different"
        checks.append(Check("cluster.network", LAYER, f"{key[1]}/{key[2]}", AS_WANTED, state, "Run the role networks"))
    return checks


def _pod_checks(pod: Item) -> list[Check]:
    """A pod that started while Multus did not answer runs without its networks, and nobody says so."""
    metadata = pod["metadata"]
    if (pod.get("status") or {}).get("phase") != "Running" or metadata.get("deletionTimestamp"):
        return []
    text = (metadata.get("annotations") or {}).get(NETWORKS)
    if not text:
        return []
    target = f"{metadata['namespace']}/{metadata['name']}"
    remedy = "Delete the pod so that it starts anew: it may have started while Multus did not answer"
    try:
        asked = asked_networks(text, metadata["namespace"])
    except ValueError as wrong:
        return [
            Check("cluster.pod_networks", LAYER, target, "networks that can be read", str(wrong), "Correct the pod")
        ]
    got = Counter(str(item.get("name")) for item in network_status(pod) if not item.get("default"))
    return [Check("cluster.pod_networks", LAYER, target, sorted(asked), sorted(got.elements()), remedy)]


def asked_networks(text: str, namespace: str) -> list[str]:
    """Networks that an annotation asks for, as ``namespace/name``, each as often as it stands there."""
    if text.lstrip().startswith("["):
        try:
            items = json.loads(text)
            return [f"{item.get('namespace') or namespace}/{item['name']}" for item in items]
        except (ValueError, KeyError, AttributeError) as wrong:
            raise ValueError(f"the annotation {NETWORKS} is not JSON that says networks: {text[:80]}") from wrong
    words = [word.strip().partition("@")[0] for word in text.split(",") if word.strip()]
    return [word if "/" in word else f"{namespace}/{word}" for word in words]
