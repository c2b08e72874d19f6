# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A node as the role sriov will leave it to that of vDPA, for a look ahead. No I/O."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import is_kernel_driver
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL, PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import PfState, find_pf
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import VdpaDesired, VdpaDevice, VdpaState


def foreseen(state: VdpaState, desired: VdpaDesired) -> VdpaState:
    """VFs that are made anew or get another driver take devices of ours along, as long as nobody uses them.

    A PF gives its VFs the same addresses again, and what has its driver now will have it then.
    """
    found = [(find_pf(state.functions, spec), spec) for spec in desired.promised or ()]
    promised = {pf.address: (pf, spec) for pf, spec in found if not isinstance(pf, Problem)}
    leaving = {address for pf, spec in promised.values() for address in _leaving(pf, spec)}
    left = {
        pf.address: replace(pf, vfs=tuple(vf for vf in pf.vfs if vf.index < spec.num_vfs))
        for pf, spec in promised.values()
    }
    return replace(
        state,
        functions=replace(state.functions, pfs=tuple(left.get(pf.address, pf) for pf in state.functions.pfs)),
        devices=tuple(device for device in state.devices if not _goes(state, device, leaving)),
    )


def keeps_driver(driver: str | None, override: str | None, wanted: str | None) -> bool:
    """Whether a VF has the driver already that ``fastpath_sriov`` names."""
    if wanted == KERNEL:
        return is_kernel_driver(driver) and override is None
    return wanted is not None and driver == wanted


def _leaving(pf: PfState, spec: PfSpec) -> list[str]:
    """Addresses of VFs that lose their driver."""
    if len(pf.vfs) != spec.num_vfs:
        return [vf.address for vf in pf.vfs]
    wanted = {vf.index: vf.driver for vf in spec.vfs()}
    return [vf.address for vf in pf.vfs if not keeps_driver(vf.driver, vf.override, wanted[vf.index])]


def _goes(state: VdpaState, device: VdpaDevice, leaving: set[str]) -> bool:
    places = {state.mgmtdev_of(address) for address in leaving}
    return device.name in state.made and not device.uses and (device.address in leaving or device.mgmtdev in places)
