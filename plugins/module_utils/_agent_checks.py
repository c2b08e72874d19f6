# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The node agent among the other layers of one node: VFs, Open vSwitch, hugepages, CPUs. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import (
    BESIDE_THE_KERNEL,
    OVS,
    TRANSLATE,
    VARIABLE,
    VDPA,
    AgentPool,
    AgentSpec,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import (
    WrongCpus,
    format_cpu_list,
    mask_to_cpus,
    parse_cpu_list,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import NodePools, Slice
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE, VFIO
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, nearest
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool as Pages
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec

MIB_KB = 1024
STATIC = "static"


@dataclass(frozen=True)
class Around:
    """What else a node's desired state says. ``kubelet``: as the user wrote it; its own role judges it."""

    pools: NodePools = field(default_factory=NodePools)
    ovs: OvsSpec = field(default_factory=OvsSpec)
    pages: tuple[Pages, ...] = ()
    kubelet: Mapping[str, Any] = field(default_factory=dict)


def check_agent(spec: AgentSpec, around: Around) -> list[Problem]:
    problems: list[Problem] = []
    for entry in spec.pools:
        slices = [part for part in around.pools.slices if part.pool == entry.name]
        if entry.backend == OVS:
            problems += _ports_problems(entry, slices, around)
        else:
            problems += _devices_problems(entry, slices, around.pools)
    return [*problems, *_memory_problems(spec, around), *_cpu_problems(spec, around)]


def device_counts(spec: AgentSpec, pools: NodePools) -> dict[str, int]:
    """How many devices each of the two programs has."""
    counts = pools.counts()
    return {
        backend: sum(counts.get(entry.name, 0) for entry in spec.of_backend(backend)) for backend in (VDPA, TRANSLATE)
    }


def memory_need(spec: AgentSpec, counts: Mapping[str, int], page_kb: int) -> int:
    """Pages of one size that all processes take together: each has whole pages of its own."""
    return sum(
        counts.get(backend, 0) * -(-spec.program(backend).memory_mib * MIB_KB // page_kb)
        for backend in (VDPA, TRANSLATE)
        if spec.program(backend).wants_pages
    )


def page_size_kb(pages: Iterable[Pages]) -> int | None:
    """Of which pages the programs take: DPDK prefers the small ones for amounts below a large one."""
    sizes = sorted({pool.size_kb for pool in pages if pool.count})
    return sizes[0] if sizes else None


def _devices_problems(entry: AgentPool, slices: list[Slice], pools: NodePools) -> Iterable[Problem]:
    where = f"{entry.variable}.name"
    if entry.name in pools.by_hand:
        shape = "has selectors in fastpath_pools: the agent takes only pools of VFs of fastpath_sriov"
        yield Problem(where, entry.name, shape)
    elif not slices:
        known = sorted({part.pool for part in pools.slices if part.vdpa is None})
        shape = (
            f"is no pool of VFs.{nearest(entry.name, known)} Give VFs in fastpath_sriov that pool, with the driver "
            f"vfio-pci; there are {', '.join(known) or 'none'}"
        )
        yield Problem(where, entry.name, shape)
    for part in slices:
        if part.vdpa is not None:
            shape = (
                f"has vDPA devices of the kernel ({part.variable}), for which no agent is needed: "
                "pods open /dev/vhost-vdpa-N themselves"
            )
            yield Problem(where, entry.name, shape)
        elif not _driver_fits(entry, part.driver):
            shape = (
                f"has VFs with the driver {part.driver or 'none'} ({part.variable}), and a DPDK program cannot have "
                f"these: set driver: {VFIO} there"
            )
            yield Problem(where, entry.name, shape)


def _driver_fits(entry: AgentPool, driver: str | None) -> bool:
    if BESIDE_THE_KERNEL in entry.devargs.split(","):
        return driver is not None
    return driver == VFIO if entry.backend == VDPA else driver in USER_SPACE


def _ports_problems(entry: AgentPool, slices: list[Slice], around: Around) -> Iterable[Problem]:
    if slices or entry.name in around.pools.by_hand:
        place = slices[0].variable if slices else f"fastpath_pools.{entry.name}"
        shape = f"is a pool of devices in {place}, and of ports of Open vSwitch here: take another name"
        yield Problem(f"{entry.variable}.name", entry.name, shape)
    bridges = {bridge.name: bridge for bridge in around.ovs.bridges}
    bridge = bridges.get(entry.bridge)
    if bridge is None:
        shape = (
            f"is no bridge of fastpath_ovs.{nearest(entry.bridge, bridges)} There are {', '.join(bridges) or 'none'}"
        )
        yield Problem(f"{entry.variable}.bridge", entry.bridge, shape)
    elif bridge.columns.get("datapath_type") != "netdev":
        shape = (
            f"has datapath_type {bridge.columns.get('datapath_type')} ({bridge.variable}), and ports for pods need "
            "netdev, the datapath in user space"
        )
        yield Problem(f"{entry.variable}.bridge", entry.bridge, shape)
    elif not around.ovs.uses_dpdk:
        shape = "needs DPDK in Open vSwitch: set fastpath_ovs.other_config: {dpdk-init: true}"
        yield Problem(f"{entry.variable}.bridge", entry.bridge, shape)


def _memory_problems(spec: AgentSpec, around: Around) -> Iterable[Problem]:
    counts = device_counts(spec, around.pools)
    wanting = [backend for backend in (VDPA, TRANSLATE) if counts[backend] and spec.program(backend).wants_pages]
    if not wanting:
        return
    size_kb = page_size_kb(around.pages)
    where = f"{VARIABLE}.{wanting[0]}.memory_mib"
    if size_kb is None:
        shape = "needs hugepages, and fastpath_hugepages has none. Ask for some there, such as {size: 2M, count: 512}"
        yield Problem(where, spec.program(wanting[0]).memory_mib, shape)
        return
    have = sum(pool.count for pool in around.pages if pool.size_kb == size_kb)
    need = memory_need(spec, counts, size_kb)
    if need > have:
        devices = " and ".join(f"{counts[backend]} of {backend}" for backend in wanting)
        shape = (
            f"for each device ({devices}) takes {need} pages of {size_kb} kB, and fastpath_hugepages has {have}. "
            "Ask for more pages, or for less memory"
        )
        yield Problem(where, spec.program(wanting[0]).memory_mib, shape)


def _cpu_problems(spec: AgentSpec, around: Around) -> Iterable[Problem]:
    devices = device_counts(spec, around.pools)[TRANSLATE]
    forwarding = spec.translate.forwarding_cpus
    where = f"{VARIABLE}.{TRANSLATE}.forwarding_cpus"
    if forwarding and devices > len(forwarding):
        shape = f"are {len(forwarding)} CPUs for {devices} devices: each device that is translated needs one"
        yield Problem(where, format_cpu_list(forwarding), shape)
    taken = set(forwarding) & _pmd_cpus(around.ovs)
    if taken:
        shape = f"has CPU {format_cpu_list(taken)}, on which Open vSwitch polls (pmd-cpu-mask): choose others"
        yield Problem(where, format_cpu_list(forwarding), shape)
    if around.kubelet.get("cpu_manager") != STATIC:
        return
    try:
        kept = set(parse_cpu_list(around.kubelet.get("reserved_cpus") or ""))
    except WrongCpus:
        return
    for place, cpus in spec.cpus.items():
        free = set(cpus) - kept
        if free:
            shape = (
                f"has CPU {format_cpu_list(free)}, which the kubelet may give to a pod alone (cpu_manager: static): "
                f"add it to fastpath_kubelet.reserved_cpus ({format_cpu_list(kept) or 'none'})"
            )
            yield Problem(place, format_cpu_list(cpus), shape)


def _pmd_cpus(ovs: OvsSpec) -> set[int]:
    mask = ovs.other_config.get("pmd-cpu-mask")
    try:
        return set(mask_to_cpus(mask)) if mask else set()
    except WrongCpus:
        return set()
