# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What all nodes of a cluster say together about pools and networks. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_checks import Around, check_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import OVS, AgentPool, AgentSpec, parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import VARIABLE as NODE_AGENT
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    DEFAULT_PREFIX,
    PoolOptions,
    parse_pools,
    parse_prefix,
    resource_names,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import NodePools, parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import parse_hugepages
from ansible_collections.nfv.fastpath.plugins.module_utils._network_definitions import (
    check_networks,
    cni_plugins,
    definitions,
    for_pool,
    network_warnings,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import VARIABLE, merge_specs, parse_networks
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import parse_ovs

NODE_NAME = "fastpath_node_name"
MEMBERSHIP = "fastpath_kubernetes"
# Read of all nodes together, so that each must see of the others what these see themselves.
SHARED = (
    "fastpath_sriov",
    "fastpath_vdpa",
    "fastpath_pools",
    "fastpath_resource_prefix",
    NODE_AGENT,
    VARIABLE,
    NODE_NAME,
)
# What the node agent is met with; of no interest on nodes without one.
BESIDE_AGENT = ("fastpath_hugepages", "fastpath_kubelet", "fastpath_ovs")
Variables = Mapping[str, Any]


class ClusterSpec:
    """What the nodes of one cluster say together: pools, their resources, and networks. Refused where they disagree."""

    def __init__(self, hosts: Mapping[str, Variables], seen: Mapping[str, Variables] | None = None) -> None:
        """``hosts``: variables by inventory name, as other nodes see them. ``seen``: the same as a task sees them."""
        self.problems: list[Problem] = node_name_problems(hosts)
        self.pools: dict[str, NodePools] = {}
        self.agents: dict[str, AgentSpec] = {}
        self.options: dict[str, dict[str, PoolOptions]] = {}
        self.prefixes: dict[str, str] = {}
        for node, variables in hosts.items():
            self._add(node, variables)
        given = merge_specs(variables.get(VARIABLE) for variables in hosts.values())
        networks, problems = parse_networks(given)
        self.resources = self._resources()
        slices = [part for pools in self.pools.values() for part in pools.slices]
        agent_pools = self._agent_pools()
        problems = [*problems, *check_networks(networks, slices, self.resources, given, list(agent_pools.values()))]
        self.networks = tuple(for_pool(network, agent_pools.get(network.pool or "")) for network in networks)
        # What others do not see makes all else look wrong.
        self.problems = unseen_problems(hosts, seen or {}) or each_once([*self.problems, *problems])
        self.warnings = network_warnings(self.networks, len(hosts))

    def _add(self, node: str, variables: Mapping[str, Any]) -> None:
        options, problems = parse_pools(variables.get("fastpath_pools"))
        by_hand = [name for name, option in options.items() if option.by_hand]
        pools, more = parse_node_pools(variables.get("fastpath_sriov"), variables.get("fastpath_vdpa"), by_hand)
        prefix, wrong = parse_prefix(variables.get("fastpath_resource_prefix") or DEFAULT_PREFIX)
        self.problems += [*problems, *more, *wrong]
        self.pools[node], self.options[node], self.prefixes[node] = pools, options, prefix
        self.agents[node] = self._agent(pools, variables)

    def _agent(self, pools: NodePools, variables: Variables) -> AgentSpec:
        """Other layers are judged by their own roles; where they are wrong, the agent is not met with them."""
        agent, problems = parse_agent(variables.get(NODE_AGENT))
        self.problems += problems
        if problems or not agent.pools:
            return agent
        ovs, of_ovs = parse_ovs(variables.get("fastpath_ovs"))
        pages, of_pages = parse_hugepages(variables.get("fastpath_hugepages"))
        kubelet = variables.get("fastpath_kubelet")
        if not (of_ovs or of_pages):
            around = Around(pools, ovs, pages, kubelet if isinstance(kubelet, Mapping) else {})
            self.problems += check_agent(agent, around)
        return agent

    def _agent_pools(self) -> dict[str, AgentPool]:
        """Pools of all agents by name: a network means the same on every node."""
        found: dict[str, AgentPool] = {}
        for node, agent in self.agents.items():
            for pool in agent.pools:
                former = found.setdefault(pool.name, pool)
                if (former.mode, former.has_devices) != (pool.mode, pool.has_devices):
                    shape = (
                        f"is {pool.backend} with mode {pool.mode} on {node}, and {former.backend} with mode "
                        f"{former.mode} on others: pods cannot know where they run. Take another name or mode"
                    )
                    self.problems.append(Problem(f"{pool.variable}.name", pool.name, shape))
        return found

    def _resources(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for node in self.pools:
            for pool, name in self.node_resources(node).items():
                former = found.setdefault(pool, name)
                if former != name:
                    shape = f"is {name} on {node} and {former} on others: one pool has one name in the whole cluster"
                    self.problems.append(Problem("fastpath_resource_prefix", self.prefixes[node], shape))
        return dict(sorted(found.items()))

    def node_resources(self, node: str) -> dict[str, str]:
        names = {*self.pools[node].names, *(pool.name for pool in self.agents[node].pools)}
        return resource_names(names, self.options[node], self.prefixes[node])

    def allocatable(self, node: str) -> dict[str, int]:
        """How many devices of each resource a node shall have, where the number is known."""
        names = self.node_resources(node)
        counts = {**self.pools[node].counts(), **{pool.name: pool.ports for pool in self.ovs_pools(node)}}
        return {names[pool]: count for pool, count in sorted(counts.items())}

    def ovs_pools(self, node: str) -> tuple[AgentPool, ...]:
        """Pools of ports, which no device plugin offers."""
        return self.agents[node].of_backend(OVS)

    def agent_nodes(self) -> list[str]:
        return [node for node, agent in self.agents.items() if agent.pools]

    def definitions(self) -> list[dict[str, Any]]:
        return definitions(self.networks, self.resources)

    def result(self) -> dict[str, Any]:
        """All that is computed from it, for the module cluster_spec_info."""
        self.must_be_right()
        return {
            "changed": False,
            "resources": dict(self.resources),
            "allocatable": {node: self.allocatable(node) for node in self.pools},
            "definitions": self.definitions(),
            "plugins": list(cni_plugins(self.networks)),
        }

    def must_be_right(self) -> None:
        if self.problems:
            raise Refused(self.problems)


def unseen_problems(hosts: Mapping[str, Variables], seen: Mapping[str, Variables]) -> list[Problem]:
    """Variables that a task sees and other nodes do not, or see with another value."""
    problems = []
    for host, own in seen.items():
        if host in hosts:
            shape = (
                "is set in a play, block or role, where other nodes do not see it: "
                "put it into group_vars, host_vars or --extra-vars"
            )
            wrong = [name for name in SHARED if own.get(name) != hosts[host].get(name)]
        else:
            counted = ", ".join(hosts) or "none"
            shape = (
                f"is set for {host}, and the nodes that count ({counted}) do not have it: "
                "set it for them, or name the nodes in fastpath_hosts"
            )
            values = list(hosts.values())
            wrong = [name for name in SHARED if name in own and all(one.get(name) != own[name] for one in values)]
        problems += [Problem(name, "set", shape) for name in wrong]
    return problems


def node_name_problems(hosts: Mapping[str, Variables]) -> list[Problem]:
    """One name in the cluster for two hosts, or two names for one."""
    problems = []
    named: dict[str, list[str]] = {}
    for host, variables in hosts.items():
        given = variables.get(NODE_NAME)
        name = str(given or host)
        named.setdefault(name, []).append(host)
        join = variables.get(MEMBERSHIP)
        joins_as = join.get("node_name") if isinstance(join, Mapping) else None
        if joins_as and joins_as != name:
            known = f"{NODE_NAME} says {name}" if given else f"{NODE_NAME} is not set"
            shape = f"is what {host} joins as, and {known}: say the same name in both"
            problems.append(Problem(f"{MEMBERSHIP}.node_name", joins_as, shape))
    return problems + [
        Problem(NODE_NAME, name, f"is the name of {' and '.join(several)}: each node has a name of its own")
        for name, several in named.items()
        if len(several) > 1
    ]


def each_once(problems: Iterable[Problem]) -> list[Problem]:
    """Nodes of one group say the same wrong thing. Values need not be hashable."""
    found: list[Problem] = []
    for problem in problems:
        if problem not in found:
            found.append(problem)
    return found
