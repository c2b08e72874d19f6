# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The verification of Open vSwitch: what runs, not what was written. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import format_cpu_list, mask_to_cpus
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import INTERFACE, PORT, Cell, as_plain, flatten
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import DPDK, InterfaceSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import OvsState
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_versions import DIFFERS, FITS, judge
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check

LAYER = "ovs_dpdk"
AGAIN = "Apply the role ovs_dpdk again."
LOG = "See /var/log/openvswitch/ovs-vswitchd.log."

_PMD = re.compile(r"pmd thread numa_id (?P<numa>-?\d+) core_id (?P<core>\d+):")
_QUEUE = re.compile(r"\s*port:\s*(?P<port>\S+)\s+queue-id:\s*(?P<queue>\d+)(?:\s+\((?P<state>\w+)\))?")


@dataclass(frozen=True)
class PmdThread:
    """One thread with the receive queues that it polls, as port and number."""

    core: int
    numa_node: int
    queues: tuple[tuple[str, int], ...] = ()


def parse_pmd_rxq_show(text: str) -> tuple[PmdThread, ...]:
    """The answer to ``dpif-netdev/pmd-rxq-show``; lines that are not known are passed over."""
    threads: list[PmdThread] = []
    for line in text.splitlines():
        head = _PMD.match(line)
        if head:
            threads.append(PmdThread(int(head.group("core")), int(head.group("numa"))))
            continue
        queue = _QUEUE.match(line)
        if queue and threads:
            last = threads[-1]
            found = (queue.group("port"), int(queue.group("queue")))
            threads[-1] = PmdThread(last.core, last.numa_node, (*last.queues, found))
    return tuple(threads)


def checks(current: OvsState, spec: OvsSpec, threads: tuple[PmdThread, ...]) -> list[Check]:
    """``spec`` is resolved."""
    found = [_check("running", "ovs-vswitchd", True, current.service.running, f"systemctl start ovs-vswitchd. {LOG}")]
    root = current.database.root
    settled = root.get("cur_cfg") == root.get("next_cfg")
    found.append(_check("settled", "ovs-vswitchd", True, settled, f"It did not take the last change over. {LOG}"))
    for key, text in sorted(spec.other_config.items()):
        found.append(_check("other_config", key, text, root.get("other_config", key), AGAIN))
    if spec.uses_dpdk:
        found += _dpdk_checks(current, spec, threads)
    for bridge in spec.bridges:
        row = current.database.bridges.get(bridge.name)
        found.append(_check("bridge", bridge.name, True, row is not None, AGAIN))
        for target in bridge.columns.get("controller") or ():
            connected = current.database.connected.get((bridge.name, target))
            remedy = "Look at the controller, and at the way to it."
            found.append(_check("controller", f"{bridge.name} {target}", True, connected, remedy))
    for bridge, port in spec.ports:
        found.append(_check("port", port.name, bridge.name, current.database.bridge_of(port.name), AGAIN))
        found += _cell_checks(current, PORT, port.name, port.columns)
    for interface in spec.interfaces:
        found += _interface_checks(current, interface, threads)
    return found


def _check(kind: str, target: str, expected: Any, seen: Any, remedy: str) -> Check:
    return Check(f"{LAYER}.{kind}", LAYER, target, expected, seen, remedy)


def _dpdk_checks(current: OvsState, spec: OvsSpec, threads: tuple[PmdThread, ...]) -> Iterator[Check]:
    yield _check("initialized", "DPDK", True, current.dpdk_initialized, f"EAL could not start. {LOG}")
    service = current.service
    verdict = judge(service.ovs_version or "", service.dpdk_version or "")
    pair = f"{service.ovs_version} with DPDK {service.dpdk_version}"
    seen = DIFFERS if verdict == DIFFERS else FITS
    yield _check("versions", pair, FITS, seen, "Install Open vSwitch and DPDK of one distribution release.")
    wanted = format_cpu_list(mask_to_cpus(spec.other_config.get("pmd-cpu-mask") or "0"))
    if wanted and any(interface.needs_dpdk for interface in spec.interfaces):
        cores = format_cpu_list(thread.core for thread in threads)
        remedy = f"A PMD thread exists where its CPU is online and its NUMA node has ports. {LOG}"
        yield _check("pmd_threads", "pmd-cpu-mask", wanted, cores, remedy)


def _interface_checks(current: OvsState, interface: InterfaceSpec, threads: tuple[PmdThread, ...]) -> Iterator[Check]:
    row = current.database.interfaces.get(interface.name)
    error = row.get("error") if row else "there is no such interface"
    yield _check("interface", interface.name, "", error or "", f"{LOG} The package of its PMD may be missing.")
    yield from _cell_checks(current, INTERFACE, interface.name, interface.columns)
    if interface.type != DPDK:
        return
    placed = {queue: thread.core for thread in threads for port, queue in thread.queues if port == interface.name}
    wanted = list(range(interface.queues))
    yield _check("rxqs", interface.name, wanted, sorted(placed), "The NIC may have fewer queues than n_rxq asks for.")
    for queue, cpu in sorted(interface.affinity.items()):
        remedy = "The CPU has to be in pmd-cpu-mask."
        yield _check("affinity", f"{interface.name} queue {queue}", cpu, placed.get(queue), remedy)


def _cell_checks(current: OvsState, table: str, name: str, columns: Any) -> Iterator[Check]:
    for cell, value in flatten(table, name, columns):
        seen = as_plain(current.database.value(cell))
        expected = as_plain(value)
        if (seen or None) != (expected or None):
            yield _check("column", _short(cell), expected, seen, AGAIN)


def _short(cell: Cell) -> str:
    return f"{cell.row} {cell.column}" + (f":{cell.key}" if cell.key else "")
