# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The whole desired state of a node: all parsers, and what no single layer can see."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._agent_spec import parse_agent
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_spec import PACKAGES, parse_dpdk
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool, parse_hugepages
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import KernelArgsSpec, parse_kernel_args
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec, parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec, VfGroup, parse_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VdpaEntry, against_sriov, parse_vdpa

PREFIX = "fastpath_"
VARIABLES = (
    "fastpath_artefacts",
    "fastpath_cni_archives",
    "fastpath_cni_bin_dir",
    "fastpath_cni_config_dir",
    "fastpath_container_runtime",
    "fastpath_disruption_ok",
    "fastpath_dpdk",
    "fastpath_dpdk_build",
    "fastpath_drain_scope",
    "fastpath_drain_timeout",
    "fastpath_hosts",
    "fastpath_hugepages",
    "fastpath_image_builds",
    "fastpath_images",
    "fastpath_kernel_args",
    "fastpath_known_variables",
    "fastpath_kube_context",
    "fastpath_kubeconfig",
    "fastpath_kubelet",
    "fastpath_kubelet_dir",
    "fastpath_kubernetes",
    "fastpath_kubernetes_archives",
    "fastpath_kubernetes_bootstrap_kubeconfig",
    "fastpath_kubernetes_ca",
    "fastpath_kubernetes_kubeconfig",
    "fastpath_kubernetes_token",
    "fastpath_local_data_ok",
    "fastpath_mirror",
    "fastpath_mirror_export",
    "fastpath_multus",
    "fastpath_networks",
    "fastpath_node_agent",
    "fastpath_node_name",
    "fastpath_noiommu_ok",
    "fastpath_ovs",
    "fastpath_ovs_provider",
    "fastpath_pools",
    "fastpath_reboot_ok",
    "fastpath_reboot_timeout",
    "fastpath_registry",
    "fastpath_report_dir",
    "fastpath_resource_prefix",
    "fastpath_serial",
    "fastpath_sriov",
    "fastpath_unmanaged_ok",
    "fastpath_vdpa",
    "fastpath_wait_timeout",
)
VFIO = "vfio-pci"


@dataclass(frozen=True)
class Wanted:
    """The parsed desired state; only of use where there is no problem."""

    kernel_args: KernelArgsSpec = field(default_factory=KernelArgsSpec)
    pools: tuple[Pool, ...] = ()
    pfs: tuple[PfSpec, ...] = ()
    vdpa: tuple[VdpaEntry, ...] = ()
    ovs: OvsSpec = field(default_factory=OvsSpec)

    def groups(self) -> Iterable[tuple[str, PfSpec, VfGroup]]:
        """Every group of VFs with its place in the user's input."""
        for pf in self.pfs:
            for number, group in enumerate(pf.groups):
                yield f"{pf.variable}.vfs[{number}]", pf, group


def parse_wanted(specs: Mapping[str, Any]) -> tuple[Wanted, list[Problem]]:
    """Every parser's problems, then those between the layers. ``specs``: by concern, None where not asked for."""
    kernel_args, problems = parse_kernel_args(specs.get("kernel_args"), "fastpath_kernel_args")
    pools, of_hugepages = parse_hugepages(specs.get("hugepages"), "fastpath_hugepages")
    pfs, of_sriov = parse_sriov(specs.get("sriov"), "fastpath_sriov")
    vdpa, of_vdpa = parse_vdpa(specs.get("vdpa"), "fastpath_vdpa")
    ovs, of_ovs = parse_ovs(specs.get("ovs"), "fastpath_ovs")
    problems = [*problems, *of_hugepages, *of_sriov, *of_vdpa, *_dpdk_problems(specs.get("dpdk")), *of_ovs]
    wanted = Wanted(kernel_args, pools, pfs, vdpa, ovs)
    return wanted, problems + against_sriov(vdpa, pfs) + _pools_of_two_drivers(wanted)


def concern_specs(params: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of each concern as its module is given it; None where nothing is asked for.

    That of vDPA also says what becomes of the VFs before.
    """
    kernel_args, hugepages, sriov = (params.get(name) for name in ("kernel_args", "hugepages", "sriov"))
    vdpa = params.get("vdpa")
    dpdk, ovs = params.get("dpdk"), params.get("ovs") or None
    by_packages = params.get("ovs_provider") in (None, PACKAGES)
    return {
        "boot_engine": params.get("boot_engine"),
        "cni_plugins": params.get("cni_plugins"),
        "container_runtime": params.get("container_runtime") or None,
        "dpdk": None if dpdk is None else {"dpdk": dpdk},
        "hugepages": hugepages,
        "images": params.get("images"),
        "kernel_args": None if kernel_args is None else {"arguments": kernel_args, "hugepages": hugepages},
        "kube_join": params.get("kubernetes") or None,
        "kubelet": params.get("kubelet") or None,
        "node_agent": _agent_spec(params),
        "ovs_bundle": {"bundle": None} if ovs and not by_packages else None,
        "ovs_dpdk": ovs,
        "ovs_packages": {"ovs": ovs, "upgrade": False} if ovs and by_packages else None,
        "sriov": None
        if sriov is None
        else {"pfs": sriov, "noiommu_ok": bool(params.get("noiommu_ok")), "coming_drivers": coming_drivers(dpdk)},
        "vdpa": None if vdpa is None else {"devices": vdpa, "sriov": sriov},
    }


def _agent_spec(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """None where the node has no agent. Of VFs only how many each of its pools shall have."""
    agent = params.get("node_agent")
    if not isinstance(agent, Mapping) or not agent.get("pools"):
        return None
    pools, _problems = parse_node_pools(params.get("sriov"), params.get("vdpa"))
    counts = pools.counts()
    parsed, _wrong = parse_agent(agent)
    return {"agent": agent, "expected": {pool.name: counts[pool.name] for pool in parsed.pools if pool.name in counts}}


def coming_drivers(dpdk: Any) -> tuple[str, ...]:
    """Drivers that the role dpdk brings before VFs are bound; none where its spec is wrong, which others say."""
    try:
        return () if dpdk is None else parse_dpdk({"dpdk": dpdk}).modules
    except Refused:
        return ()


def _dpdk_problems(spec: Any) -> list[Problem]:
    try:
        parse_dpdk({"dpdk": spec})
    except Refused as refused:
        return list(refused.problems)
    return []


def unknown_variables(names: Iterable[str], further: Iterable[str] = ()) -> list[Problem]:
    """Variables with the collection's prefix that nothing reads: nearly always a typing error."""
    known = {*VARIABLES, *further}
    return [_unknown(name, known) for name in sorted(names) if name.startswith(PREFIX) and name not in known]


def _unknown(name: str, known: Iterable[str]) -> Problem:
    endings = sorted(other[len(PREFIX) :] for other in known if other.startswith(PREFIX))
    near = difflib.get_close_matches(name[len(PREFIX) :], endings, n=1)
    hint = f"Did you mean {PREFIX}{near[0]}?" if near else f"Known are {', '.join(sorted(known))}."
    return Problem(
        name, "set", f"is no variable of this collection. {hint} If it is yours, name it in fastpath_known_variables."
    )


def _pools_of_two_drivers(wanted: Wanted) -> list[Problem]:
    """A pool is one kind of device for the pods that ask for it. Of a vDPA device that is its bus driver."""
    first: dict[str, tuple[str, str | None]] = {}
    problems = []
    pools = [(where, group.pool, group.driver) for where, _pf, group in wanted.groups()]
    pools += [(entry.variable, entry.pool, entry.bus) for entry in wanted.vdpa]
    for where, pool, driver in pools:
        if pool is None:
            continue
        place, other = first.setdefault(pool, (where, driver))
        if other != driver:
            problems.append(
                Problem(
                    f"{where}.pool",
                    pool,
                    f"has driver {driver or 'none'} here and {other or 'none'} in {place}: "
                    "one pool has one driver, give this group another pool.",
                )
            )
    return problems
