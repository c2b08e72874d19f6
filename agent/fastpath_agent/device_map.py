# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the list of devices, the pools and sysfs to what each back end has to serve, and why it cannot. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE, uses_vfio
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice

from fastpath_agent.config import TRANSLATE, VDPA, Config, Pool
from fastpath_agent.selectors import select

# Their drivers in DPDK work beside the kernel's, which has to stay.
BIFURCATED = ("mlx5_core",)


@dataclass(frozen=True)
class Slot:
    """A device that a back end has to serve. ``problem``: why it cannot now; empty where it can."""

    address: str
    pool: Pool
    numa_node: int | None = None
    problem: str = ""
    absent: bool = False


def listed_by_pools(config: Config, devices: Sequence[PciDevice]) -> tuple[str, ...]:
    """What belongs into the list of vDPA devices: those of vDPA pools, and of no other kind."""
    chosen = _by_selectors(config, devices)
    return tuple(address for address, pool in chosen.items() if pool.backend == VDPA)


def slots(
    config: Config,
    listed: Iterable[str],
    devices: Sequence[PciDevice],
    former_vfs: Iterable[str] = (),
    former_pools: Mapping[str, Pool] | None = None,
    leased: Mapping[str, str] | None = None,
    group_exists: Callable[[PciDevice], bool] = lambda device: True,
) -> list[Slot]:
    """vDPA devices in the order of the list, then those that are translated.

    ``former_vfs``: devices that were VFs when they were last seen. ``former_pools``: what a device that is gone was in.
    ``leased``: back end by device. A pod keeps its device also where that is not wanted any more: a list that somebody
    empties to write it anew must not cut pods off.
    """
    chosen = _by_selectors(config, devices)
    known = {device.address: device for device in devices}
    gone = frozenset(former_vfs)
    rest = _pool_of_the_rest(config)
    before = former_pools or {}
    wanted = {address: chosen.get(address) or rest for address in listed}
    wanted.update({address: pool for address, pool in chosen.items() if pool.backend == TRANSLATE})
    for address, backend in (leased or {}).items():
        pool = before.get(address) or chosen.get(address) or rest
        if address not in wanted and pool.backend == backend:
            wanted[address] = pool
    found = []
    for address, pool in wanted.items():
        device = known.get(address)
        absent = device is None or (address in gone and device.physfn is None)
        pool = before.get(address, pool) if absent else pool
        problem = "" if device and not absent else _absence(address, device)
        if device and not problem:
            problem = _unusable(device, group_exists)
        found.append(Slot(address, pool, device.numa_node if device else None, problem, absent))
    return found


def unlisted(found: Iterable[Slot], listed: Iterable[str]) -> list[str]:
    """vDPA devices that are there for their leases alone."""
    known = set(listed)
    return [slot.address for slot in found if slot.pool.backend == VDPA and slot.address not in known]


def _by_selectors(config: Config, devices: Sequence[PciDevice]) -> dict[str, Pool]:
    pools = {pool.name: pool for pool in config.pools if pool.selectors}
    chosen = select(devices, [(pool.name, pool.selectors) for pool in pools.values()])
    return {address: pools[name] for address, name in chosen.items()}


def _pool_of_the_rest(config: Config) -> Pool:
    """Listed devices that no pool selects belong to the first vDPA pool without selectors, or to one without a name."""
    open_pools = [pool for pool in config.pools if pool.backend == VDPA and not pool.selectors]
    return open_pools[0] if open_pools else Pool("")


def _absence(address: str, device: PciDevice | None) -> str:
    """Before the kernel removes a VF it takes the link to its PF away, and then waits for whoever has the VF open."""
    return f"{address} is being removed." if device else f"{address} is no PCI function of this node."


def _unusable(device: PciDevice, group_exists: Callable[[PciDevice], bool]) -> str:
    where = device.address
    if device.driver not in USER_SPACE and device.driver not in BIFURCATED:
        bound = f"bound to the kernel's driver {device.driver}" if device.driver else "bound to no driver"
        return f"{where} is {bound}; it has to be bound to vfio-pci."
    if uses_vfio(device.driver) and device.iommu_group is None:
        return f"{where} is in no IOMMU group; the node needs an IOMMU that is on."
    if uses_vfio(device.driver) and not group_exists(device):
        return f"{where}: there is no /dev/vfio/{device.iommu_group} in the agent's container."
    return ""
