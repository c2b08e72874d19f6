# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab comes up fast, leaves nothing, heals what was killed, and does not meet another."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lab_traces import PREFIX, machine, traces

pytestmark = pytest.mark.lab

PROGRAM = Path(__file__).resolve().parents[2] / "lab/lab"
WARM_SECONDS = 15.0


def nothing(lab):
    return {kind: found for kind, found in traces(lab).items() if found}


def program(name, *arguments):
    environment = {**os.environ, "FASTPATH_LAB": f"{PREFIX}-{name}"}
    return subprocess.Popen(
        [str(PROGRAM), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts():
    """Started in the background by a shell, the tests ignore SIGINT, and so would all that they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_fresh_pair_in_time_and_nothing_left(labs):
    lab = labs("warm")
    lab.build()
    lab.up()
    lab.down()  # the saved states are in the cache now
    before = machine()
    start = time.monotonic()
    lab.up()
    took = time.monotonic() - start
    assert all(lab.ssh(name, "true").returncode == 0 for name in ("node1", "node2"))
    lab.down()
    assert took <= WARM_SECONDS
    assert nothing(lab) == {}
    assert machine() == before


def test_second_up_changes_nothing(labs):
    lab = labs("twice")
    assert lab.up(["node1"]) == ["node1"]
    pids = lab.status()["nodes"]["node1"]["pids"]
    assert lab.up(["node1"]) == []
    assert lab.status()["nodes"]["node1"]["pids"] == pids


def test_two_labs_do_not_meet(labs):
    one, two = labs("one"), labs("two")
    one.up(["node1"])
    two.up(["node1", "node2"])
    one.ssh("node1", "echo one > /root/lab")
    two.ssh("node1", "echo two > /root/lab")
    assert one.ssh("node1", "cat /root/lab").stdout == "one\n"
    assert one.ssh("node1", "ping -c 1 -W 2 10.77.0.12", check=False).returncode != 0
    assert two.ssh("node1", "ping -c 1 -W 5 10.77.0.12").returncode == 0
    two.down()
    assert nothing(two) == {}
    assert one.ssh("node1", "cat /root/lab").stdout == "one\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_up_leaves_nothing(labs, number):
    lab = labs("stop")
    running = program("stop", "up")
    time.sleep(random.uniform(0.2, 2.0))  # the moment is the subject
    running.send_signal(number)
    out, _err = running.communicate(timeout=60)
    assert running.returncode == 130, out
    assert nothing(lab) == {}


def killed_at_random_points(labs, times):
    lab = labs("kill")
    for _round in range(times):
        running = program("kill", "up")
        moment = random.uniform(0.05, 4.0)
        time.sleep(moment)  # the moment is the subject
        running.kill()
        running.communicate(timeout=30)
        if random.random() < 0.5:
            lab.down()
            assert nothing(lab) == {}, f"killed after {moment:.2f} s"
        else:
            lab.up()
            assert lab.ssh("node1", "hostname").stdout == "node1\n", f"killed after {moment:.2f} s"
            assert lab.ssh("node2", "hostname").stdout == "node2\n", f"killed after {moment:.2f} s"
    lab.down()
    assert nothing(lab) == {}


def test_killed_up_is_healed(labs):
    killed_at_random_points(labs, 3)


@pytest.mark.slow
def test_killed_up_is_healed_many_times(labs):
    killed_at_random_points(labs, 20)


def test_name_of_another_checkout_is_refused(labs, tmp_path):
    from fastpath_lab import Lab, LabError

    lab = labs("mine")
    lab.up(["node1"])
    other = Lab(lab.name, lab.topology, lab.cache, tmp_path)
    for command in (other.up, other.down):
        with pytest.raises(LabError, match="is taken by the lab of"):
            command()
    assert lab.ssh("node1", "true").returncode == 0
