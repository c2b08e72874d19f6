# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which versions of the CNI specification are spoken, and what came with which."""

from __future__ import annotations

from fastpath_agent.cni.errors import INCOMPATIBLE_VERSION, CniError

SUPPORTED = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
NEWEST = SUPPORTED[-1]
# The command and the first version that has it.
SINCE = {"ADD": "0.3.1", "DEL": "0.3.1", "CHECK": "0.4.0", "STATUS": "1.1.0", "GC": "1.1.0"}


def at_least(version: str, wanted: str) -> bool:
    return SUPPORTED.index(version) >= SUPPORTED.index(wanted)


def negotiated(version: object, command: str) -> str:
    """The configuration's version, if this plugin and this command exist in it."""
    if version not in SUPPORTED:
        said = f"says cniVersion {version!r}"[:100] if version is not None else "has no cniVersion"
        raise CniError(
            INCOMPATIBLE_VERSION,
            "incompatible CNI versions",
            f"the network configuration {said}; this plugin supports {', '.join(SUPPORTED)}",
        )
    if not at_least(str(version), SINCE[command]):
        raise CniError(
            INCOMPATIBLE_VERSION,
            f"CNI version {version} does not allow {command}",
            f"{command} came with CNI version {SINCE[command]}",
        )
    return str(version)
