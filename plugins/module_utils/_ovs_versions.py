# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which DPDK belongs to which Open vSwitch, after its release FAQ. No I/O."""

from __future__ import annotations

import re

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem

# A DPDK release line by the Open vSwitch release lines that are made for it.
MATRIX: dict[tuple[int, int], str] = {
    (2, 9): "17.11",
    (2, 10): "17.11",
    (2, 11): "18.11",
    (2, 12): "18.11",
    (2, 13): "19.11",
    (2, 14): "19.11",
    (2, 15): "20.11",
    (2, 16): "20.11",
    (2, 17): "21.11",
    (3, 0): "21.11",
    (3, 1): "22.11",
    (3, 2): "22.11",
    (3, 3): "23.11",
    (3, 4): "23.11",
    (3, 5): "24.11",
    (3, 6): "24.11",
    (3, 7): "25.11",
}
FITS, DIFFERS, UNKNOWN = "fits", "differs", "unknown"


def parse_version_output(text: str) -> tuple[str | None, str | None]:
    """Versions of Open vSwitch and DPDK out of ``ovs-vswitchd --version``; None: not there."""
    ovs = re.search(r"\(Open vSwitch\)\s+([0-9][^\s]*)", text)
    dpdk = re.search(r"^DPDK\s+([0-9][^\s]*)", text, re.MULTILINE)
    return (ovs.group(1) if ovs else None), (dpdk.group(1) if dpdk else None)


def expected_dpdk(ovs_version: str) -> str | None:
    """The release line such as ``24.11``; None for a version that the matrix does not know."""
    match = re.match(r"([0-9]+)\.([0-9]+)", ovs_version)
    return MATRIX.get((int(match.group(1)), int(match.group(2)))) if match else None


def judge(ovs_version: str, dpdk_version: str) -> str:
    expected = expected_dpdk(ovs_version)
    if expected is None:
        return UNKNOWN
    return FITS if re.match(re.escape(expected) + r"(?![0-9])", dpdk_version) else DIFFERS


def pair_problems(ovs_version: str, dpdk_version: str) -> list[Problem]:
    """What speaks against building one with the other."""
    if judge(ovs_version, dpdk_version) != DIFFERS:
        return []
    pair = f"Open vSwitch {ovs_version} with DPDK {dpdk_version}"
    wanted = expected_dpdk(ovs_version)
    message = f"is a pair that does not belong together: it is made for DPDK {wanted}. Change fastpath_artefacts."
    return [Problem("fastpath_artefacts", pair, message)]
