# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which devices a spec means on a node, and every reason why one cannot be made there. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.nfv.fastpath.plugins.module_utils import _vdpa_features
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import (
    USER_SPACE,
    VDPA,
    VHOST_VDPA,
    VIRTIO_PCI,
    VP_VDPA,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import KERNEL, PfSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_state import PfState, find_pf, matches, named
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_ahead import keeps_driver
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import (
    VDUSE,
    VdpaEntry,
    promise_problems,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import (
    SOFTWARE,
    Target,
    VdpaDesired,
    VdpaState,
    default_name,
)


def find_targets(state: VdpaState, desired: VdpaDesired, ahead: bool = False) -> tuple[list[Target], list[Problem]]:
    """One target for each device. ``ahead``: VFs may be missing and have other drivers by the time it is done."""
    targets: list[Target] = []
    problems: list[Problem] = []
    for entry in desired.entries:
        found = _of_entry(state, desired, entry, ahead)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            targets += found
    return targets, problems + _shared(targets)


def wanted_modules(targets: Iterable[Target]) -> set[str]:
    """Bus drivers, and what brings the management devices."""
    found = set()
    for target in targets:
        found.add(target.bus)
        known = VDPA.get(target.driver or "")
        module = known.module if known else SOFTWARE.get(target.mgmtdev or "")
        if module:
            found.add(module)
    return found


def behind_iommu(state: VdpaState, desired: VdpaDesired) -> list[str]:
    """Where in the input devices are given to programs that reach memory through the node's own IOMMU."""
    targets = find_targets(state, desired, ahead=True)[0]
    return list(dict.fromkeys(f"{target.variable}.bus" for target in targets if _needs_iommu(target)))


def find_problems(state: VdpaState, desired: VdpaDesired, targets: list[Target], ahead: bool = False) -> list[Problem]:
    """Why targets cannot be made, as far as can be known before."""
    problems = []
    # Whether a reboot brings the IOMMU is seen by who looks at the whole desired state, VFs included.
    judged = ahead and desired.promised is not None
    if targets and not state.tool:
        shape = "cannot be found on the node, and vDPA devices are made with it. It comes with iproute2, or iproute"
        problems.append(Problem("node.tools", "vdpa", shape))
    broken = _broken_promises(state, desired) if ahead else []
    problems += broken
    told = {problem.variable for problem in broken}
    for target in targets:
        if target.mgmtdev is None:
            problems += [_missing_vf(target)] if target.settled else []
        elif target.address is None:
            problems += _software_problems(state, target)
        elif target.settled and f"{target.variable}.indexes" not in told:
            problems += _driver_problems(state, target) + ([] if judged else _iommu_problems(state, target))
        problems += _attribute_problems(state, target)
    problems += _module_problems(state, targets)
    return [problem for place, problem in enumerate(problems) if problem not in problems[:place]]


def doubts(state: VdpaState, targets: Iterable[Target]) -> list[str]:
    """What a run would be refused for, and what the role of the VFs may put right before it."""
    found = []
    for target in targets:
        if target.mgmtdev is None:
            found.append(f"{target.where} is not there yet")
        elif target.address is not None:
            problems = [] if target.settled else _driver_problems(state, target)
            found += [problem.message for problem in problems + _iommu_problems(state, target)]
    return found


def _of_entry(state: VdpaState, desired: VdpaDesired, entry: VdpaEntry, ahead: bool) -> list[Target] | Problem:
    if entry.mgmtdev is not None:
        name = entry.name or ""
        return [Target(name, entry.mgmtdev, entry.bus, entry.attributes, entry.variable, entry.mgmtdev)]
    pf = _find(state, entry)
    if isinstance(pf, Problem):
        return pf
    if entry.indexes is None:
        return [_target(state, entry, pf, None, 0, pf.address)]
    vfs = {vf.index: vf.address for vf in pf.vfs}
    promised = _promised_drivers(state, desired, pf) if ahead else {}
    settled = not ahead or (desired.promised is not None and not promised)
    targets = []
    for position, index in enumerate(entry.indexes):
        target = replace(_target(state, entry, pf, index, position, vfs.get(index)), settled=settled)
        targets.append(_promised(target, promised[index], _function(state, target)) if index in promised else target)
    return targets


def _promised(target: Target, driver: str | None, function: PciDevice) -> Target:
    """A target on a VF that is to have a driver: as it is where the VF has it already."""
    if keeps_driver(function.driver, function.driver_override, driver):
        return replace(target, settled=True)
    return replace(target, driver=None if driver == KERNEL else driver)


def _find(state: VdpaState, entry: VdpaEntry) -> PfState | Problem:
    selector = entry.selector or PfSelector()
    if entry.indexes is not None:
        return find_pf(state.functions, PfSpec(selector, 0, (), variable=entry.variable))
    where = f"{entry.variable}.pf"
    found = [function for function in (*state.functions.pfs, *state.functions.others) if matches(function, selector)]
    if len(found) == 1 and found[0].device.physfn:
        return Problem(where, str(selector), f"is a VF of {found[0].device.physfn}: name the PF, and say indexes")
    if len(found) == 1:
        return found[0]
    if not found:
        return Problem(where, str(selector), "fits no PCI function of this node")
    shape = f"fits {len(found)} functions, such as {found[0]} and {found[1]}. Add address, netdev, mac or numa_node"
    return Problem(where, str(selector), shape)


def _target(
    state: VdpaState, entry: VdpaEntry, pf: PfState, index: int | None, position: int, address: str | None
) -> Target:
    function = state.function(address) if address else None
    return Target(
        name=entry.name or default_name(pf, index),
        where=pf.address if index is None else named(pf, index),
        bus=entry.bus,
        attributes=entry.attributes_of(position),
        variable=entry.variable,
        mgmtdev=state.mgmtdev_of(address) if address else None,
        address=address,
        driver=function.driver if function else None,
    )


def _promised_drivers(state: VdpaState, desired: VdpaDesired, pf: PfState) -> dict[int, str | None]:
    """What ``fastpath_sriov`` makes of a PF's VFs, by index."""
    for spec in desired.promised or ():
        found = find_pf(state.functions, spec)
        if not isinstance(found, Problem) and found.address == pf.address:
            return {vf.index: vf.driver for vf in spec.vfs()}
    return {}


def _broken_promises(state: VdpaState, desired: VdpaDesired) -> list[Problem]:
    """The two variables may name one PF in different words, which only a node sees through."""
    problems = []
    promised = [(find_pf(state.functions, spec), spec) for spec in desired.promised or ()]
    for entry in desired.entries:
        pf = _find(state, entry) if entry.selector else None
        for found, spec in promised:
            same = isinstance(pf, PfState) and isinstance(found, PfState) and pf.address == found.address
            if isinstance(pf, PfState) and same:
                problems += promise_problems(entry, spec, pf.device.vendor_id)
    return problems


def _shared(targets: list[Target]) -> list[Problem]:
    """One function, or one name, for two devices."""
    problems = []
    places: dict[str, Target] = {}
    names: dict[str, Target] = {}
    for target in targets:
        if target.mgmtdev not in SOFTWARE and places.setdefault(target.where, target).variable != target.variable:
            shape = f"means {target.where}, as {places[target.where].variable} does: one function, one vDPA device"
            key = "mgmtdev" if target.where == target.mgmtdev else "pf"
            problems.append(Problem(f"{target.variable}.{key}", target.where, shape))
        elif names.setdefault(target.name, target) is not target:
            shape = f"is the name of two devices, here and in {names[target.name].variable}"
            problems.append(Problem(f"{target.variable}.name", target.name, shape))
    return problems


def _missing_vf(target: Target) -> Problem:
    shape = f"{target.where} is not there: fastpath_sriov says how many VFs a PF has, and its role makes them"
    return Problem(f"{target.variable}.indexes", target.where, shape)


def _software_problems(state: VdpaState, target: Target) -> list[Problem]:
    if state.device(target.name) is not None:
        return []
    if target.mgmtdev == VDUSE and target.name not in state.vduse:
        there = ", ".join(sorted(state.vduse)) or "none"
        shape = f"is offered by no program through VDUSE (there: {there}): start the program that makes it first"
        return [Problem(f"{target.variable}.name", target.name, shape)]
    if target.mgmtdev not in state.mgmtdevs and state.modules.get(SOFTWARE.get(target.mgmtdev or "", "")) is None:
        return [Problem(f"{target.variable}.mgmtdev", target.mgmtdev, f"is not there. There: {_there(state)}")]
    return []


def _needs_iommu(target: Target) -> bool:
    known = VDPA.get(target.driver or "")
    return known is not None and known.iommu and target.bus == VHOST_VDPA


def _iommu_problems(state: VdpaState, target: Target) -> list[Problem]:
    if not _needs_iommu(target) or _function(state, target).iommu_group is not None:
        return []
    shape = (
        f"{target.where} ({target.driver}) is in no IOMMU group, and without an IOMMU no program can open a "
        "vhost_vdpa device on it: switch it on in the firmware and with fastpath_kernel_args"
    )
    return [Problem(f"{target.variable}.bus", VHOST_VDPA, shape)]


def _function(state: VdpaState, target: Target) -> PciDevice:
    return state.function(target.address or "") or PciDevice(target.address or "")


def _driver_problems(state: VdpaState, target: Target) -> list[Problem]:
    function = _function(state, target)
    where = f"{target.variable}.indexes" if function.physfn else f"{target.variable}.pf"
    driver = function.driver
    if driver is None or driver in USER_SPACE or driver == VIRTIO_PCI:
        shape = f"{target.where} has {f'driver {driver}' if driver else 'no driver'}, with which it is no vDPA device: "
        right = f"driver: {VP_VDPA}" if function.vendor_id == "1af4" else "the driver of its vendor"
        whose = "in fastpath_sriov" if function.physfn else "yourself, since fastpath_sriov gives drivers to VFs only"
        return [Problem(where, target.where, f"{shape}give it {right} {whose}")]
    offered = target.mgmtdev in state.mgmtdevs or any(device.lies_on(target) for device in state.devices)
    known = VDPA.get(driver)
    coming = known is not None and (known.late or state.modules.get(known.module) is not True)
    if not offered and not coming:
        shape = f"{target.where} with driver {driver} offers no vDPA management device. There: {_there(state)}"
        return [Problem(where, target.where, shape)]
    return []


def _attribute_problems(state: VdpaState, target: Target) -> list[Problem]:
    """What the driver is known not to take, and what the management device says it has not."""
    problems = []
    known = VDPA.get(target.driver or "")
    given = target.attributes.given()
    for name in sorted(set(given) - set(known.settable)) if known else ():
        shape = f"cannot be set with the driver {target.driver}, whose hardware decides on it: leave it out"
        problems.append(Problem(f"{target.variable}.{name}", given[name], shape))
    offered = state.mgmtdevs.get(target.mgmtdev or "")
    if offered is None:
        return problems
    lacking = (given.get("features") or 0) & ~(offered.features if offered.features is not None else -1)
    if lacking:
        shape = f"has what {offered.name} does not offer: {', '.join(_vdpa_features.names(lacking))}"
        names = ", ".join(_vdpa_features.names(given["features"]))
        problems.append(Problem(f"{target.variable}.features", names, shape))
    pairs = given.get("max_vqp", 0)
    if offered.max_vqs is not None and 2 * pairs > offered.max_vqs:
        shape = f"takes {2 * pairs} queues, and {offered.name} has {offered.max_vqs}"
        problems.append(Problem(f"{target.variable}.max_vqp", pairs, shape))
    return problems


def _module_problems(state: VdpaState, targets: list[Target]) -> list[Problem]:
    problems = []
    for name in sorted(wanted_modules(targets)):
        if name in state.modules and state.modules[name] is None:
            who = next(target for target in targets if name in wanted_modules([target]))
            shape = "is no module of the running kernel. Install the kernel's package that has it, or another kernel"
            problems.append(Problem(who.variable, name, shape))
    return problems


def _there(state: VdpaState) -> str:
    return ", ".join(sorted(state.mgmtdevs)) or "none"
