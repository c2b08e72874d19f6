# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What has to hold on a node before Open vSwitch is changed. No I/O.

A problem refuses the run, a warning goes along with it. What other roles bring about (pages, drivers of VFs)
may be absent while all that happens is a look ahead.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import format_cpu_list, mask_to_cpus
from ansible_collections.nfv.fastpath.plugins.module_utils._drivers import USER_SPACE
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import CLIENT, DEVARGS, DPDK, InterfaceSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import VARIABLE, OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import RUNDIR, OvsState
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import (
    DIFFERS,
    UNKNOWN,
    expected_dpdk,
    judge,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_fields import ADDRESS

# Their DPDK drivers work beside the kernel's, which has to stay.
BIFURCATED = ("mlx4_core", "mlx5_core", "mana")
OVS_PROCESS = "(ovs-vswitchd)"
CONFIG = f"{VARIABLE}.other_config"


@dataclass
class Findings:
    """``missing``: problems that another role would solve."""

    problems: list[Problem] = field(default_factory=list)
    missing: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, variable: str, value: Any, message: str) -> None:
        self.problems.append(Problem(variable, value, message))

    def lack(self, variable: str, value: Any, message: str) -> None:
        self.missing.append(Problem(variable, value, message))


def find(current: OvsState, spec: OvsSpec) -> Findings:
    """Everything that speaks against a resolved spec on this node."""
    findings = Findings()
    if spec.uses_dpdk:
        _versions(current, findings)
        _memory(current, spec, findings)
    elif any(interface.needs_dpdk for interface in spec.interfaces):
        value = spec.other_config.get("dpdk-init")
        findings.refuse(f"{CONFIG}.dpdk-init", value, "must be true or try: there are ports that need DPDK")
    _cpus(current, spec, findings)
    _devices(current, spec, findings)
    _folders(current, spec, findings)
    return findings


def _versions(current: OvsState, findings: Findings) -> None:
    service = current.service
    if not service.installed or service.ovs_version is None:
        return
    variable = f"{CONFIG}.dpdk-init"
    if service.dpdk_version is None:
        shape = f"needs a build with DPDK, and {service.selected_program} ({service.ovs_version}) is one without: "
        findings.lack(
            variable, True, shape + "install openvswitch-switch-dpdk and select it, as the role ovs_dpdk does"
        )
        return
    pair = f"Open vSwitch {service.ovs_version} with DPDK {service.dpdk_version}"
    verdict = judge(service.ovs_version, service.dpdk_version)
    if verdict == DIFFERS:
        expected = expected_dpdk(service.ovs_version)
        findings.lack(variable, pair, f"is a pair that does not belong together: it is made for DPDK {expected}")
    elif verdict == UNKNOWN:
        findings.warnings.append(f"{pair}: no release that is known here, so the pair was not checked.")


def _memory(current: OvsState, spec: OvsSpec, findings: Findings) -> None:
    facts, wanted = current.facts, spec.other_config.get("dpdk-socket-mem")
    if "--no-huge" in (spec.other_config.get("dpdk-extra") or "").split():
        return
    held = [0] * len(facts.free_mib)
    if current.dpdk_initialized:
        held = sizes(current.database.root.get("other_config", "dpdk-socket-mem"))
    variable = f"{CONFIG}.dpdk-socket-mem"
    for node, size in enumerate(sizes(wanted)):
        if size and node not in facts.free_mib:
            there = ", ".join(map(str, sorted(facts.free_mib))) or "none"
            findings.refuse(variable, wanted, f"asks for memory of NUMA node {node}, and there are: {there}")
            continue
        has = facts.free_mib.get(node, 0) + (held[node] if node < len(held) else 0)
        if size > has:
            short = f"asks for {size} MiB on NUMA node {node}, where free hugepages have {has} MiB: "
            findings.lack(variable, wanted, short + "ask for less, or for more pages in fastpath_hugepages")
    if not any(facts.free_mib.values()) and not current.dpdk_initialized and not any(sizes(wanted)):
        findings.lack(f"{CONFIG}.dpdk-init", True, "needs hugepages, and none are free: see fastpath_hugepages")


def sizes(text: Any) -> list[int]:
    return [int(part) for part in str(text).split(",") if part.strip().isdigit()] if text else []


def _cpus(current: OvsState, spec: OvsSpec, findings: Findings) -> None:
    facts = current.facts
    pmd = mask_to_cpus(spec.other_config.get("pmd-cpu-mask") or "0")
    lcores = mask_to_cpus(spec.other_config.get("dpdk-lcore-mask") or "0")
    for key, cpus in (("pmd-cpu-mask", pmd), ("dpdk-lcore-mask", lcores)):
        absent = [cpu for cpu in cpus if cpu not in facts.cpus]
        if absent:
            there = format_cpu_list(facts.cpus)
            shape = f"names CPU {format_cpu_list(absent)}, which is not there; CPUs in use are {there}"
            findings.refuse(f"{CONFIG}.{key}", format_cpu_list(cpus), shape)
    if pmd and set(pmd) >= set(facts.cpus):
        shape = "takes every CPU of the node for PMD threads, which never pause: leave at least one"
        findings.refuse(f"{CONFIG}.pmd-cpu-mask", format_cpu_list(pmd), shape)
    _isolation(facts.isolated, set(pmd), set(lcores), findings)
    _affinities(spec, set(pmd), findings)


def _isolation(isolated: frozenset[int], pmd: set[int], lcores: set[int], findings: Findings) -> None:
    """Warnings: it works all the same, only slower."""
    shared = format_cpu_list(pmd & lcores)
    if shared:
        findings.warnings.append(f"CPU {shared} is in pmd-cpu-mask and in dpdk-lcore-mask: it would do both works.")
    outside = format_cpu_list(pmd - isolated) if isolated else ""
    if outside:
        findings.warnings.append(
            f"CPU {outside} of pmd-cpu-mask is not isolated (isolated: {format_cpu_list(isolated)}): "
            "the kernel runs other work there, too."
        )
    inside = format_cpu_list(lcores & isolated)
    if inside:
        findings.warnings.append(f"CPU {inside} of dpdk-lcore-mask is isolated; housekeeping belongs on another one.")


def _affinities(spec: OvsSpec, pmd: set[int], findings: Findings) -> None:
    for interface in spec.interfaces:
        stray = sorted(set(interface.affinity.values()) - pmd)
        if stray and pmd:
            shape = f"names CPU {format_cpu_list(stray)}, which is not in pmd-cpu-mask ({format_cpu_list(pmd)})"
            findings.refuse(f"{interface.variable}.pmd_rxq_affinity", dict(interface.affinity), shape)


def _devices(current: OvsState, spec: OvsSpec, findings: Findings) -> None:
    pmd_nodes = {current.facts.cpus.get(cpu) for cpu in mask_to_cpus(spec.other_config.get("pmd-cpu-mask") or "0")}
    for interface, address in _addresses(spec):
        device = current.facts.devices.get(address)
        variable = f"{interface.variable}.{'vf' if address != interface.device_text else 'pci'}"
        if device is None:
            findings.lack(variable, address, "is no PCI function of this node")
            continue
        if device.driver not in USER_SPACE and device.driver not in BIFURCATED:
            bound = f"is bound to the kernel's driver {device.driver}" if device.driver else "is bound to no driver"
            findings.lack(variable, address, f"{bound}: bind it to vfio-pci first, as the role sriov does for VFs")
        holders = [use for use in device.uses if not use.endswith(OVS_PROCESS) and not use.startswith("vf:")]
        if holders and not _has_it(current, interface, address):
            findings.refuse(variable, address, f"is in use by {', '.join(holders)}")
        other = _other_port(current, spec, address)
        if other:
            findings.refuse(variable, address, f"is the device of port {other}, which others made")
        if pmd_nodes - {None} and device.numa_node is not None and device.numa_node not in pmd_nodes:
            findings.warnings.append(
                f"{interface.variable}: {address} is on NUMA node {device.numa_node}, and no CPU of pmd-cpu-mask is: "
                "its packets would cross the nodes."
            )


def _addresses(spec: OvsSpec) -> Iterator[tuple[InterfaceSpec, str]]:
    """DPDK ports with the PCI address that their devargs start with; virtual devices have none."""
    for interface in spec.interfaces:
        devargs = str((interface.columns.get("options") or {}).get(DEVARGS) or "")
        address = devargs.split(",", 1)[0]
        if interface.type == DPDK and ADDRESS.fullmatch(address):
            yield interface, address


def _has_it(current: OvsState, interface: InterfaceSpec, address: str) -> bool:
    row = current.database.interfaces.get(interface.name)
    return row is not None and str(row.get("options", DEVARGS) or "").split(",", 1)[0] == address


def _other_port(current: OvsState, spec: OvsSpec, address: str) -> str | None:
    wanted = {interface.name for interface in spec.interfaces}
    for name, row in current.database.interfaces.items():
        devargs = str(row.get("options", DEVARGS) or "")
        if name not in wanted and not row.owned and "," not in devargs and devargs == address:
            return name
    return None


def socket_folders(spec: OvsSpec) -> dict[str, tuple[str, Any]]:
    """Folders of vhost-user sockets, with the variable and the value that they come from."""
    found: dict[str, tuple[str, Any]] = {}
    for interface in spec.interfaces:
        path = (interface.columns.get("options") or {}).get("vhost-server-path")
        if interface.type == CLIENT and path:
            found.setdefault(posixpath.dirname(path), (f"{interface.variable}.socket", path))
    folder = spec.other_config.get("vhost-sock-dir")
    if folder:
        found.setdefault(f"{RUNDIR}/{folder}", (f"{CONFIG}.vhost-sock-dir", folder))
    return found


def _folders(current: OvsState, spec: OvsSpec, findings: Findings) -> None:
    for folder, (variable, value) in socket_folders(spec).items():
        wrong = current.facts.folders.get(folder)
        if wrong:
            findings.refuse(variable, value, wrong)
