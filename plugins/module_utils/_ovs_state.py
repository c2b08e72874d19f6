# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a node has to do with Open vSwitch: its database, its processes, and what DPDK is to use. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Database
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import VfReference
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import BridgeSpec, OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_words import PfSelector

DROP_IN = "/etc/systemd/system/ovs-vswitchd.service.d/fastpath.conf"
FLOWS_FOLDER = "/etc/fastpath/ovs-flows"
RUNDIR = "/run/openvswitch"
ALL_OPENFLOW = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"


@dataclass(frozen=True)
class Service:
    """The processes. ``selected``: the program that the next start takes; versions are those of that program."""

    installed: bool = False
    server: bool = False
    running: bool = False
    running_program: str | None = None
    selected_program: str | None = None
    ovs_version: str | None = None
    dpdk_version: str | None = None


@dataclass(frozen=True)
class NodeFacts:
    """``cpus``: NUMA node by online CPU. ``free_mib``: free hugepage memory by NUMA node. ``macs``: by PF address.

    ``folders``: what is wrong with a folder, by path of those that were asked about; empty where nothing is.
    """

    devices: Mapping[str, PciDevice] = field(default_factory=dict)
    macs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cpus: Mapping[int, int | None] = field(default_factory=dict)
    isolated: frozenset[int] = frozenset()
    free_mib: Mapping[int, int] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OvsState:
    """``files``: text of our files by path. ``other_flows``: bridges whose flows are not those that are wanted."""

    database: Database = field(default_factory=Database)
    service: Service = field(default_factory=Service)
    facts: NodeFacts = field(default_factory=NodeFacts)
    record: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    other_flows: frozenset[str] = frozenset()

    @property
    def dpdk_initialized(self) -> bool:
        return self.service.running and bool(self.database.root.get("dpdk_initialized"))


def find_vf(facts: NodeFacts, wanted: VfReference) -> tuple[str | None, str]:
    """The address of a VF, or None and why there is none."""
    pfs = [device for device in facts.devices.values() if _matches(facts, device, wanted.pf)]
    if len(pfs) != 1:
        several = ", ".join(device.address for device in pfs)
        return None, f"fits several PFs: {several}" if pfs else f"fits no PF with SR-IOV ({wanted.pf})"
    pf = pfs[0]
    if wanted.index >= len(pf.virtfns):
        return None, f"PF {pf.address} has {len(pf.virtfns)} VFs, so there is no VF {wanted.index}"
    return pf.virtfns[wanted.index], ""


def _matches(facts: NodeFacts, device: PciDevice, selector: PfSelector) -> bool:
    return (
        device.physfn is None
        and (device.sriov_totalvfs is not None or bool(device.virtfns))
        and selector.address in (None, device.address)
        and (selector.netdev is None or selector.netdev in device.netdevs)
        and (selector.mac is None or selector.mac in facts.macs.get(device.address, ()))
        and selector.vendor in (None, device.vendor_id)
        and selector.device in (None, device.device_id)
        and selector.numa_node in (None, device.numa_node)
    )


def wanted_files(spec: OvsSpec) -> dict[str, str]:
    """The drop-in that orders ovs-vswitchd after pages and VFs, and the flows that it gets at each start."""
    files = {flows_path(bridge.name): flow_text(bridge.flows) for bridge in spec.bridges if bridge.flows is not None}
    return {**files, DROP_IN: _drop_in(spec)}


def flows_path(bridge: str) -> str:
    return f"{FLOWS_FOLDER}/{bridge}.flows"


def flow_text(flows: tuple[str, ...]) -> str:
    return "".join(f"{flow}\n" for flow in flows)


def _drop_in(spec: OvsSpec) -> str:
    lines = [
        "# Written by nfv.fastpath.",
        "[Unit]",
        "After=fastpath-hugepages.service fastpath-sriov.service",
        "",
        "[Service]",
    ]
    folder = spec.other_config.get("vhost-sock-dir")
    if folder:
        lines.append(f"ExecStartPre=/bin/mkdir -p {RUNDIR}/{folder}")
    for bridge in spec.bridges:
        if bridge.flows is not None:
            # Without a folder: systemd looks for it where the built one comes before the packaged one.
            argv = replace_flows(bridge.name, flows_path(bridge.name), takes_bundles(bridge))
            lines.append(f"ExecStartPost=-{' '.join(argv)}")
    return "\n".join(lines) + "\n"


def takes_bundles(bridge: BridgeSpec) -> bool:
    """OpenFlow has them since 1.4, which a bridge speaks unless its protocols say otherwise."""
    protocols = bridge.columns.get("protocols")
    return not protocols or "OpenFlow14" in protocols


def replace_flows(bridge: str, source: str, bundle: bool) -> list[str]:
    """All flows of a bridge; in a bundle at once, so that packets meet the former or the new ones."""
    version = ["-O", "OpenFlow14", "--bundle"] if bundle else ["-O", ALL_OPENFLOW]
    return ["ovs-ofctl", *version, "replace-flows", bridge, source]
