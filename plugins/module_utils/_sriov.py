# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The SR-IOV planner: from what is and what shall be to operations. No I/O.

Order on each PF: MTU and link first, then the VFs with ``sriov_drivers_autoprobe`` switched off (the
kernel would bind each VF to its own driver only to have it unbound again), then what is set through the
PF, because a driver reads its MAC address when it is bound, then the drivers, then autoprobe as it was.
Only a driver that has to be loaded anew for its VFs comes before all that, since it forgets MTU and link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import uses_vfio
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import InUse, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ip_link import vf_changes
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL, PfSpec, parse_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import (
    PfState,
    PfTarget,
    SriovState,
    VfState,
    VfTarget,
    find_pf,
    former_target,
    named,
    pf_view,
    remembered,
    satisfied,
    target_of,
    target_view,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import NOTHING
from ansible_collections.nfv.fastpath.plugins.module_utils._uses import busy, protects

NOIOMMU = "noiommu"


@dataclass(frozen=True)
class SriovDesired:
    """The parsed spec. ``noiommu_ok``: consent to VFIO without an IOMMU, which protects nothing.

    ``coming_drivers``: what is not installed yet and will be before this is carried out; only for looking ahead.
    """

    pfs: tuple[PfSpec, ...] = ()
    noiommu_ok: bool = False
    coming_drivers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Job:
    """One PF on its way. ``giving_back``: to its former state, because nobody asks for it any more."""

    pf: PfState
    target: PfTarget
    variable: str
    in_use_ok: bool = False
    giving_back: bool = False

    @property
    def renews(self) -> bool:
        return len(self.pf.vfs) != self.target.numvfs

    @property
    def vfs(self) -> dict[int, VfState]:
        """The VFs that stay."""
        return {} if self.renews else {vf.index: vf for vf in self.pf.vfs}


def parse_desired(spec: Any, variable: str = "fastpath_sriov") -> SriovDesired:
    """Take the list of PFs, or ``{"pfs": [...], "noiommu_ok": bool}`` as it is stored on the node.

    A look ahead adds ``coming_drivers``.
    """
    options = spec if isinstance(spec, dict) else {"pfs": spec}
    pfs, problems = parse_sriov(options.get("pfs"), variable)
    if problems:
        raise Refused(problems)
    return SriovDesired(pfs, bool(options.get("noiommu_ok")), frozenset(options.get("coming_drivers") or ()))


def wanted_drivers(desired: SriovDesired) -> set[str]:
    """Drivers that the spec names; ``kernel`` is found out per device when it is bound."""
    named_drivers = {vf.driver for pf in desired.pfs for vf in pf.vfs()}
    return {driver for driver in named_drivers if driver not in (None, KERNEL)}


def plan(current: SriovState, desired: SriovDesired) -> Plan:
    """What brings the wanted VFs about, and gives back PFs that the spec no longer names."""
    problems: list[Problem] = []
    jobs = _jobs(current, desired, problems)
    if not problems:
        jobs += _given_back(current, {job.pf.address for job in jobs})
    _refuse(current, jobs, desired.noiommu_ok, problems)
    return _plan(current, jobs, torn_down=False)


def plan_teardown(current: SriovState) -> Plan:
    """The way back to what the record says was there before."""
    jobs = _given_back(current, set())
    _refuse(current, jobs, True, _still_carrying(jobs))
    return _plan(current, jobs, torn_down=True)


def record(current: SriovState, work: Plan) -> dict[str, Any]:
    """The record before ``work``: each PF as it was when it was first touched; MTU and link once they are."""
    pfs: dict[str, Any] = {address: dict(entry) for address, entry in current.record.get("pfs", {}).items()}
    known = {pf.address: pf for pf in current.pfs}
    noted = {key: value for key, value in current.record.items() if key != "pfs"}
    for operation in work.operations:
        address = operation.target.split(" ", 1)[0]
        if operation.action == "enable_noiommu":
            noted.setdefault(NOIOMMU, operation.before)
        if address not in known:
            continue
        entry = pfs.setdefault(address, remembered(known[address]))
        key = {"set_mtu": "mtu", "set_link": "up"}.get(operation.action)
        if key:
            entry.setdefault(key, operation.before)
    return {**noted, "pfs": pfs} if pfs or noted else {}


def _jobs(current: SriovState, desired: SriovDesired, problems: list[Problem]) -> list[_Job]:
    jobs: dict[str, _Job] = {}
    for spec in desired.pfs:
        pf = find_pf(current, spec)
        if isinstance(pf, Problem):
            problems.append(pf)
            continue
        if pf.address in jobs:
            where = jobs[pf.address].variable
            problems.append(Problem(f"{spec.variable}.pf", str(spec.selector), f"is {pf}, as is {where}.pf"))
            continue
        former = current.record.get("pfs", {}).get(pf.address, {})
        jobs[pf.address] = _Job(pf, target_of(pf, spec, former), spec.variable, spec.in_use_ok)
    return list(jobs.values())


def _refuse(current: SriovState, jobs: list[_Job], noiommu_ok: bool, problems: list[Problem]) -> None:
    found = problems + [problem for job in jobs for problem in _problems(current, job, noiommu_ok)]
    found += _legacy_problems(current, jobs)
    if found:
        raise Refused(found)


def _given_back(current: SriovState, asked_for: set[str]) -> list[_Job]:
    """PFs that the record knows and nobody asks for. One that left the machine took its VFs along."""
    entries = current.record.get("pfs", {})
    here = [pf for pf in current.pfs if pf.address in entries and pf.address not in asked_for]
    return [_Job(pf, former_target(entries[pf.address]), pf.address, True, True) for pf in here]


def _plan(current: SriovState, jobs: list[_Job], torn_down: bool) -> Plan:
    work = [operation for job in jobs for operation in _operations(job)]
    gone = set(current.record.get("pfs", {})) - {pf.address for pf in current.pfs}
    released = {job.pf.address for job in jobs if job.giving_back} | gone
    if not torn_down:
        work += [Operation("release", address) for address in sorted(released)]
    return Plan(
        operations=(*_preparations(current, jobs, work), *work, *_noiommu_back(current, torn_down)),
        before={"pfs": {job.pf.address: pf_view(job.pf) for job in jobs}},
        after={"pfs": {job.pf.address: target_view(job.pf, job.target) for job in jobs}},
        warnings=tuple(_warnings(jobs, gone)),
    )


def _preparations(current: SriovState, jobs: list[_Job], work: list[Operation]) -> list[Operation]:
    """What is done once for all VFs: modules, and VFIO's mode without an IOMMU."""
    bound = {operation.after["driver"] for operation in work if operation.action == "bind_driver"}
    wanted = [(job, vf) for job in jobs if not job.giving_back for vf in job.target.vfs if uses_vfio(vf.driver)]
    operations = []
    if any(job.pf.device.iommu_group is None for job, _vf in wanted) and not current.noiommu:
        operations.append(Operation("enable_noiommu", NOIOMMU, False, True))
    drivers = sorted(driver for driver in bound if driver and current.drivers.get(driver) is False)
    return operations + [Operation("load_driver", driver, False, True) for driver in drivers]


def _noiommu_back(current: SriovState, torn_down: bool) -> list[Operation]:
    if torn_down and current.noiommu and current.record.get(NOIOMMU) is False:
        return [Operation("disable_noiommu", NOIOMMU, True, False)]
    return []


def _operations(job: _Job) -> list[Operation]:
    pf, target = job.pf, job.target
    reloads = job.renews and pf.legacy
    operations = [_set_numvfs(job)] if reloads else []
    if target.mtu is not None and (pf.mtu != target.mtu or reloads):
        operations.append(Operation("set_mtu", pf.address, pf.mtu, target.mtu))
    if target.up and (not pf.up or reloads):
        operations.append(Operation("set_link", pf.address, bool(pf.up), True))
    autoprobe = pf.autoprobe
    if job.renews and target.numvfs and autoprobe:
        operations.append(Operation("set_autoprobe", pf.address, True, False))
        autoprobe = False
    if job.renews and not reloads:
        operations.append(_set_numvfs(job))
    operations += _set_attributes(job)
    operations += [_bind(job, vf) for vf in target.vfs if _must_bind(job, vf)]
    if target.autoprobe is not None and autoprobe != target.autoprobe and pf.autoprobe is not None:
        operations.append(Operation("set_autoprobe", pf.address, autoprobe, target.autoprobe))
    if target.up is False and pf.up:
        operations.append(Operation("set_link", pf.address, True, False))
    return operations


def _set_numvfs(job: _Job) -> Operation:
    before, after = len(job.pf.vfs), job.target.numvfs
    if job.pf.legacy:
        reason = f"driver {job.pf.device.driver} takes the number of VFs only when it is loaded, so it is loaded anew"
        return Operation("set_max_vfs", job.pf.address, before, after, True, reason)
    if before and not job.giving_back:
        reason = f"the kernel cannot change the number of VFs, so all {before} are removed first"
        return Operation("set_numvfs", job.pf.address, before, after, True, reason)
    return Operation("set_numvfs", job.pf.address, before, after)


def _set_attributes(job: _Job) -> list[Operation]:
    """One operation for all VFs of a PF: one process sets them."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    users: list[str] = []
    for vf in job.target.vfs:
        have = job.vfs.get(vf.index)
        seen = have.attributes if have else NOTHING
        changed = {name for change in vf_changes(vf.index, seen, vf.attributes) for name in change.after}
        wanted = {name: value for name, value in vf.attributes.given().items() if name in changed}
        if wanted:
            before[str(vf.index)] = {name: getattr(seen, name) for name in wanted}
            after[str(vf.index)] = wanted
            users += [f"VF {have.address} is used by {', '.join(have.uses)}"] if have and have.uses else []
    if not after:
        return []
    return [Operation("set_vf_attributes", job.pf.address, before, after, bool(users), "; ".join(users))]


def _must_bind(job: _Job, vf: VfTarget) -> bool:
    have = job.vfs.get(vf.index)
    if have is not None:
        return not satisfied(have, vf)
    return vf.driver is not None or vf.override is not None


def _bind(job: _Job, vf: VfTarget) -> Operation:
    have = job.vfs.get(vf.index)
    before = {"driver": have.driver, "driver_override": have.override} if have else None
    return Operation(
        "bind_driver", named(job.pf, vf.index), before, {"driver": vf.driver, "driver_override": vf.override}
    )


def _problems(current: SriovState, job: _Job, noiommu_ok: bool) -> list[Problem]:
    """Every reason not to touch this PF."""
    problems = _capacity_problems(job) + _use_problems(job)
    if job.giving_back:
        return problems
    for driver in sorted({vf.driver for vf in job.target.vfs if vf.driver not in (None, KERNEL)}):
        if driver in current.drivers and current.drivers[driver] is None:
            shape = "is not installed on the node: neither loaded nor found by modprobe"
            problems.append(Problem(f"{job.variable}.vfs", driver, shape))
    vfio = [vf.index for vf in job.target.vfs if uses_vfio(vf.driver)]
    if vfio and job.pf.device.iommu_group is None and not noiommu_ok:
        shape = (
            f"VFIO needs an IOMMU and {job.pf} is in no IOMMU group: switch it on in the firmware and on the kernel's "
            "command line, or give consent to working without protection with noiommu_ok"
        )
        problems.append(Problem(f"{job.variable}.vfs", "vfio-pci", shape))
    return problems


def _capacity_problems(job: _Job) -> list[Problem]:
    pf, wanted = job.pf, job.target.numvfs
    where = f"{job.variable}.num_vfs"
    problems = []
    total = pf.device.sriov_totalvfs
    if total is not None and wanted > total:
        problems.append(Problem(where, wanted, f"{pf} supports {total} VFs (sriov_totalvfs)"))
    if job.renews and pf.device.driver is None:
        problems.append(Problem(where, wanted, f"{pf} has no driver, and its driver is what makes VFs"))
    asks = job.target.mtu is not None or any(vf.attributes.given() for vf in job.target.vfs)
    if asks and pf.netdev is None and not job.giving_back:
        shape = f"{pf} has no network interface here, and MTU and attributes of VFs are set through it"
        problems.append(Problem(job.variable, None, shape))
    return problems


def _use_problems(job: _Job) -> list[Problem]:
    """What is in use stays as it is: VFs whatever the consent, PFs unless their own entry says otherwise."""
    problems: list[Problem] = []
    pf, target = job.pf, job.target
    for vf in pf.vfs if job.renews else ():
        if vf.uses:
            shape = f"would remove VF {vf.address} of {pf}, which is used by {', '.join(vf.uses)}"
            problems.append(InUse(f"{job.variable}.num_vfs", target.numvfs, f"{shape}: move its users away first"))
    for want in target.vfs:
        have = job.vfs.get(want.index)
        if have and have.uses and _rebinds(have, want):
            shape = f"VF {have.address} has driver {have.driver} and is used by {', '.join(have.uses)}"
            problems.append(InUse(f"{job.variable}.vfs", want.driver, f"{shape}: move its users away first"))
    changed = job.renews or target.mtu not in (None, pf.mtu) or (target.up is False and pf.up)
    if changed and protects(pf.device) and not job.in_use_ok:
        shape = (
            f"is {pf}, through which the node itself talks ({', '.join(protects(pf.device))}): take another PF, or say "
            "in_use_ok: true in this entry if a short loss of link does no harm"
        )
        problems.append(Problem(f"{job.variable}.pf", pf.address, shape))
    return problems


def _leaving(job: _Job) -> list[VfState]:
    """VFs that lose their driver."""
    have = job.vfs
    rebound = [have[want.index] for want in job.target.vfs if want.index in have and _rebinds(have[want.index], want)]
    return list(job.pf.vfs) if job.renews else rebound


def _still_carrying(jobs: list[_Job]) -> list[Problem]:
    """Their own teardown removes devices of ours; the next boot would miss them."""
    carried = [(job, vf, name) for job in jobs for vf in _leaving(job) for name in vf.vdpa_devices]
    return [
        InUse(job.variable, name, f"is a vDPA device on VF {vf.address}: tear vdpa down before")
        for job, vf, name in carried
        if f"vdpa:{name}" not in vf.uses
    ]


def _rebinds(have: VfState, want: VfTarget) -> bool:
    """Whether the VF loses its driver for a moment. A driver that was forced may not be the kernel's own."""
    if want.driver == KERNEL and have.override == have.driver:
        return True
    return not satisfied(have, VfTarget(want.index, want.driver, have.override))


def _legacy_problems(current: SriovState, jobs: list[_Job]) -> list[Problem]:
    """Drivers with ``max_vfs`` take one number, and reloading one takes all its functions down."""
    problems: list[Problem] = []
    counts: dict[str | None, _Job] = {}
    for job in (job for job in jobs if job.pf.legacy):
        driver = job.pf.device.driver
        other = counts.setdefault(driver, job)
        if other.target.numvfs != job.target.numvfs:
            shape = f"driver {driver} takes one max_vfs for all its PFs, and {other.variable} asks for another number"
            problems.append(Problem(f"{job.variable}.num_vfs", job.target.numvfs, shape))
        for pf in current.pfs + current.others if job.renews else ():
            if pf.device.driver == driver and protects(pf.device):
                shape = f"driver {driver} must be loaded anew, and the node talks through its function {pf}"
                problems.append(Problem(f"{job.variable}.num_vfs", job.target.numvfs, shape))
    return problems


def _warnings(jobs: list[_Job], gone: set[str]) -> list[str]:
    warnings = [f"PF {address} of an earlier run is no longer in this machine." for address in sorted(gone)]
    for job in jobs:
        warnings += [
            f"vDPA device {name} goes with VF {vf.address}; the role vdpa makes it again where it is wanted."
            for vf in _leaving(job)
            for name in vf.vdpa_devices
        ]
        users = busy(job.pf.device)
        if users and job.renews and not job.giving_back:
            warnings.append(f"{job.pf} is used by {', '.join(users)}; making VFs may interrupt its link for a moment.")
    return warnings
