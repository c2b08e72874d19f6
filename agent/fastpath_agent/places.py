# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a device keeps while the node is up: the number in its socket's name, and the CPUs of its process.

Both stay the same when the agent starts again: the name, because programs without a lease remember it; the CPUs,
because a process can only be taken over as it was started.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_lists import (
    WrongCpus,
    format_cpu_list,
    parse_cpu_list,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id

from fastpath_agent.config import Program
from fastpath_agent.model import NotPossible

NODES = "/sys/devices/system/node"


@dataclass(frozen=True)
class Place:
    """``active``: whether a process has the CPUs; the number is the device's in any case."""

    number: int
    cpus: tuple[int, ...] = ()
    active: bool = False


class Places:
    """``own``: CPUs that the agent itself may use."""

    def __init__(self, host: Host, path: str, own: Iterable[int] | None = None) -> None:
        self._host = host
        self._path = path
        # The system's own work is done on CPU 0, so it is the last resort.
        allowed = set(os.sched_getaffinity(0) if own is None else own)
        self._own = tuple(sorted(allowed - {0} or allowed))
        self._nodes = cpu_nodes(host)
        self._places = self._read()

    def take(self, address: str, program: Program, count: int, node: int | None) -> Place:
        """Raises NotPossible where each forwarding CPU has a device already."""
        kept = self._places.get(address)
        allowed = self._allowed(program, count)
        if kept and kept.active and _fits(kept.cpus, allowed):
            return kept
        number = kept.number if kept else self._free_number()
        self._places[address] = Place(number)
        cpus: list[int] = []
        for position, choice in enumerate(allowed):
            used = [
                cpu for place in self._places.values() if place.active for cpu in place.cpus[position : position + 1]
            ]
            if position and program.forwarding_cpus:
                choice = tuple(cpu for cpu in choice if cpu not in used)
            if not choice:
                known = format_cpu_list(program.forwarding_cpus)
                raise NotPossible(f"No CPU is left to forward for {address}: each of {known} has another device.")
            cpus.append(min(choice, key=lambda cpu: (self._distance(cpu, node), used.count(cpu), cpu)))
        self._places[address] = Place(number, tuple(cpus), True)
        self._write()
        return self._places[address]

    def give_back(self, address: str) -> None:
        kept = self._places.get(address)
        if kept and kept.active:
            self._places[address] = Place(kept.number)
            self._write()

    def _allowed(self, program: Program, count: int) -> list[tuple[int, ...]]:
        main = program.cpus or self._own
        return [main, *[program.forwarding_cpus or main] * (count - 1)]

    def _distance(self, cpu: int, node: int | None) -> int:
        return 0 if node is None or self._nodes.get(cpu, node) == node else 1

    def _free_number(self) -> int:
        taken = {place.number for place in self._places.values()}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _read(self) -> dict[str, Place]:
        try:
            content = json.loads(self._host.read(self._path) or "{}")
            if content.get("boot_id") != boot_id(self._host):
                return {}
            return {
                address: Place(int(entry["number"]), tuple(entry["cpus"]), bool(entry["active"]))
                for address, entry in content["places"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write(self) -> None:
        content: dict[str, Any] = {
            "boot_id": boot_id(self._host),
            "places": {address: asdict(place) for address, place in self._places.items()},
        }
        self._host.write_file(self._path, json.dumps(content, sort_keys=True) + "\n", mode=0o600)


def _fits(cpus: tuple[int, ...], allowed: list[tuple[int, ...]]) -> bool:
    return len(cpus) == len(allowed) and all(cpu in choice for cpu, choice in zip(cpus, allowed))


def cpu_nodes(host: Host) -> dict[int, int]:
    """NUMA node by CPU."""
    found: dict[int, int] = {}
    for name in host.listdir(NODES):
        match = re.fullmatch(r"node([0-9]+)", name)
        if match:
            try:
                cpus = parse_cpu_list(host.read_value(f"{NODES}/{name}/cpulist") or "")
            except WrongCpus:
                continue
            found.update(dict.fromkeys(cpus, int(match.group(1))))
    return found
