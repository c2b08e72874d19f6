# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Looks at a node for all that Open vSwitch with DPDK depends on; changes nothing."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import WrongCpus, parse_cpu_list
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_sysfs import all_pages
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import Row
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import (
    DROP_IN,
    FLOWS_FOLDER,
    RUNDIR,
    NodeFacts,
    Service,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import parse_version_output
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice

PROGRAM = "/usr/sbin/ovs-vswitchd"
# What was built from source goes before what is packaged, as its units do.
BUILT = "/opt/fastpath/openvswitch"
VSWITCHD = "ovs-vswitchd"
# Units of the distributions that stand for all of Open vSwitch. They need the daemons, so they stop with one of them.
ENTIRE = ("openvswitch-switch.service", "openvswitch.service")
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# Root may write to each of their folders as far as their modes go.
WITHOUT_SOCKETS = frozenset(
    ["sysfs", "proc", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "configfs", "hugetlbfs", "bpf"]
)
CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"


def read_service(host: Host, serving: bool) -> Service:
    """Which programs run and which would."""
    program = _resolved(host, _start_program(host))
    if not host.exists(program):
        return Service(server=serving)
    pid = vswitchd_pid(host)
    return Service(
        installed=True,
        server=serving,
        running=pid is not None,
        running_program=host.link_target(f"/proc/{pid}/exe") if pid else None,
        selected_program=program,
    )


def with_versions(host: Host, service: Service, root: Row) -> Service:
    """Versions of the program that the next start takes. ``root``: where the one that runs has written its own."""
    if not service.installed:
        return service
    ovs_version, dpdk_version = root.get("ovs_version"), root.get("dpdk_version")
    same = service.running_program == service.selected_program
    if not same or not ovs_version or not str(dpdk_version).startswith("DPDK "):
        ovs_version, dpdk_version = parse_version_output(host.run([_start_program(host), "--version"]).out)
    dpdk_version = dpdk_version.replace("DPDK ", "") if dpdk_version else None
    return replace(service, ovs_version=ovs_version, dpdk_version=dpdk_version)


def _start_program(host: Host) -> str:
    folder = host.link_name(f"{BUILT}/current")
    return f"{BUILT}/{folder}/sbin/{VSWITCHD}" if folder else PROGRAM


def entire_units(host: Host) -> list[str]:
    """Units to start after the daemons, or they would be left stopped."""
    return [unit for unit in ENTIRE if any(host.exists(f"{folder}/{unit}") for folder in UNIT_FOLDERS)]


def vswitchd_pid(host: Host) -> int | None:
    return _daemon_pid(host, VSWITCHD)


def daemon_program(host: Host, name: str) -> str | None:
    """The program that a daemon of Open vSwitch runs with; None: it does not run."""
    pid = _daemon_pid(host, name)
    return host.link_target(f"/proc/{pid}/exe") if pid else None


def _daemon_pid(host: Host, name: str) -> int | None:
    """The process, if it lives (one that ended has no program) and is what the file says."""
    text = host.read_value(f"{RUNDIR}/{name}.pid") or ""
    if not text.isdigit() or host.link_target(f"/proc/{text}/exe") is None:
        return None
    comm = host.read_value(f"/proc/{text}/comm") or ""
    return int(text) if comm.startswith(name) else None


def read_facts(host: Host) -> NodeFacts:
    """What costs little; devices, versions and folders are looked at where a spec needs them."""
    return NodeFacts(
        cpus=_cpus(host),
        isolated=frozenset(_cpu_file(host, f"{CPUS}/isolated")),
        free_mib=_free_mib(host),
    )


def with_devices(host: Host, facts: NodeFacts) -> NodeFacts:
    from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import discover_pci

    devices = {device.address: device for device in discover_pci(host)}
    macs = {device.address: _macs(host, device) for device in devices.values() if device.virtfns}
    return replace(facts, devices=devices, macs=macs)


def read_files(host: Host) -> dict[str, str]:
    """Our own files, which others may have changed."""
    paths = [DROP_IN, *(f"{FLOWS_FOLDER}/{name}" for name in host.listdir(FLOWS_FOLDER))]
    found = {path: host.read(path) for path in paths}
    return {path: text for path, text in found.items() if text is not None}


def folder_problems(host: Host, folders: Iterable[str]) -> dict[str, str]:
    """What keeps a folder from taking sockets. One that is not there yet can be made if what is above it allows."""
    found = {}
    mounts = _mounts(host)
    for folder in folders:
        above = folder
        while above != "/" and not os.path.lexists(host.path(above)):
            above = posixpath.dirname(above)
        path, kind = host.path(above), _filesystem(above, mounts)
        if not os.path.isdir(path):
            found[folder] = f"{above} is no directory"
        elif kind in WITHOUT_SOCKETS:
            found[folder] = f"{above} cannot be written to: it is part of {kind}, where the kernel shows its own state"
        elif not os.access(path, os.W_OK | os.X_OK):
            found[folder] = f"{above} cannot be written to"
    return found


def _mounts(host: Host) -> dict[str, str]:
    """File system type by mount point; of several at one place the last one counts."""
    rows = (line.split(" ") for line in (host.read("/proc/self/mounts") or "").splitlines())
    return {row[1]: row[2] for row in rows if len(row) > 2}


def _filesystem(path: str, mounts: Mapping[str, str]) -> str | None:
    while path not in mounts and path != "/":
        path = posixpath.dirname(path)
    return mounts.get(path)


def _cpus(host: Host) -> dict[int, int | None]:
    """NUMA node by online CPU."""
    by_cpu: dict[int, int | None] = dict.fromkeys(_cpu_file(host, f"{CPUS}/online"))
    for name in host.listdir(NODES):
        match = re.match(r"node([0-9]+)\Z", name)
        for cpu in _cpu_file(host, f"{NODES}/{name}/cpulist") if match else ():
            if match and cpu in by_cpu:
                by_cpu[cpu] = int(match.group(1))
    return by_cpu


def _cpu_file(host: Host, path: str) -> tuple[int, ...]:
    try:
        return parse_cpu_list(host.read_value(path) or "")
    except WrongCpus:
        return ()


def _free_mib(host: Host) -> dict[int, int]:
    """Free hugepages by NUMA node, all sizes; reserved ones are as good as taken. Without NUMA all is node 0."""
    pages = all_pages(host)
    per_node = {node for _size, node in pages if node is not None}
    found: dict[int, int] = dict.fromkeys(per_node, 0)
    for (size_kb, node), count in pages.items():
        if node is not None or not per_node:
            where = node or 0
            found[where] = found.get(where, 0) + max(count.free - count.reserved, 0) * size_kb // 1024
    return found


def _macs(host: Host, device: PciDevice) -> tuple[str, ...]:
    values = (host.read_value(f"/sys/class/net/{name}/address") for name in device.netdevs)
    return tuple(value for value in values if value)


def _resolved(host: Host, path: str) -> str:
    """The end of a chain of absolute links, as the node sees it."""
    for _step in range(8):
        target = host.link_target(path)
        if target is None:
            break
        path = target if target.startswith("/") else posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return path
