# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power is cut in the middle of an apply, at a random point: the next run finishes, nothing is lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nodes import CHECKOUT, difference, fingerprint, lab, playbook, ssh

SHORT_FORM = 1
FULL_FORM = 10
SEED = int(os.environ.get("FASTPATH_SEED", "20261121"))
ROUNDS = [pytest.param(number, marks=[] if number < SHORT_FORM else [pytest.mark.slow]) for number in range(FULL_FORM)]
START_MARK = "/etc/fastpath"
LONGEST_APPLY_SECONDS = 45.0


def start_apply() -> subprocess.Popen:
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    path = str(CHECKOUT / "tests/integration/playbooks/node_roles.yml")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}
    return subprocess.Popen(
        [ansible, path, "--limit", "node1"],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def cut_power_in_the_middle(delay: float) -> bool:
    """Start the roles, wait ``delay`` seconds from the first trace of them on the node, cut; False: they were done."""
    apply = start_apply()
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and "there" not in ssh("node1", f"[ ! -e {START_MARK} ] || echo there"):
            assert apply.poll() is None or apply.returncode == 0
        time.sleep(delay)  # the random point itself, not a wait for something
        in_the_middle = apply.poll() is None
        lab("reset", "node1")
        return in_the_middle
    finally:
        apply.kill()
        apply.wait(30)


@pytest.mark.parametrize("number", ROUNDS)
def test_the_next_run_finishes(fresh_node, number):
    start = fingerprint(fresh_node)
    delay = random.Random(f"{SEED} {number}").uniform(0, LONGEST_APPLY_SECONDS)
    cut_power_in_the_middle(delay)
    again = playbook("site", "--limit", "node1").must_pass()
    assert again.recap["node1"]["failed"] == 0
    assert playbook("site", "--limit", "node1").must_pass().changed() == {"node1": 0}
    for path in ssh("node1", "ls /etc/fastpath/*.json /var/lib/fastpath/*.json").split():
        json.loads(ssh("node1", f"cat {path}"))
    playbook("teardown", "--limit", "node1").must_pass()
    assert difference(start, fingerprint(fresh_node)) == []
