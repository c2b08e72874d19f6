# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports for pods, planned by the planner of the role ``ovs_dpdk``. No I/O.

The planner removes rows with its mark that are not wanted, and leaves all others alone. The agent has a mark of its own
and looks at the database with its eyes: what the agent made is owned, what the role made is another's. So the role's
runs do not touch pods' ports, and the agent touches nothing but these.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils import _ovs_plan
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_database import MARKER, OWNED, Database, Row
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_ports import CLIENT, SERVER
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_spec import OvsSpec, parse_ovs
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_state import OvsState, Service, wanted_files
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation

from fastpath_agent.config import Pool
from fastpath_agent.model import NotPossible, SocketError, SocketLease

AGENT = "agent"
OTHERS = "others"
USER_SPACE_DATAPATH = "netdev"
_FOLDER = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class PodPort:
    pool: Pool
    lease: SocketLease

    @property
    def name(self) -> str:
        return self.lease.socket_name


def plan_ports(database: Database, ports: Sequence[PodPort]) -> tuple[Operation, ...]:
    """What brings the database from what it is to these ports of pods and no others. Raises SocketError.

    Ports whose bridge cannot take them are left out: they must not keep the others from coming and going.
    """
    spec, problems = parse_ovs(_spec([port for port in ports if not bridge_problem(database, port.pool.bridge)]))
    if problems:
        raise NotPossible("; ".join(f"{problem.value!r} {problem.message}" for problem in problems))
    current = OvsState(
        database=as_the_agent_sees_it(database),
        service=Service(installed=True, server=True, running=True),
        files=wanted_files(spec),
    )
    try:
        work = _ovs_plan.plan(current, _only_ports(spec))
    except Refused as refused:
        raise SocketError(refused.message) from refused
    return tuple(replace(step, after=_marked(step.after)) for step in work.operations)


def as_the_agent_sees_it(database: Database) -> Database:
    seen = {OWNED: OTHERS, AGENT: OWNED}

    def row(entry: Row) -> Row:
        ids = entry.get("external_ids") or {}
        if ids.get(MARKER) not in seen:
            return entry
        return replace(entry, columns={**entry.columns, "external_ids": {**ids, MARKER: seen[ids[MARKER]]}})

    tables = {table: {name: row(entry) for name, entry in rows.items()} for table, rows in database.tables.items()}
    return replace(database, tables=tables)


def made_by_the_agent(database: Database) -> list[str]:
    return sorted(name for name, row in database.ports.items() if row.get("external_ids", MARKER) == AGENT)


def _spec(ports: Sequence[PodPort]) -> dict[str, Any]:
    """As a user would write it in ``fastpath_ovs``."""
    bridges: dict[str, list[dict[str, Any]]] = {}
    for port in ports:
        owner = port.lease.owner
        ids = {"pod": owner.name, "container": owner.container_id, "interface": owner.ifname}
        entry: dict[str, Any] = {
            "name": port.name,
            "type": CLIENT if port.lease.mode == "server" else SERVER,
            "external_ids": {f"fastpath-{key}": text for key, text in ids.items()},
            "n_rxq": port.pool.queues,
        }
        if port.lease.mode == "server":
            entry["socket"] = port.lease.path
        if port.pool.vlan is not None:
            entry["tag"] = port.pool.vlan
        bridges.setdefault(port.pool.bridge, []).append(entry)
    return {"bridges": [{"name": name, "ports": entries} for name, entries in sorted(bridges.items())]}


def _only_ports(spec: OvsSpec) -> OvsSpec:
    """The bridges are another's: nothing of them is asked for."""
    return replace(spec, bridges=tuple(replace(bridge, columns={}, local={}) for bridge in spec.bridges))


def bridge_problem(database: Database, name: str) -> str:
    """Why a bridge cannot take ports of pods; empty where it can."""
    bridge = database.bridges.get(name)
    if bridge is None:
        return f"Open vSwitch has no bridge {name}; the role ovs_dpdk makes it from fastpath_ovs."
    if bridge.get("datapath_type") != USER_SPACE_DATAPATH:
        return f"Bridge {name} has no datapath_type {USER_SPACE_DATAPATH}, which ports of pods need."
    return ""


def made_socket(database: Database, rundir: str, port: str) -> str:
    """Where Open vSwitch makes the socket of a port that is a server: in its own folder, or in one below that."""
    folder = database.root.get("other_config", "vhost-sock-dir") or "."
    if not _FOLDER.fullmatch(folder) or ".." in folder.split("/"):
        raise NotPossible(f"Open vSwitch has an odd vhost-sock-dir: {folder[:100]!r}")
    return posixpath.normpath(f"{rundir}/{folder}/{port}")


def _marked(value: Any) -> Any:
    """The agent's mark in place of the planner's, wherever new rows have it."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: {**item, MARKER: AGENT} if key == "external_ids" and item.get(MARKER) == OWNED else _marked(item)
        for key, item in value.items()
    }
