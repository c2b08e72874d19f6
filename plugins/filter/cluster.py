# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a cluster is given, computed from the nodes' variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import VARIABLE as NODE_AGENT
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import (
    BESIDE_AGENT,
    MEMBERSHIP,
    SHARED,
    ClusterSpec,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    DEFAULT_PREFIX,
    node_config,
    parse_pools,
    parse_prefix,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._images import image
from ansible_collections.nfv.fastpath.plugins.module_utils._network_definitions import cni_plugins
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import VARIABLE as NETWORKS
from ansible_collections.nfv.fastpath.plugins.plugin_utils._plain import plain

JOIN_NAME = "node_name"


def _guarded(work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose refusal is one message with all problems."""

    def run(*values: Any, **options: Any) -> Any:
        try:
            return work(*values, **options)
        except FastpathError as error:
            raise AnsibleFilterError(error.message) from error

    return run


def _spec(hosts: Any) -> ClusterSpec:
    if not isinstance(hosts, Mapping):
        raise FastpathError(f"The variables of nodes by name are needed, not {type(hosts).__name__}.")
    spec = ClusterSpec(hosts)
    spec.must_be_right()
    return spec


def network_definitions(hosts: Any) -> list[dict[str, Any]]:
    return _spec(hosts).definitions()


def network_plugins(hosts: Any) -> list[str]:
    return list(cni_plugins(_spec(hosts).networks))


def node_allocatable(hosts: Any) -> dict[str, dict[str, int]]:
    """Networks do not matter for it: they may name pools of nodes that are not among these."""
    spec = _spec(cluster_variables(hosts, networks=False))
    return {node: spec.allocatable(node) for node in spec.pools}


def device_plugin_config(devices: Any, pools: Any = None, prefix: Any = DEFAULT_PREFIX) -> dict[str, Any]:
    options, problems = parse_pools(pools)
    right, wrong = parse_prefix(prefix)
    if problems or wrong:
        raise Refused([*problems, *wrong])
    return node_config(parse_devices(devices), options, right)


def cluster_variables(hosts: Any, networks: bool = True) -> dict[str, dict[str, Any]]:
    """Of the nodes' variables what a cluster is computed from; as a copy, which can be handed to a module."""
    if not isinstance(hosts, Mapping):
        raise FastpathError(f"The variables of nodes by name are needed, not {type(hosts).__name__}.")
    names = [name for name in SHARED if networks or name != NETWORKS]
    return {
        str(host): {
            **{name: plain(variables.get(name)) for name in names if variables.get(name) is not None},
            **_beside_agent(variables),
            **_join_name(variables.get(MEMBERSHIP)),
        }
        for host, variables in hosts.items()
    }


def _beside_agent(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of what a node agent is met with; on other nodes it may be known later."""
    agent = plain(variables.get(NODE_AGENT))
    if not isinstance(agent, Mapping) or not agent.get("pools"):
        return {}
    return {name: plain(variables.get(name)) for name in BESIDE_AGENT if variables.get(name) is not None}


def _join_name(join: Any) -> dict[str, Any]:
    """The rest of it is the node's own, and may be known only when the node joins."""
    name = join.get(JOIN_NAME) if isinstance(join, Mapping) else None
    return {MEMBERSHIP: {JOIN_NAME: plain(name)}} if name else {}


def cluster_members(hosts: Any, result: str, join_result: str = "") -> dict[str, dict[str, Any]]:
    """Nodes that gave a result, by their name in the cluster, with what their variables say of pools."""
    if not isinstance(hosts, Mapping):
        raise FastpathError(f"The variables of nodes by name are needed, not {type(hosts).__name__}.")
    found = {}
    for name, variables in hosts.items():
        seen = variables.get(result) or {}
        if "devices" in seen:
            found[str(variables.get("fastpath_node_name") or name)] = {
                "devices": seen["devices"],
                "fingerprint": seen["fingerprint"],
                "boot_id": seen.get("boot_id", ""),
                "joins": bool((variables.get(join_result) or {}).get("joins")),
                "pools": variables.get("fastpath_pools"),
                "prefix": variables.get("fastpath_resource_prefix"),
                "agent": variables.get(NODE_AGENT),
                "hugepages": variables.get("fastpath_hugepages"),
            }
    return found


class FilterModule:
    """The filters, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        work = (
            cluster_members,
            cluster_variables,
            device_plugin_config,
            image,
            network_definitions,
            network_plugins,
            node_allocatable,
        )
        return {function.__name__: _guarded(function) for function in work}
