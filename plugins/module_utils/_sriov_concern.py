# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The SR-IOV concern: VFs with their drivers and attributes, for the module and for the boot engine."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE, uses_vfio
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import links
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check, Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_apply import SriovWork
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_discovery import available_drivers, read_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import (
    PfState,
    PfTarget,
    SriovState,
    find_pf,
    named,
    satisfied,
    target_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import Facts
from ansible_collections.nfv.fastpath.plugins.module_utils._vfio import USABLE, Ioctl, check_group

THROUGH_IP = {"set_mtu", "set_link", "set_max_vfs", "set_vf_attributes"}


class SriovConcern(Concern[SriovState, _sriov.SriovDesired]):
    """VFs, their drivers and what is set through their PFs.

    ``ssh_connection``: the environment variable of that name, where the caller has it.
    """

    name = "sriov"

    def __init__(self, host: Host, ssh_connection: str = "", ioctl: Ioctl = fcntl.ioctl) -> None:
        super().__init__(host)
        self.ssh_connection = ssh_connection
        self._ioctl = ioctl
        self._work = SriovWork(host)
        self._torn_down = False
        self._facts = Facts()
        self._known: Facts | None = None

    def parse(self, spec: Any) -> _sriov.SriovDesired:
        return _sriov.parse_desired(spec)

    def stored(self, spec: Any) -> Any:
        """What is coming is of this one run."""
        return {key: spec[key] for key in spec if key != "coming_drivers"} if isinstance(spec, dict) else spec

    def discover(self) -> SriovState:
        """Who uses what matters before anything is done, not to see whether it was kept."""
        known, self._known = self._known, None
        state, self._facts = read_sriov(self.host, self.store.record(), self.ssh_connection, known)
        return state

    def plan(self, current: SriovState, desired: _sriov.SriovDesired) -> Plan:
        self._torn_down = False
        drivers = available_drivers(self.host, _sriov.wanted_drivers(desired))
        drivers |= {name: False for name in desired.coming_drivers if drivers.get(name, True) is None}
        return _sriov.plan(replace(current, drivers=drivers), desired)

    def plan_teardown(self, current: SriovState) -> Plan:
        self._torn_down = True
        entries = current.record.get("pfs", {}).values()
        former = {vf["driver"] for entry in entries for vf in entry["vfs"]} & set(USER_SPACE)
        return _sriov.plan_teardown(replace(current, drivers=available_drivers(self.host, former)))

    def record(self, current: SriovState, plan: Plan) -> dict[str, Any]:
        return _sriov.record(current, plan)

    def perform(self, operation: Operation) -> None:
        if operation.action == "release":
            kept = self.store.record()
            kept.get("pfs", {}).pop(operation.target, None)
            self.store.save_record(kept)
        else:
            self._work.perform(operation)

    def finish(self, plan: Plan) -> None:
        """The look back asks ``ip`` again only for what was set through it."""
        if not self._torn_down:
            through_ip = {operation.action for operation in plan.operations} & THROUGH_IP
            self._known = replace(self._facts, links=links(self.host)) if through_ip else self._facts

    def check(self, current: SriovState, desired: _sriov.SriovDesired) -> list[Check]:
        checks: list[Check] = []
        for spec in desired.pfs:
            pf = find_pf(current, spec)
            if isinstance(pf, Problem):
                checks.append(Check("sriov.pf", self.name, str(spec.selector), "one PF", pf.message, "Correct pf"))
                continue
            former = current.record.get("pfs", {}).get(pf.address, {})
            target = target_of(pf, spec, former)
            checks += _pf_checks(pf, target) + _vf_checks(pf, target) + self._vfio_checks(pf, target)
        return checks

    def _vfio_checks(self, pf: PfState, target: PfTarget) -> list[Check]:
        wanted = {vf.index for vf in target.vfs if uses_vfio(vf.driver)}
        checks = []
        for vf in pf.vfs:
            if vf.index in wanted and uses_vfio(vf.driver):
                group = self.host.link_name(f"/sys/bus/pci/devices/{vf.address}/iommu_group")
                seen = check_group(self.host, int(group), self._ioctl) if group else "it is in no IOMMU group"
                remedy = "Switch on VT-d or AMD-Vi with interrupt remapping in the firmware, and see the kernel's log"
                checks.append(Check("sriov.vfio", self.name, vf.address, USABLE, seen, remedy))
        return checks


def _pf_checks(pf: PfState, target: PfTarget) -> list[Check]:
    remedy = "Run the sriov role again"
    checks = [Check("sriov.numvfs", "sriov", pf.address, target.numvfs, len(pf.vfs), remedy)]
    if target.mtu is not None:
        checks.append(Check("sriov.mtu", "sriov", pf.address, target.mtu, pf.mtu, remedy))
    if target.up is not None:
        checks.append(Check("sriov.link", "sriov", pf.address, target.up, pf.up, remedy))
    return checks


def _vf_checks(pf: PfState, target: PfTarget) -> list[Check]:
    remedy = "Look for driverctl, udev rules or an operator that changes it too, then run the sriov role again"
    have = {vf.index: vf for vf in pf.vfs}
    checks = []
    for want in target.vfs:
        vf = have.get(want.index)
        where = vf.address if vf else named(pf, want.index)
        seen: Any = vf.driver if vf else None
        if vf and want.driver == KERNEL and satisfied(vf, want):
            seen = KERNEL
        checks.append(Check("sriov.driver", "sriov", where, want.driver, seen, remedy))
        asked = want.attributes.given()
        if asked:
            got = {name: getattr(vf.attributes, name) for name in asked} if vf else None
            checks.append(Check("sriov.attributes", "sriov", where, asked, got, remedy))
    return checks
