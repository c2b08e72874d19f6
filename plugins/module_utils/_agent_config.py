# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What the node agent of one node is given: its configuration, and what its pod needs. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_checks import memory_need, page_size_kb
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import (
    OVS,
    TRANSLATE,
    VDPA,
    AgentPool,
    AgentSpec,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_config import (
    DEFAULT_PREFIX,
    PoolOptions,
    as_text,
    checksum,
    group_name,
    resource_names,
    selectors_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool as Pages

CONFIG_KEY, POD_KEY = "config.json", "pod.json"
KUBELET, BIN_DIR = "/var/lib/kubelet", "/opt/cni/bin"
# Who listens everywhere is asked at home.
_LOCAL = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_UNITS = ((1024 * 1024, "Gi"), (1024, "Mi"), (1, "Ki"))


@dataclass(frozen=True)
class Folders:
    """Where the kubelet and CNI have theirs on all nodes."""

    kubelet: str = KUBELET
    bin_dir: str = BIN_DIR


@dataclass(frozen=True)
class AgentPod:
    """One group of nodes: the agent's configuration, and what its pod is given.

    ``devices``: whether it drives devices, for which it has to be privileged. ``hugepages``: by Kubernetes resource.
    ``ports``: how many each resource of ports has on a node. ``resources``: all that pods ask this agent's pools for.
    """

    config: str
    devices: bool = False
    ovs: bool = False
    hugepages: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    resources: tuple[str, ...] = ()

    @property
    def needs(self) -> str:
        """All but the configuration, as text."""
        return as_text(
            {
                "devices": self.devices,
                "ovs": self.ovs,
                "hugepages": dict(self.hugepages),
                "ports": dict(self.ports),
                "resources": list(self.resources),
            }
        )

    @property
    def group(self) -> str:
        return group_name(self.config + self.needs)

    def as_json(self) -> dict[str, Any]:
        """For the manifests' template."""
        return {
            "name": self.group,
            "config": self.config,
            "needs": self.needs,
            "checksum": checksum(self.config + self.needs),
            "devices": self.devices,
            "ovs": self.ovs,
            "hugepages": dict(self.hugepages),
            "probe": self.probe,
        }

    @property
    def probe(self) -> dict[str, Any]:
        """Where the kubelet of the node asks the agent: on the node's own network, at what it listens on."""
        host, _colon, port = json.loads(self.config)["listen"].rpartition(":")
        host = host.strip("[]")
        return {"host": _LOCAL.get(host, host), "port": int(port)}


def parse_pod(data: Mapping[str, str]) -> AgentPod | None:
    """Back from a ConfigMap; None where somebody edited it so that nobody knows what it says."""
    try:
        needs = json.loads(data[POD_KEY])
        pod = AgentPod(
            config=data[CONFIG_KEY],
            devices=bool(needs["devices"]),
            ovs=bool(needs["ovs"]),
            hugepages={str(name): str(amount) for name, amount in needs["hugepages"].items()},
            ports={str(name): int(count) for name, count in needs["ports"].items()},
            resources=tuple(map(str, needs["resources"])),
        )
        return pod if pod.probe else None
    except (ValueError, LookupError, AttributeError, TypeError):
        return None


def agent_pod(
    spec: AgentSpec,
    devices: Sequence[PoolDevices],
    pages: Iterable[Pages] = (),
    names: tuple[Mapping[str, PoolOptions], str] = ({}, DEFAULT_PREFIX),
    folders: Folders | None = None,
) -> AgentPod | None:
    """None where the node has no pools. ``names``: options of pools, and the prefix of resources."""
    if not spec.pools:
        return None
    resources = resource_names([pool.name for pool in spec.pools], *names)
    return AgentPod(
        config=as_text(agent_config(spec, devices, folders or Folders())),
        devices=bool(spec.of_backend(VDPA, TRANSLATE)),
        ovs=bool(spec.of_backend(OVS)),
        hugepages=_hugepages(spec, devices, pages),
        ports={resources[pool.name]: pool.ports for pool in spec.of_backend(OVS)},
        resources=tuple(sorted(resources.values())),
    )


def agent_config(spec: AgentSpec, devices: Sequence[PoolDevices], folders: Folders) -> dict[str, Any]:
    """The agent's own file. It writes the list of devices itself, from these very pools."""
    said = {
        "version": 1,
        "pci_list": "pools",
        "kubelet": folders.kubelet,
        "pools": [_pool(pool, devices) for pool in spec.pools],
        "grpc": spec.grpc,
        "grpc_users": list(spec.grpc_users),
        "listen": spec.listen,
        "cni": {"bin_dir": folders.bin_dir, "whole_folders": spec.whole_folders},
    }
    return {**said, VDPA: spec.vdpa.as_json(), TRANSLATE: spec.translate.as_json()}


def _pool(pool: AgentPool, devices: Iterable[PoolDevices]) -> dict[str, Any]:
    said: dict[str, Any] = {"name": pool.name, "backend": pool.backend, "mode": pool.mode, "queues": pool.queues}
    said.update({key: getattr(pool, key) for key in ("devargs", "bridge", "vlan", "user", "group", "label")})
    found = {key: value for key, value in said.items() if value not in ("", None, 0) or key == "queues"}
    if pool.has_devices:
        found["selectors"] = selectors_of([part for part in devices if part.pool == pool.name])
    return found


def _hugepages(spec: AgentSpec, devices: Iterable[PoolDevices], pages: Iterable[Pages]) -> dict[str, str]:
    """The kubelet allows a pod no page that it did not ask for."""
    counts = {
        backend: sum(
            len(part.indexes) for part in devices if (pool := spec.pool(part.pool)) and pool.backend == backend
        )
        for backend in (VDPA, TRANSLATE)
    }
    size_kb = page_size_kb(pages)
    need = memory_need(spec, counts, size_kb) if size_kb else 0
    return {f"hugepages-{quantity(size_kb)}": quantity(need * size_kb)} if size_kb and need else {}


def quantity(kibibytes: int) -> str:
    """As the API server writes it: the largest unit that leaves nothing over."""
    size, unit = next((size, unit) for size, unit in _UNITS if kibibytes % size == 0)
    return f"{kibibytes // size}{unit}"
