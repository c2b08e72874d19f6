# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which devices of a node its pools mean."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import (
    PoolDevices,
    Slice,
    same_device_twice,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import VIRTIO_VDPA
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import links
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import VDPA_DEVICES, read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import read_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import SriovState, find_pf
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts
from ansible_collections.nfv.fastpath.plugins.module_utils._virtio_vdpa import virtio_devices


def find_devices(host: Host, slices: Sequence[Slice]) -> tuple[PoolDevices, ...]:
    if not slices:
        return ()
    # Who uses what is of no interest here, and is what takes time.
    state, _facts = read_sriov(host, {}, "", Facts(links=links(host)))
    return resolve(slices, state, {device.address: _seen(host, device) for device in read_pci(host)})


def resolve(slices: Iterable[Slice], state: SriovState, seen: Mapping[str, Any]) -> tuple[PoolDevices, ...]:
    """Slices with the PFs that they mean here. Refused where a PF is not there or a VF is in two pools.

    ``seen``: what is seen of each function, by address.
    """
    problems: list[Problem] = []
    found = []
    for part in slices:
        pf = find_pf(state, PfSpec(part.selector, 0, (), variable=part.variable.split(".vfs[", 1)[0]))
        if isinstance(pf, Problem):
            problems.append(pf)
            continue
        mine = [vf for vf in pf.vfs if vf.index in part.indexes]
        looked = tuple(seen[vf.address] for vf in mine if vf.address in seen)
        found.append(PoolDevices(part.pool, pf.address, part.indexes, part.driver, part.vdpa, part.variable, looked))
    problems += same_device_twice(found)
    if problems:
        raise Refused(problems)
    return tuple(found)


def _seen(host: Host, device: PciDevice) -> dict[str, Any]:
    """All that ends in what the plugin tells the kubelet, device files included."""
    return {
        "address": device.address,
        "driver": device.driver,
        "numa_node": device.numa_node,
        "iommu_group": device.iommu_group,
        "vdpa_devices": [_vdpa_seen(host, name) for name in device.vdpa_devices],
    }


def _vdpa_seen(host: Host, name: str) -> dict[str, Any]:
    """Made anew under its name, a device has another file, or another virtio device."""
    folder = f"{VDPA_DEVICES}/{name}"
    bus = host.link_name(f"{folder}/driver")
    files = [child for child in host.listdir(folder) if child.startswith("vhost-vdpa-")]
    if bus == VIRTIO_VDPA:
        files = [posixpath.basename(path) for path in virtio_devices(host, name)]
    return {"name": name, "bus": bus, "file": next(iter(sorted(files)), None)}
