# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a node brings to its cluster: devices by pool, which boot this is, and whether Multus answers."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import fingerprint, parse_node_pools
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._multus_node import (
    Probe,
    multus_unmet,
    probe_socket,
    read_multus,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._pool_discovery import find_devices
from ansible_collections.nfv.fastpath.plugins.module_utils._reboot import boot_id


def member(host: Host, params: Mapping[str, Any], dry_run: bool = False, probe: Probe = probe_socket) -> dict[str, Any]:
    """The module's result; waits for Multus where that is asked for, but for a dry run, in which nobody brings it."""
    pools, problems = parse_node_pools(params["sriov"], params["vdpa"])
    if problems:
        raise Refused(problems)
    if params["multus"] != "none" and not dry_run:
        _wait_for_multus(host, params, probe)
    devices = find_devices(host, pools.slices)
    return {
        "changed": False,
        "devices": [part.as_json() for part in devices],
        "fingerprint": fingerprint(devices),
        "boot_id": boot_id(host),
    }


def _wait_for_multus(host: Host, params: Mapping[str, Any], probe: Probe) -> None:
    unmet: list[str] = []

    def answers() -> bool:
        unmet[:] = multus_unmet(
            read_multus(host, params["cni_bin_dir"], params["cni_config_dir"], probe), params["multus"]
        )
        return not unmet

    try:
        host.wait_for(answers, params["wait_timeout"], "Multus")
    except FastpathError as late:
        raise FastpathError(
            f"Multus does not answer on {platform.node()} after {params['wait_timeout']:g} s: {'; '.join(unmet)}. "
            "Pods that start now would get their default network only."
        ) from late
