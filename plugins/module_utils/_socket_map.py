# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The node agent's socket map met with sysfs, the kubelet's pods and what was asked for. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check

LAYER = "node_agent"
# The agent writes its status every ten seconds although nothing changed.
OLDEST_SECONDS = 45.0
OVS, CLIENT = "ovs", "client"
SERVED = "served"
HEALTHY = ("ready", "leased", "recycling")
AGREES = "agrees"
LOOK_AT_AGENT = "Look at the agent's log: kubectl logs in the namespace of the DaemonSet node-agent"


@dataclass(frozen=True)
class Seen:
    """All that is read on the node. What cannot be read is None.

    ``status``: the agent's own file, ``sockets``: socketList.dat, ``listed``: pciList.dat. ``there``: which of the
    named sockets exist. ``pods``: UIDs of the kubelet's pods; empty where it has none or no such folder.
    """

    status: Mapping[str, Any] | None = None
    sockets: Mapping[str, str] | None = None
    listed: tuple[str, ...] = ()
    devices: Mapping[str, PciDevice] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    pods: frozenset[str] = frozenset()
    boot_id: str = ""
    now: float = 0.0


@dataclass(frozen=True)
class Entry:
    """One device, or one port, of the map. ``pod``: who has it, as ``namespace/name``; empty: nobody."""

    device: str
    pool: str
    backend: str
    state: str
    reason: str = ""
    socket: str = ""
    connected: bool | None = None
    pod: str = ""
    interface: str = ""
    mode: str = ""
    pf: str = ""
    vf_index: int | None = None
    driver: str = ""
    numa_node: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def socket_map(seen: Seen) -> tuple[Entry, ...]:
    """Devices by address, then ports by name."""
    status = seen.status or {}
    leases = {lease["device"]: lease for lease in status.get("leases") or ()}
    found = [_entry(device, leases.get(device["device"]), seen) for device in status.get("devices") or ()]
    return tuple(sorted(found, key=lambda entry: (entry.backend == OVS, entry.device)))


def _entry(device: Mapping[str, Any], lease: Mapping[str, Any] | None, seen: Seen) -> Entry:
    owner = (lease or {}).get("owner") or {}
    pod = f"{owner.get('namespace')}/{owner.get('pod')}" if owner.get("pod") else owner.get("container_id", "")
    function = seen.devices.get(device["device"])
    return Entry(
        device=device["device"],
        pool=device.get("pool", ""),
        backend=device.get("backend", ""),
        state=device.get("state", ""),
        reason=device.get("reason", ""),
        socket=device.get("socket", ""),
        connected=device.get("connected"),
        pod=pod,
        interface=owner.get("ifname", ""),
        mode=(lease or {}).get("mode", ""),
        pf=(function.physfn if function else None) or "",
        vf_index=function.vf_index if function else None,
        driver=(function.driver if function else None) or "",
        numa_node=device.get("numa_node"),
    )


def check_map(seen: Seen, expected: Mapping[str, int]) -> list[Check]:
    """``expected``: how many devices each pool shall have. Without an agent that answers nothing else can be said."""
    alive = _agent_check(seen)
    if not alive.ok:
        return [alive]
    entries = socket_map(seen)
    return [
        alive,
        *_pool_checks(entries, expected),
        *(_device_check(entry) for entry in entries),
        _list_check(seen, entries),
        _sysfs_check(seen),
        *_lease_checks(seen),
    ]


def _agent_check(seen: Seen) -> Check:
    if seen.status is None:
        state = "it has written no status"
    elif seen.status.get("boot_id") != seen.boot_id:
        state = "its status is of a former boot"
    elif seen.now - float(seen.status.get("time") or 0) > OLDEST_SECONDS:
        state = f"its status is {seen.now - float(seen.status.get('time') or 0):.0f} s old"
    else:
        wrong = [f"{name}: {said}" for name, said in (seen.status.get("backends") or {}).items() if said]
        state = "; ".join([*wrong, *map(str, seen.status.get("problems") or ())]) or "runs"
    return Check("node_agent.agent", LAYER, "agent", "runs", state, LOOK_AT_AGENT)


def _pool_checks(entries: Iterable[Entry], expected: Mapping[str, int]) -> list[Check]:
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.pool] = counts.get(entry.pool, 0) + (entry.state != "absent")
    remedy = "Compare the VFs (layer sriov) with fastpath_sriov: the agent takes those that are there"
    return [
        Check("node_agent.pool", LAYER, pool, count, counts.get(pool, 0), remedy)
        for pool, count in sorted(expected.items())
    ]


def _device_check(entry: Entry) -> Check:
    """One that only starts is on its way; one that starts again and again says why."""
    served = entry.state in HEALTHY or (entry.state == "starting" and not entry.reason)
    state = SERVED if served else entry.reason or entry.state
    return Check("node_agent.device", LAYER, entry.device, SERVED, state, LOOK_AT_AGENT)


def _list_check(seen: Seen, entries: Iterable[Entry]) -> Check:
    """socketList.dat, which others read, says what the agent says, and each socket in it is there."""
    said = AGREES
    if seen.sockets is None:
        said = "it is missing, or no such list"
    else:
        of_agent = {entry.device: entry.socket for entry in entries if entry.socket and entry.backend != OVS}
        wrong = [
            f"{address}: {seen.sockets.get(address, 'nothing')}, the agent has {of_agent.get(address, 'nothing')}"
            for address in sorted({*seen.sockets, *of_agent})
            if seen.sockets.get(address) != of_agent.get(address)
        ]
        wrong += [f"{path} is no socket" for _address, path in sorted(seen.sockets.items()) if path not in seen.there]
        said = "; ".join(wrong) or AGREES
    return Check("node_agent.socket_list", LAYER, "socketList.dat", AGREES, said, LOOK_AT_AGENT)


def _sysfs_check(seen: Seen) -> Check:
    gone = [address for address in seen.listed if address not in seen.devices]
    said = f"no function of this node: {', '.join(gone)}" if gone else AGREES
    remedy = "Who wrote pciList.dat has to write it anew; the agent does so where pci_list is pools"
    return Check("node_agent.pci_list", LAYER, "pciList.dat", AGREES, said, remedy)


def _lease_checks(seen: Seen) -> list[Check]:
    """Each socket of a pod is there, and the pod is."""
    checks = []
    for lease in (seen.status or {}).get("leases") or ():
        owner = lease.get("owner") or {}
        wrong = []
        if seen.pods and owner.get("uid") and owner["uid"] not in seen.pods:
            wrong.append(f"the kubelet knows no pod with the UID {owner['uid']}")
        if lease.get("mode") == CLIENT and lease.get("socket") not in seen.there:
            wrong.append(f"{lease.get('socket')} is no socket")
        who = f"{owner.get('namespace')}/{owner.get('pod')}" if owner.get("pod") else owner.get("container_id", "")
        target = f"{lease['device']} {who} {owner.get('ifname', '')}".strip()
        remedy = "Delete the pod so that it starts anew; a pod that is gone gives its socket back within minutes"
        checks.append(Check("node_agent.lease", LAYER, target, AGREES, "; ".join(wrong) or AGREES, remedy))
    return checks
