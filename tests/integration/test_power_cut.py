# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power is cut in the middle of an apply, at a random point: the next run finishes, and nothing is lost.

Each test cuts a node at a point of its own, and ends where it started, compared by content.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nodes import CHECKOUT, difference, fingerprint, lab, playbook, ssh

pytestmark = pytest.mark.one_node
CUTS = [pytest.param(number, marks=[pytest.mark.slow] if number else []) for number in range(10)]
SEED = int(os.environ.get("FASTPATH_SEED", "20261121"))
FIRST_TRACE = "/usr/libexec/fastpath"
LONGEST_APPLY_SECONDS = 40.0


def start_apply(node: str) -> subprocess.Popen:
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    path = str(CHECKOUT / "tests/integration/playbooks/node_roles.yml")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    return subprocess.Popen(
        [ansible, path, "--limit", node],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_the_first_trace(node: str, apply: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while "there" not in ssh(node, f"[ ! -e {FIRST_TRACE} ] || echo there"):
        assert apply.poll() is None, f"the roles ended with {apply.returncode} before they changed {node}"
        assert time.monotonic() < deadline


def cut_power_in_the_middle(node: str, delay: float) -> None:
    apply = start_apply(node)
    try:
        wait_for_the_first_trace(node, apply)
        time.sleep(delay)  # the random point itself, not a wait for something
        lab("kill", node)
    finally:
        apply.kill()
        apply.wait(30)


@pytest.mark.parametrize("number", CUTS)
def test_the_next_run_finishes(fresh_node, number):
    node, start = fresh_node, fingerprint(fresh_node)
    delay = random.Random(f"{SEED} {number}").uniform(0, LONGEST_APPLY_SECONDS)
    print(f"power is cut after {delay:.1f} s")
    cut_power_in_the_middle(node, delay)
    lab("start", node)
    playbook("site", "--limit", node).must_pass()
    assert playbook("node_roles", "--limit", node).must_pass().changed() == {node: 0}
    playbook("teardown", "--limit", node).must_pass()
    assert difference(start, fingerprint(node)) == []


def test_boot_arguments_are_in_their_place_when_their_task_ends(fresh_node):
    """A boot loader replays no journal, so a file that is safe for the kernel may be unseen by the next boot."""
    playbook("boot_arguments", "--limit", fresh_node).must_pass()
    lab("reset", fresh_node)
    assert "iommu=pt" in ssh(fresh_node, "cat /proc/cmdline")
