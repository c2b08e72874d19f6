# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first process of the container: what it starts comes back, until it is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import running, wait_for

AGENT = Path(__file__).resolve().parents[3] / "agent"
KEEP = """
import sys
from fastpath_agent import keeper
keeper.FIRST_PAUSE = 0.02
sys.exit(keeper.Keeper([sys.executable, "-IS", "-c", {script!r}]).run())
"""
# Says that it runs, and ends with 7 when it is told to.
LIVES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
open({path!r}, "a").write(f"{{os.getpid()}}\\n")
time.sleep(60)
"""


@pytest.fixture
def keep(place, tmp_path):
    kept = []

    def begin(script: str) -> subprocess.Popen:
        checkout = Path(__file__).resolve().parents[3] / ".build/collections"
        environment = {**os.environ, "PYTHONPATH": f"{AGENT}:{checkout}"}
        process = subprocess.Popen(
            [sys.executable, "-c", KEEP.format(script=script)], env=environment, stderr=subprocess.PIPE, text=True
        )
        kept.append(process)
        return process

    yield begin
    for process in kept:
        process.terminate()
        process.communicate(timeout=10)


def pids(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def test_a_killed_agent_comes_back_and_its_keeper_ends_with_it(keep, place):
    path = place / "pids"
    process = keep(LIVES.format(path=str(path)))
    wait_for(lambda: len(pids(path)) == 1, "the agent")
    os.kill(pids(path)[0], signal.SIGKILL)
    wait_for(lambda: len(pids(path)) == 2, "the agent again")
    process.terminate()
    _out, said = process.communicate(timeout=10)
    assert process.returncode == 7
    assert not running(pids(path)[1])
    assert "SIGKILL" in said


def test_an_agent_that_ends_at_once_is_started_at_growing_intervals(keep, place):
    path = place / "pids"
    process = keep(f"open({str(path)!r}, 'a').write('1\\n'); raise SystemExit(3)")
    wait_for(lambda: len(pids(path)) >= 3, "three starts")
    process.terminate()
    _out, said = process.communicate(timeout=10)
    assert process.returncode in (3, 128 + signal.SIGTERM)
    assert "exit code 3; it is started again in 0.02 s" in said
    assert "again in 0.04 s" in said


def test_the_end_of_the_container_waits_for_no_pause(keep, place, monkeypatch):
    monkeypatch.setitem(globals(), "KEEP", KEEP.replace("FIRST_PAUSE = 0.02", "FIRST_PAUSE = 25"))
    path = place / "pids"
    process = keep(f"open({str(path)!r}, 'a').write('1\\n'); raise SystemExit(3)")
    assert process.stderr is not None
    assert "again in 25 s" in process.stderr.readline()
    process.terminate()
    assert process.wait(timeout=5) == 3
    assert len(pids(path)) == 1


def test_what_an_agent_leaves_is_adopted_and_reaped(keep, place):
    path = place / "pids"
    script = (
        "import os, time\n"
        "if not os.fork():\n"
        "    os.fork() and os._exit(0)\n"
        "    time.sleep(0.1)\n"
        f"    open({str(path)!r}, 'a').write(f'{{os.getpid()}}\\n{{os.getppid()}}\\n')\n"
        "    os._exit(0)\n"
        "time.sleep(60)\n"
    )
    process = keep(script)
    wait_for(lambda: len(pids(path)) == 2, "an orphan")
    orphan, parent = pids(path)
    assert parent == process.pid
    wait_for(lambda: not os.path.exists(f"/proc/{orphan}"), "its end")
