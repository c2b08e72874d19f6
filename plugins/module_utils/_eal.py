# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Starts DPDK's environment layer for a moment, to know that it works on this node."""

from __future__ import annotations

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

SECONDS = 120
# Two logical cores on one CPU: testpmd wants one for itself, and a node may have only one to spare.
_EAL = ("--lcores", "(0-1)@0", "--no-pci", "--no-telemetry", "--file-prefix", "fastpath-check", "--vdev", "net_null0")
_TESTPMD = ("--", "--no-mlockall", "--total-num-mbufs=2048", "--nb-cores=1")
WITHOUT_PAGES = ("--no-huge", "-m", "256")
WITH_PAGES = ("--in-memory", "-m", "64")
WORKS = "works"


def start_eal(host: Host, program: str, memory: tuple[str, ...]) -> str:
    """``works``, or what DPDK said. testpmd starts, forwards on a null port, and ends at the first line it reads."""
    done = host.run([program, *_EAL, *memory, *_TESTPMD], timeout=SECONDS, stdin="\n")
    if done.rc == 0:
        return WORKS
    lines = [line.strip() for line in (done.err + "\n" + done.out).splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "annot" in line or "ailed" in line] or lines[-3:]
    return f"exit code {done.rc}: " + "; ".join(telling[:4])
