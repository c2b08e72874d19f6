# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What Open vSwitch asks of pages and devices, against what the other variables will make of them. No I/O.

Only what is certain before anything was done: what others may still bring about is judged when it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages, Place
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_spec import Pool
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import InterfaceSpec, VfReference
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_preconditions import BIFURCATED, CONFIG, sizes
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import PfSpec

KERNELS_OWN = "kernel"


def ovs_problems(
    ovs: OvsSpec,
    pools: Sequence[Pool],
    pfs: Sequence[PfSpec],
    pages: Mapping[Place, Pages],
    devices: Mapping[str, PciDevice],
) -> list[Problem]:
    """``pages``: those of now, by size and NUMA node. ``devices``: by address."""
    found = list(_memory(ovs, pools, pages))
    for interface in ovs.interfaces:
        if isinstance(interface.device, VfReference):
            found += _vf(interface, interface.device, pfs)
        elif isinstance(interface.device, str):
            found += _function(interface, devices.get(interface.device))
    return found


def _memory(ovs: OvsSpec, pools: Sequence[Pool], pages: Mapping[Place, Pages]) -> Iterator[Problem]:
    """More than all pages of a NUMA node together.

    Where the kernel spreads them, or somebody else's boot arguments bring them, nobody knows before.
    """
    wanted = ovs.other_config.get("dpdk-socket-mem")
    no_pages = "--no-huge" in str(ovs.other_config.get("dpdk-extra") or "").split()
    if no_pages or not pools or any(pool.numa_node is None for pool in pools):
        return
    kilobytes = {place: counters.total * place[0] for place, counters in pages.items()}
    kilobytes.update({(pool.size_kb, pool.numa_node): pool.count * pool.size_kb for pool in pools})
    for node, size in enumerate(sizes(wanted)):
        has = sum(amount for place, amount in kilobytes.items() if place[1] == node) // 1024
        if size > has:
            message = f"asks for {size} MiB on NUMA node {node}, where all hugepages together will have {has} MiB: "
            yield Problem(
                f"{CONFIG}.dpdk-socket-mem", wanted, message + "ask for less, or for more pages in fastpath_hugepages"
            )


def _vf(interface: InterfaceSpec, reference: VfReference, pfs: Sequence[PfSpec]) -> Iterator[Problem]:
    variable = f"{interface.variable}.vf"
    for pf in pfs:
        if pf.selector != reference.pf:
            continue
        if reference.index >= pf.num_vfs:
            message = f"is not among the {pf.num_vfs} VFs of {pf.variable}: ask for more there, or take another"
            yield Problem(variable, str(reference), message)
        for number, group in enumerate(pf.groups):
            unfit = group.driver not in USER_SPACE and group.driver not in (*BIFURCATED, KERNELS_OWN)
            if reference.index in group.indexes and unfit:
                driver = f"driver {group.driver}" if group.driver else "no driver"
                message = f"has {driver} in {pf.variable}.vfs[{number}], and DPDK needs one such as vfio-pci"
                yield Problem(variable, str(reference), message)


def _function(interface: InterfaceSpec, device: PciDevice | None) -> Iterator[Problem]:
    """Other roles bind VFs, and nothing else."""
    if device is None or device.physfn or device.driver is None:
        return
    if device.driver not in USER_SPACE and device.driver not in BIFURCATED:
        message = (
            f"is bound to the kernel's driver {device.driver}, and is no VF that fastpath_sriov could bind: "
            "bind it to vfio-pci yourself, or take a VF"
        )
        yield Problem(f"{interface.variable}.pci", device.address, message)
