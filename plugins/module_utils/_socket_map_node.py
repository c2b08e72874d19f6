# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The socket map as it lies on the node."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Check
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id
from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map import Seen, check_map, socket_map

# Both names of it; files are read by the one without a link.
DIRECTORY = "/run/vdpa"
TRIES = 4
STATUS, SOCKET_LIST, PCI_LIST = "status.json", "socketList.dat", "pciList.dat"


def read_map(host: Host, kubelet: str = "/var/lib/kubelet", clock: Callable[[], float] = time.time) -> Seen:
    status = _object(host.read(f"{DIRECTORY}/{STATUS}"))
    sockets = _socket_list(host.read(f"{DIRECTORY}/{SOCKET_LIST}"))
    listed = (host.read(f"{DIRECTORY}/{PCI_LIST}") or "").split()
    named = [*(sockets or {}).values(), *(str(lease.get("socket")) for lease in (status or {}).get("leases") or ())]
    return Seen(
        status=status,
        sockets=sockets,
        listed=tuple(listed),
        devices={device.address: device for device in read_pci(host)},
        there=frozenset(_sockets(host, named)),
        pods=frozenset(host.listdir(f"{kubelet}/pods")),
        boot_id=boot_id(host),
        now=clock(),
    )


def settled_checks(
    host: Host,
    expected: Mapping[str, int],
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
) -> list[Check]:
    """The agent writes one file after the other: what differs only for a moment is no failure."""
    for _try in range(TRIES):
        seen = read_map(host, clock=clock)
        checks = check_map(seen, expected)
        if seen.status is None or all(check.ok for check in checks):
            break
        pause(1.0)
    return checks


def map_result(host: Host, params: Mapping[str, Any], clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """The module's result."""
    pools, problems = parse_node_pools(params.get("sriov"), params.get("vdpa"))
    if problems:
        raise Refused(problems)
    counts = pools.counts()
    expected = {name: counts[name] for name in params.get("pools") or () if name in counts}
    seen = read_map(host, params.get("kubelet_dir") or "/var/lib/kubelet", clock)
    checks = check_map(seen, expected)
    return {
        "changed": False,
        "entries": [entry.as_json() for entry in socket_map(seen)],
        "checks": [check.result() for check in checks],
        "failed_checks": sum(not check.ok for check in checks),
    }


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _socket_list(text: str | None) -> dict[str, str] | None:
    try:
        entries = json.loads(text or "")
        return {str(entry["pciAddress"]): str(entry["socketpath"]) for entry in reversed(entries)}
    except (ValueError, KeyError, TypeError):
        return None


def _sockets(host: Host, paths: Iterable[str]) -> Iterable[str]:
    for path in paths:
        # The agent writes paths as pods' manifests have them, by way of a link that a tree below a root need not have.
        place = path[len("/var") :] if path.startswith("/var/run/") else path
        try:
            if stat.S_ISSOCK(os.lstat(host.path(place)).st_mode):
                yield path
        except OSError:
            continue
