# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. NetworkAttachmentDefinitions out of networks and pools, and what no single layer can see. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import CLIENT, AgentPool
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import Slice
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest
from ansible_collections.nfv.fastpath.plugins.module_utils._network_ipam import HOST_LOCAL, WHEREABOUTS
from ansible_collections.nfv.fastpath.plugins.module_utils._network_spec import (
    OF_AGENT,
    OF_POOLS,
    SRIOV,
    VARIABLE,
    VDPA,
    Network,
)

API_VERSION = "k8s.cni.cncf.io/v1"
KIND = "NetworkAttachmentDefinition"
RESOURCE_ANNOTATION = "k8s.v1.cni.cncf.io/resourceName"
# All plugins that are shipped take it, and it hands the former result to a deletion.
CNI_VERSION = "1.0.0"
TUNING = "tuning"


def definition(network: Network, namespace: str, resource: str | None) -> dict[str, Any]:
    """One object, without the labels that say whose it is."""
    metadata: dict[str, Any] = {"name": network.name, "namespace": namespace}
    if resource:
        metadata["annotations"] = {RESOURCE_ANNOTATION: resource}
    text = json.dumps(cni_config(network), sort_keys=True)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {"config": text}}


def cni_config(network: Network) -> dict[str, Any]:
    """What the CNI plugins read: one of them, or a chain."""
    main: dict[str, Any] = {"type": network.type, **_nested(network.options)}
    if network.capabilities:
        main["capabilities"] = dict.fromkeys(network.capabilities, True)
    if network.ipam:
        main["ipam"] = dict(network.ipam)
    chain = [dict(plugin) for plugin in network.plugins]
    if network.mtu is not None and network.type in OF_POOLS:
        # These plugins move an interface as it is; another one sets its MTU.
        chain.insert(0, {"type": TUNING, "mtu": network.mtu})
    elif network.mtu is not None:
        main["mtu"] = network.mtu
    head = {"cniVersion": CNI_VERSION, "name": network.name}
    return {**head, "plugins": [main, *chain]} if chain else {**head, **main}


def _nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Objects out of keys with dots."""
    made: dict[str, Any] = {}
    for name, value in options.items():
        place = made
        *folders, last = name.split(".")
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return made


def for_pool(network: Network, pool: AgentPool | None) -> Network:
    """A network with what its pool of the node agent decides. ``ovs`` has no device that Multus could name."""
    if network.type != VDPA or pool is None:
        return network
    named = {} if pool.has_devices else {"pool": pool.name}
    return replace(network, options={"mode": pool.mode, **network.options, **named})


def definitions(networks: Iterable[Network], resources: Mapping[str, str]) -> list[dict[str, Any]]:
    """All objects, ordered by namespace and name. ``resources``: the Kubernetes resource by pool."""
    made = [
        definition(network, namespace, resources[network.pool] if network.pool else None)
        for network in networks
        for namespace in network.namespaces
    ]
    return sorted(made, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]))


def cni_plugins(networks: Iterable[Network]) -> tuple[str, ...]:
    """Names of the binaries that these networks need on every node. The node agent brings its own."""
    names: set[str] = set()
    for network in networks:
        config = cni_config(network)
        names |= {plugin["type"] for plugin in config.get("plugins", [config])} - set(OF_AGENT)
        names |= {str(network.ipam["type"])} if network.ipam else set()
    return tuple(sorted(names))


def needs_whereabouts(networks: Iterable[Network]) -> bool:
    return any(network.ipam.get("type") == WHEREABOUTS for network in networks)


def check_networks(
    networks: Sequence[Network],
    slices: Sequence[Slice],
    resources: Mapping[str, str],
    given: Sequence[Any] = (),
    agent_pools: Sequence[AgentPool] = (),
) -> list[Problem]:
    """Networks against the pools of all nodes. ``given``: the networks as the user wrote them."""
    problems = []
    for network in networks:
        problems += _of_agent(network, agent_pools)
        if network.pool is not None and network.pool not in resources:
            problems.append(_no_pool(network, resources))
        elif network.pool is not None:
            problems += _of_pool(network, [part for part in slices if part.pool == network.pool])
    return problems + _wrong_prefixes(given, resources)


def _no_pool(network: Network, resources: Mapping[str, str]) -> Problem:
    known = ", ".join(resources) or "none"
    hint = nearest(str(network.pool), resources)
    shape = f"is a pool that no node has.{hint} There are (from fastpath_sriov, fastpath_vdpa, fastpath_pools): {known}"
    return Problem(f"{network.variable}.pool", network.pool, shape)


def _of_agent(network: Network, agent_pools: Sequence[AgentPool]) -> list[Problem]:
    """Sockets come from the node agent; and what it has as a pool is served by its plugin alone."""
    own = [pool for pool in agent_pools if pool.name == network.pool]
    if network.type in OF_AGENT and not agent_pools:
        shape = "needs the node agent, and no node has pools in fastpath_node_agent"
        return [Problem(f"{network.variable}.type", network.type, shape)]
    if network.type == VDPA and not own:
        known = sorted({pool.name for pool in agent_pools})
        shape = f"is no pool of fastpath_node_agent.{nearest(str(network.pool), known)} There are {', '.join(known)}"
        return [Problem(f"{network.variable}.pool", network.pool, shape)]
    if network.type != VDPA and own:
        shape = f"is a pool of the node agent ({own[0].variable}), whose devices pods have through a socket: write vdpa"
        return [Problem(f"{network.variable}.type", network.type, shape)]
    if any(not pool.has_devices and network.options.get("mode") == CLIENT for pool in own):
        shape = "cannot be had of Open vSwitch (fastpath_node_agent): leave it out"
        return [Problem(f"{network.variable}.mode", CLIENT, shape)]
    return []


def _of_pool(network: Network, slices: Sequence[Slice]) -> list[Problem]:
    problems = []
    vdpa = next((part for part in slices if part.vdpa), None)
    if vdpa and network.type == SRIOV:
        shape = (
            f"has vDPA devices ({vdpa.variable}), of which the sriov plugin knows nothing. Let pods ask for the pool "
            "alone, or take host-device where the devices have network interfaces"
        )
        problems.append(Problem(f"{network.variable}.pool", network.pool, shape))
    program = next((part for part in slices if part.user_space), None)
    if program and network.mtu is not None:
        shape = (
            f"cannot be set: VFs of {network.pool} have driver {program.driver} ({program.variable}) and so no network "
            "interface. The program sets it, up to the mtu of the PF in fastpath_sriov"
        )
        problems.append(Problem(f"{network.variable}.mtu", network.mtu, shape))
    return problems


def _wrong_prefixes(given: Sequence[Any], resources: Mapping[str, str]) -> list[Problem]:
    problems = []
    for number, entry in enumerate(given):
        pool = entry.get("pool") if isinstance(entry, Mapping) else None
        name = pool.rsplit("/", 1)[-1] if isinstance(pool, str) and pool.count("/") == 1 else None
        if name is not None and name in resources and pool != resources[name]:
            shape = f"has another prefix than the pool: write {name}, or {resources[name]}"
            problems.append(Problem(f"{VARIABLE}[{number}].pool", pool, shape))
    return problems


def network_warnings(networks: Iterable[Network], nodes: int) -> list[str]:
    """What is allowed and mostly not meant."""
    return [
        f"{network.variable}: host-local hands out addresses on each of the {nodes} nodes by itself, so pods on two of "
        f"them get the same address in {network.name}. Use whereabouts where pods of several nodes talk to each other."
        for network in networks
        if network.ipam.get("type") == HOST_LOCAL and network.type in (*OF_POOLS, "macvlan", "ipvlan") and nodes > 1
    ]
