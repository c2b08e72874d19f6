# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Versions of Kubernetes and containerd, and which of them go together. No I/O."""

from __future__ import annotations

import re
from typing import Any

Version = tuple[int, int, int]

OLDEST: Version = (1, 16, 0)
# For what is put into a cluster.
OLDEST_CLUSTER: Version = (1, 24, 0)
NEWEST = "1.36"
# Further configuration beside the main file is read from here on.
DROP_INS: Version = (1, 30, 0)
MEMORY_MANAGER: Version = (1, 22, 0)
OLDEST_CONTAINERD: Version = (1, 6, 0)
# Only the first version of the runtime interface is spoken from here on, and the one before it no more.
CRI_V1_ONLY: Version = (1, 26, 0)
SPEAKS_CRI_V1: Version = (1, 23, 0)
CONTAINERD_CRI_V1_ONLY: Version = (2, 0, 0)
# The runtime has to say which driver of control groups it uses (RuntimeConfig), which containerd 2 does.
ASKS_RUNTIME: Version = (1, 37, 0)
WARNS_OF_RUNTIME: Version = (1, 36, 0)


def parse_version(value: Any) -> Version | None:
    """Out of ``1.36``, ``v1.36.3`` or what a distribution makes of it; None where it is no version."""
    match = re.match(r"v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?(?![0-9])", str(value)) if isinstance(value, str) else None
    return (int(match.group(1)), int(match.group(2)), int(match.group(3) or 0)) if match else None


def version_said(text: str) -> str | None:
    """The version in what ``--version`` of containerd or the kubelet prints."""
    found = next((word for word in text.split() if re.match(r"v?[0-9]+\.[0-9]+\.[0-9]+", word)), None)
    return found.lstrip("v") if found else None


def shown(version: Version) -> str:
    return ".".join(map(str, version if version[2] else version[:2]))


def too_old(version: Version) -> str:
    """Why a version of Kubernetes cannot be served; empty where it can."""
    if version >= OLDEST:
        return ""
    return (
        f"is older than {shown(OLDEST)}: definitions of kinds of version v1 and server-side apply, by which everything "
        "of a cluster is brought about, came with that one"
    )


def cluster_too_old(version: Version) -> str:
    """Why a cluster of a version cannot be served; empty where it can."""
    if version >= OLDEST_CLUSTER:
        return ""
    return (
        f"is older than {shown(OLDEST_CLUSTER)}, the oldest that is supported: definitions of kinds of version v1 and "
        f"server-side apply came with {shown(OLDEST)}, evictions of version policy/v1 with 1.22"
    )


def runtime_problem(kubelet: Version | None, containerd: Version) -> str:
    """Why a containerd does not serve a kubelet; empty where it does, or no kubelet is known yet."""
    if containerd < OLDEST_CONTAINERD:
        return f"is older than {shown(OLDEST_CONTAINERD)}, the first that speaks version v1 of the runtime interface"
    if kubelet is None:
        return ""
    if kubelet < SPEAKS_CRI_V1 and containerd >= CONTAINERD_CRI_V1_ONLY:
        return f"speaks only version v1 of the runtime interface, kubelet {shown(kubelet)} does not: use containerd 1.7"
    if kubelet >= ASKS_RUNTIME and containerd < CONTAINERD_CRI_V1_ONLY:
        return f"does not answer RuntimeConfig, without which kubelet {shown(kubelet)} does not start: use containerd 2"
    return ""


def runtime_warning(kubelet: Version | None, containerd: Version) -> str:
    if kubelet is not None and WARNS_OF_RUNTIME <= kubelet < ASKS_RUNTIME and containerd < CONTAINERD_CRI_V1_ONLY:
        return (
            f"containerd {shown(containerd)} is good enough for kubelet {shown(kubelet)}, but no longer for "
            f"{shown(ASKS_RUNTIME)}: go to containerd 2 before."
        )
    return ""
