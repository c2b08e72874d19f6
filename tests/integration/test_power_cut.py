# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Power is cut in the middle of an apply, at a random point: the next run finishes.

Each round cuts both nodes, each at a point of its own. No reboot for the boot arguments is part of it: the cut is one.
Not compared after teardown, and still to be: the records in /var/lib/fastpath, and the command line of a further boot.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nodes import CHECKOUT, PAIR, difference, fingerprint, lab, playbook, ssh

ROUNDS = [pytest.param(number, marks=[pytest.mark.slow] if number else []) for number in range(5)]
SEED = int(os.environ.get("FASTPATH_SEED", "20261121"))
FIRST_TRACE = "/usr/libexec/fastpath"
LONGEST_APPLY_SECONDS = 40.0
BOTH_AT_ONCE = ("--extra-vars", json.dumps({"fastpath_serial": 2, "fastpath_reboot_ok": False}))
# What only a further reboot would give back.
LEFT_FOR_A_REBOOT = ("/cmdline", "/files//var/lib/fastpath")


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
        lab("reset", node)
    finally:
        apply.kill()
        apply.wait(30)


@pytest.mark.parametrize("number", ROUNDS)
def test_the_next_run_finishes(fresh, number):
    start = {node: fingerprint(node) for node in PAIR}
    points = random.Random(f"{SEED} {number}")
    delays = {node: points.uniform(0, LONGEST_APPLY_SECONDS) for node in PAIR}
    print(f"power is cut after {delays}")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: cut_power_in_the_middle(node, delays[node]), PAIR))
    playbook("node_roles").must_pass()
    assert playbook("node_roles").must_pass().changed() == dict.fromkeys(PAIR, 0)
    for node in PAIR:
        ssh(
            node,
            "for file in /etc/fastpath/*.json /var/lib/fastpath/*.json; do python3 -m json.tool $file || exit; done",
        )
    playbook("teardown", *BOTH_AT_ONCE).must_pass()
    for node in PAIR:
        left = [line for line in difference(start[node], fingerprint(node)) if not line.startswith(LEFT_FOR_A_REBOOT)]
        assert left == []
