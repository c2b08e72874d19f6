# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which devices of a node its pools mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import (
    PoolDevices,
    Slice,
    parse_node_pools,
    same_device_twice,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import links
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import read_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import SriovState, find_pf
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts

VDPA = "fastpath_vdpa"


def find_devices(host: Host, slices: Sequence[Slice]) -> tuple[PoolDevices, ...]:
    if not slices:
        return ()
    # Who uses what is of no interest here, and is what takes time.
    state, _facts = read_sriov(host, {}, "", Facts(links=links(host)))
    return resolve(slices, state, {device.address: device for device in read_pci(host)})


def vdpa_problems(host: Host, sriov: Any, vdpa: Any) -> list[Problem]:
    """PFs of ``fastpath_vdpa`` that are not there, and VFs that it claims beside ``fastpath_sriov`` by other words.

    What is wrong without a look at the node is said once for all nodes (``_cluster_spec``), and PFs of
    ``fastpath_sriov`` are the planner's. The VFs need not exist yet.
    """
    pools, wrong = parse_node_pools(sriov, vdpa)
    if wrong or not any(part.variable.startswith(VDPA) for part in pools.slices):
        return []
    try:
        find_devices(host, pools.slices)
    except Refused as refused:
        return [problem for problem in refused.problems if problem.variable.startswith(VDPA)]
    except FastpathError as error:
        return [Problem(VDPA, "as given", error.message)]
    return []


def resolve(slices: Iterable[Slice], state: SriovState, by_address: Mapping[str, PciDevice]) -> tuple[PoolDevices, ...]:
    """Slices with the PFs that they mean here. Refused where a PF is not there or a VF is in two pools."""
    problems: list[Problem] = []
    found = []
    for part in slices:
        pf = find_pf(state, PfSpec(part.selector, 0, (), variable=part.variable.split(".vfs[", 1)[0]))
        if isinstance(pf, Problem):
            problems.append(pf)
            continue
        mine = [vf for vf in pf.vfs if vf.index in part.indexes]
        seen = tuple(_seen(by_address[vf.address]) for vf in mine if vf.address in by_address)
        found.append(PoolDevices(part.pool, pf.address, part.indexes, part.driver, part.vdpa, part.variable, seen))
    problems += same_device_twice(found)
    if problems:
        raise Refused(problems)
    return tuple(found)


def _seen(device: PciDevice) -> dict[str, Any]:
    """All that ends in what the plugin tells the kubelet, device files included."""
    return {
        "address": device.address,
        "driver": device.driver,
        "numa_node": device.numa_node,
        "iommu_group": device.iommu_group,
        "vdpa_devices": list(device.vdpa_devices),
    }
