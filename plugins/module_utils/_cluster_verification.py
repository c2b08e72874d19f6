# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the module cluster_verify does, apart from Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_groups import COMPONENT as NODE_AGENT
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_checks import LAYER, Seen, check_cluster
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import MANAGED_BY
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import listed
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import ClusterSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import COMPONENT as DEVICE_PLUGIN
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import FIELD_MANAGER, Kube
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import KINDS, NAD, NODES, PODS
from ansible_collections.nfv.fastpath.plugins.module_utils._network_definitions import needs_whereabouts
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check

REPORT_AS = "cluster"


def cluster_verification(make: Callable[[], Kube], params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result. What cannot be looked at is a failed check, as on nodes."""
    spec = ClusterSpec(params["hosts"])
    checks = [
        Check("cluster.spec", LAYER, problem.variable, "a valid value", str(problem.value), problem.message)
        for problem in spec.problems
    ]
    facts: dict[str, Any] = {}
    if not checks:
        try:
            checks, facts = _looked_at(make(), spec, params)
        except FastpathError as error:
            remedy = "Make the API server answer, then verify again"
            checks = [Check("cluster.readable", LAYER, "cluster", "readable", error.message, remedy)]
    failed = [check for check in checks if not check.ok]
    return {
        "changed": False,
        "checks": [check.result() for check in checks],
        "failed_checks": len(failed),
        "node_facts": facts,
        "report_as": REPORT_AS,
        "scope": "cluster",
    }


def _looked_at(kube: Kube, spec: ClusterSpec, params: Mapping[str, Any]) -> tuple[list[Check], dict[str, Any]]:
    """Five requests, whatever the number of nodes."""
    nodes = listed(kube, NODES) or []
    seen = Seen(
        nodes=nodes,
        pods=listed(kube, PODS) or [],
        daemons=listed(kube, KINDS["DaemonSet"], f"{MANAGED_BY}={FIELD_MANAGER}") or [],
        networks=listed(kube, KINDS[NAD]),
    )
    names = params["names"]
    expected = {names.get(host, host): spec.allocatable(host) for host in spec.pools if host in params["nodes"]}
    components = [
        *(["multus"] if params["multus"] else []),
        *(["networks"] if needs_whereabouts(spec.networks) else []),
    ]
    own = {names.get(host, host): _daemons(spec, host) for host in spec.pools}
    checks = check_cluster(seen, expected, spec.definitions(), components, own)
    kubelets = {((node.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion") for node in nodes}
    return checks, {"nodes": len(nodes), "kubelets": sorted(filter(None, kubelets))}


def _daemons(spec: ClusterSpec, host: str) -> list[str]:
    """Those that are only where a node's own spec asks for them."""
    return [*([DEVICE_PLUGIN] if spec.pools[host].counts() else []), *([NODE_AGENT] if spec.agents[host].pools else [])]
