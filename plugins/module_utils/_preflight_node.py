# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Preflight on a node: look, ask every planner, refuse with all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import Concerns
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, InUse, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_sysfs import all_pages
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet import MEMORY_STATE
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import NodeFacts, discover_node
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight import (
    OUT_OF_TREE,
    needs_reboot_first,
    preflight,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight_ovs import ovs_problems
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import reasons
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_targets import behind_iommu
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import (
    Wanted,
    concern_specs,
    parse_wanted,
    unknown_variables,
)

# Where it is not that of the concern's name.
VARIABLE_OF = {
    "kube_join": "fastpath_kubernetes",
    "ovs_bundle": "fastpath_ovs",
    "ovs_dpdk": "fastpath_ovs",
    "ovs_packages": "fastpath_ovs",
}


def preflight_node(host: Host, params: Mapping[str, Any], concerns: Concerns) -> dict[str, Any]:
    """The module's result; Refused where there is any problem."""
    wanted, problems = parse_wanted(params)
    facts = _with_drivers(host, discover_node(host), wanted)
    devices = read_pci(host)
    ahead = _ask_planners(host, params, concerns, facts)
    problems = [
        *unknown_variables(params["variables"], params["known_variables"]),
        *problems,
        *ahead.problems,
        *preflight(facts, wanted, params["noiommu_ok"], ahead.vhost),
        *_layers_problems(host, wanted, devices),
    ]
    if problems:
        raise Refused(_each_once(problems))
    return {
        "changed": False,
        "disrupts": [*ahead.in_use, *ahead.disrupts],
        "in_use": bool(ahead.in_use),
        "reboot_reasons": {**reasons(host), **ahead.reboot_reasons},
        "node_facts": facts.summary(),
        "devices": [asdict(device) for device in devices if device.sriov_totalvfs or device.physfn],
        "needs_reboot_first": needs_reboot_first(facts, wanted, ahead.vhost),
    }


def _layers_problems(host: Host, wanted: Wanted, devices: Iterable[PciDevice]) -> list[Problem]:
    if not (wanted.ovs.other_config or wanted.ovs.interfaces):
        return []
    by_address = {device.address: device for device in devices}
    return ovs_problems(wanted.ovs, wanted.pools, wanted.pfs, all_pages(host), by_address)


def _with_drivers(host: Host, facts: NodeFacts, wanted: Wanted) -> NodeFacts:
    """Ask for a signature only where a module is wanted that no distribution builds and signs."""
    asked = sorted({group.driver for _where, _pf, group in wanted.groups() if group.driver in OUT_OF_TREE})
    unsigned = [name for name in asked if not host.run(["modinfo", "-F", "signer", name]).out.strip()]
    return replace(facts, unsigned_drivers=tuple(unsigned))


@dataclass
class _Ahead:
    """What the planners say of the run before it begins."""

    problems: list[Problem] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    disrupts: list[str] = field(default_factory=list)
    reboot_reasons: dict[str, str] = field(default_factory=dict)
    vhost: list[str] = field(default_factory=list)

    def refused(self, problems: Iterable[Problem], drained: bool) -> None:
        """Where the node is drained first, users of devices are a reason to do so and no problem."""
        for problem in problems:
            if drained and isinstance(problem, InUse):
                self.in_use.append(str(problem))
            else:
                self.problems.append(problem)


def _ask_planners(host: Host, params: Mapping[str, Any], concerns: Concerns, facts: NodeFacts) -> _Ahead:
    """What the planners themselves would refuse later, so that it comes now and with the rest.

    The IOMMU is judged here alone: whether a reboot will bring it is not seen by the planners of VFs and of vDPA.
    """
    found = _Ahead()
    drained = bool(params.get("drain_first"))
    pages_change = False
    for name, spec in concern_specs({**params, "noiommu_ok": True}).items():
        if spec is None or (name == "kernel_args" and facts.boot_loader is None):
            continue
        concern = concerns[name](host)
        try:
            current, desired = concern.discover(), concern.parse(spec)
            found.vhost += behind_iommu(current, desired) if name == "vdpa" else []
            plan = concern.plan(current, desired)
        except Refused as refused:
            found.refused(refused.problems, drained)
            continue
        except FastpathError as error:
            found.problems.append(Problem(VARIABLE_OF.get(name, f"fastpath_{name}"), "as given", error.message))
            continue
        pages_change = pages_change or (name == "hugepages" and any("pages" in step.action for step in plan.operations))
        disruptive = plan.disruptive
        if name == "kubelet" and pages_change and desired.static_memory:
            disruptive = disruptive or _forgets_memory(current.guaranteed)
        found.disrupts += [f"{step.action} {step.target}: {step.reason}" for step in disruptive]
        found.reboot_reasons.update({name: plan.reboot_reason} if plan.reboot_reason else {})
        if not (params["disruption_ok"] or drained):
            found.problems += [_without_consent(step) for step in disruptive]
    return found


def _forgets_memory(guaranteed: int) -> tuple[Operation, ...]:
    """Not in the kubelet's plan yet, since the pages are not there yet."""
    reason = f"{guaranteed} Guaranteed pods have memory that the kubelet has to forget, since hugepages change"
    return (Operation("remove_state", MEMORY_STATE, disruptive=True, reason=reason),) if guaranteed else ()


def _without_consent(step: Operation) -> Problem:
    """Known now, it must not stop the run half-way, after pages were taken or the node was rebooted."""
    return Problem(
        "fastpath_disruption_ok",
        False,
        f"is no consent, and {step.action} {step.target} would disrupt running users ({step.reason}). "
        "Set it to true after they were moved away.",
    )


def _each_once(problems: list[Problem]) -> list[Problem]:
    """A spec that two concerns read is refused by both. Values need not be hashable."""
    return [problem for place, problem in enumerate(problems) if problem not in problems[:place]]
