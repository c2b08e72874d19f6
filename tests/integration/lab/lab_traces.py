# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a lab leaves behind, and what of the machine must not change."""

from __future__ import annotations

import os
from pathlib import Path

from fastpath_lab import Lab, network, process, services

PREFIX = f"t{os.getpid()}"


def traces(lab: Lab) -> dict[str, list[str]]:
    """Return everything that a lab can leave on the machine."""
    names = {f"{lab.owner}#{name}" for name in ("uplink", *services.PROCESSES, *lab.topology.nodes)}
    return {
        "processes": [str(pid) for name in names for pid in process.owned(name)],
        "namespaces": [lab.netns] if network.exists(lab.netns) else [],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if lab.name in line],
        "links": [name for name in os.listdir("/sys/class/net") if lab.name in name],
        "folders": [str(lab.run_dir)] if lab.run_dir.exists() else [],
        "cluster": [str(path) for path in (lab.state / "control-plane", lab.state / "kubeconfig") if path.exists()],
        "disks": [str(path) for path in lab.state.glob("nodes/*")],
    }


def machine() -> dict[str, set[str]]:
    """Return what of the whole machine must be the same before and after a lab."""
    return {
        "mounts": {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()},
        "links": set(os.listdir("/sys/class/net")),
        "forwarding": {Path("/proc/sys/net/ipv4/ip_forward").read_text()},
    }
