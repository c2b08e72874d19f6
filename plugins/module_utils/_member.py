# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a node brings to its cluster: devices by pool, which boot this is, and whether Multus answers."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import (
    PoolDevices,
    Slice,
    fingerprint,
    parse_node_pools,
    same_device_twice,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import links
from ansible_collections.nfv.fastpath.plugins.module_utils._multus_node import (
    Probe,
    multus_unmet,
    probe_socket,
    read_multus,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import read_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import SriovState, find_pf
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts


def member(host: Host, params: Mapping[str, Any], dry_run: bool = False, probe: Probe = probe_socket) -> dict[str, Any]:
    """The module's result; waits for Multus where that is asked for, but for a dry run, in which nobody brings it."""
    pools, problems = parse_node_pools(params["sriov"], params["vdpa"])
    if problems:
        raise Refused(problems)
    if params["multus"] != "none" and not dry_run:
        _wait_for_multus(host, params, probe)
    devices: tuple[PoolDevices, ...] = ()
    if pools.slices:
        # Who uses what is of no interest here, and is what takes time.
        state, _facts = read_sriov(host, {}, "", Facts(links=links(host)))
        devices = resolve(pools.slices, state, {device.address: device for device in read_pci(host)})
    return {
        "changed": False,
        "devices": [part.as_json() for part in devices],
        "fingerprint": fingerprint(devices),
        "boot_id": boot_id(host),
    }


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


def _wait_for_multus(host: Host, params: Mapping[str, Any], probe: Probe) -> None:
    unmet: list[str] = []

    def answers() -> bool:
        unmet[:] = multus_unmet(
            read_multus(host, params["cni_bin_dir"], params["cni_config_dir"], probe), params["multus"]
        )
        return not unmet

    try:
        host.wait_for(answers, params["wait_timeout"], "Multus")
    except FastpathError as late:
        raise FastpathError(
            f"Multus does not answer on {platform.node()} after {params['wait_timeout']:g} s: {'; '.join(unmet)}. "
            "Pods that start now would get their default network only."
        ) from late
