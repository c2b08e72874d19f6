# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The vDPA planner: from what is and what shall be to operations. No I/O.

Modules first, since they bring the management devices. What is no longer wanted goes before anything is made: a
function gives one device. A device cannot be changed but in its bus driver, so for anything else it is made anew.
The driver of the PCI function below is not touched: it belongs to ``fastpath_sriov``.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import InUse, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_spec import parse_sriov
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_spec import VDUSE, parse_vdpa
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_state import (
    SOFTWARE,
    Target,
    VdpaDesired,
    VdpaDevice,
    VdpaState,
    bound,
    device_view,
    differences,
    shown,
    target_view,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_targets import (
    doubts,
    find_problems,
    find_targets,
    wanted_modules,
)

VARIABLE = "fastpath_vdpa"
MODULES_LOAD = "/etc/modules-load.d/fastpath-vdpa.conf"
HEADER = "# Made by nfv.fastpath.vdpa\n"


def parse_desired(spec: Any, variable: str = VARIABLE) -> VdpaDesired:
    """Take the list of devices, or ``{"devices": [...], "sriov": fastpath_sriov}`` where VFs are yet to be made."""
    options = spec if isinstance(spec, dict) else {"devices": spec}
    entries, problems = parse_vdpa(options.get("devices"), variable)
    promised, of_sriov = parse_sriov(options.get("sriov"))
    if problems:
        raise Refused(problems)
    return VdpaDesired(entries, None if of_sriov or options.get("sriov") is None else promised)


def needed_modules(current: VdpaState, desired: VdpaDesired, ahead: bool = False) -> set[str]:
    return wanted_modules(find_targets(current, desired, ahead)[0])


def plan(current: VdpaState, desired: VdpaDesired, ahead: bool = False, booting: bool = False) -> Plan:
    """What brings the wanted devices about, and gives back those that the spec no longer names.

    ``ahead``: nothing will be done, so VFs may be missing. ``booting``: a program behind VDUSE may come later.
    """
    targets, problems = find_targets(current, desired, ahead)
    late = [target for target in targets if booting and _is_late(current, target)]
    now = [target for target in targets if target not in late]
    problems += find_problems(current, desired, now, ahead)
    problems += [problem for target in now for problem in _device_problems(current, target)]
    # A spec that cannot be understood says nothing of what is no longer wanted.
    stale = [] if problems else _stale(current, {target.name for target in targets})
    problems += [problem for name in stale for problem in _use_problems(current.device(name), VARIABLE)]
    if problems:
        raise Refused(problems)
    work = [*_files(current, wanted_modules(targets)), *_modules(current, now)]
    work += [step for name in stale for step in _give_back(current, name)]
    work += [step for target in now for step in _leave_place(current, target)]
    work += [step for target in now for step in _bring_about(current, target)]
    return Plan(
        operations=tuple(work),
        before=_view({**{name: current.device(name) for name in stale}, **_seen(current, now)}),
        after={"devices": {target.name: target_view(target, current.device(target.name)) for target in now}},
        warnings=tuple(_warnings(late, doubts(current, now) if ahead else [])),
    )


def plan_teardown(current: VdpaState) -> Plan:
    """The way back to what the record says was there before."""
    names = _stale(current, set())
    problems = [problem for name in names for problem in _use_problems(current.device(name), VARIABLE)]
    if problems:
        raise Refused(problems)
    work = [step for name in names for step in _give_back(current, name) if step.action != "release"]
    work += _files(current, set())
    kept = {name: current.device(name) for name in current.adopted}
    return Plan(
        operations=tuple(work),
        before=_view({name: current.device(name) for name in names}),
        after=_view(kept),
    )


def record(current: VdpaState, work: Plan) -> dict[str, Any]:
    """The record before ``work``: what will be ours, and how devices of others were when first touched."""
    devices, adopted = current.made, current.adopted
    files = dict(current.record.get("files", {}))
    for step in work.operations:
        if step.action == "add_device":
            adopted.pop(step.target, None)
            devices.setdefault(step.target, {})
        elif step.action == "bind_device" and step.target not in devices:
            adopted.setdefault(step.target, step.before)
        elif step.action == "write_file":
            files.setdefault(step.target, step.before)
    kept = {"devices": devices, "adopted": adopted, "files": files}
    return {name: value for name, value in kept.items() if value}


def _is_late(current: VdpaState, target: Target) -> bool:
    return target.mgmtdev == VDUSE and target.name not in current.vduse and current.device(target.name) is None


def _device_problems(current: VdpaState, target: Target) -> list[Problem]:
    """What is in the way of a target: devices of others, and users."""
    problems = []
    have = current.device(target.name)
    for other in _others_on(current, target):
        if other.name not in current.made:
            shape = (
                f"{target.where} has the vDPA device {other.name} already, which is not ours: remove it with "
                f"`vdpa dev del {other.name}`, or take it as it is with name: {other.name}"
            )
            problems.append(Problem(f"{target.variable}.name", target.name, shape))
    if have is None:
        return problems
    anew = _made_anew(current, target, have)
    if target.name not in current.made and anew:
        shape = f"is a vDPA device that is not ours, on {have.place}, and differs in {anew}"
        problems.append(Problem(f"{target.variable}.name", target.name, f"{shape}: remove it, or take another name"))
    elif anew or have.driver != target.bus:
        problems += _use_problems(have, target.variable)
    return problems


def _use_problems(have: VdpaDevice | None, variable: str) -> list[Problem]:
    """The kernel would wait for the user for ever, and with it all that has to do with vDPA."""
    if have is None or not have.uses:
        return []
    shape = f"is a vDPA device that is used by {', '.join(have.uses)}: move its users away first"
    return [InUse(variable, have.name, shape)]


def _others_on(current: VdpaState, target: Target) -> list[VdpaDevice]:
    """Those of software may have many."""
    if target.mgmtdev in SOFTWARE:
        return []
    return [device for device in current.devices if device.lies_on(target) and device.name != target.name]


def _made_anew(current: VdpaState, target: Target, have: VdpaDevice) -> str:
    """Why a device cannot stay; empty where it can."""
    if not have.lies_on(target):
        return f"its place: {have.place}, not {target.place}"
    found = differences(have, current.made.get(target.name), target.attributes)
    return ", ".join(f"{name} {seen} -> {wanted}" for name, (seen, wanted) in found.items())


def _stale(current: VdpaState, wanted: set[str]) -> list[str]:
    """What the record names and nobody asks for."""
    return sorted((set(current.made) | set(current.adopted)) - wanted)


def _give_back(current: VdpaState, name: str) -> list[Operation]:
    """A device of ours goes; one of others gets its bus driver back. What is gone already is only forgotten."""
    have = current.device(name)
    if have is None:
        return [Operation("release", name)]
    if name in current.made:
        return [Operation("remove_device", name, device_view(have), None)]
    former = current.adopted[name]
    steps = []
    if not bound(have, former["driver"], former["driver_override"]):
        steps.append(Operation("bind_device", name, _binding(have), former))
    return [*steps, Operation("release", name)]


def _leave_place(current: VdpaState, target: Target) -> list[Operation]:
    """A device of ours that stands elsewhere or was made in another way."""
    have = current.device(target.name)
    anew = _made_anew(current, target, have) if have else ""
    reason = f"a vDPA device cannot be changed, so it is made anew ({anew})"
    return [Operation("remove_device", target.name, device_view(have), None, True, reason)] if have and anew else []


def _bring_about(current: VdpaState, target: Target) -> list[Operation]:
    have = current.device(target.name)
    if have is not None and _made_anew(current, target, have):
        have = None
    steps = []
    if have is None:
        wanted = {"mgmtdev": target.place, **shown(target.attributes)}
        if target.attributes.features is not None:
            wanted["features"] = f"{target.attributes.features:#x}"
        steps.append(Operation("add_device", target.name, None, wanted))
    if have is None or not bound(have, target.bus, target.bus):
        disruptive = have is not None and have.driver not in (None, target.bus)
        reason = f"programs may be about to use it through {have.driver}" if have and disruptive else ""
        after = {"driver": target.bus, "driver_override": target.bus}
        steps.append(Operation("bind_device", target.name, _binding(have), after, disruptive, reason))
    return steps


def _binding(have: VdpaDevice | None) -> dict[str, Any] | None:
    return {"driver": have.driver, "driver_override": have.override} if have else None


def _modules(current: VdpaState, targets: list[Target]) -> list[Operation]:
    missing = sorted(name for name in wanted_modules(targets) if current.modules.get(name) is False)
    return [Operation("load_module", name, False, True) for name in missing]


def _files(current: VdpaState, modules: set[str]) -> list[Operation]:
    """The list of modules to be loaded at boot."""
    there = current.modules_load
    former = current.record.get("files", {})
    wanted = HEADER + "".join(f"{name}\n" for name in sorted(modules)) if modules else former.get(MODULES_LOAD)
    if there == wanted or (not modules and MODULES_LOAD not in former):
        return []
    return [Operation("write_file" if wanted is not None else "remove_file", MODULES_LOAD, there, wanted)]


def _seen(current: VdpaState, targets: list[Target]) -> dict[str, VdpaDevice | None]:
    return {target.name: current.device(target.name) for target in targets}


def _view(devices: dict[str, VdpaDevice | None]) -> dict[str, Any]:
    return {"devices": {name: device_view(have) for name, have in sorted(devices.items()) if have is not None}}


def _warnings(late: list[Target], doubtful: list[str]) -> list[str]:
    warnings = [f"{target.name}: no program offers it through VDUSE yet." for target in late]
    return warnings + [f"{doubt}. A run would be refused if this is still so." for doubt in doubtful]
