# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long tasks take in a play of ansible-playbook, by its own clock, without what it costs to begin a play."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
Tasks = list[dict[str, Any]]
# The first task of every play: plugins are loaded and a connection is there afterwards.
BEGIN: Tasks = [{"ansible.builtin.ping": {}}]
HERE = ("-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}")


def task_seconds(
    tasks: Tasks, folder: Path, hosts: str = "localhost", argv: tuple[str, ...] = HERE, **variables: str
) -> float:
    """Seconds from the end of a first, empty task to the end of the last of ``tasks``, each of which must pass.

    ``argv`` is for ansible-playbook, ``variables`` are of its environment.
    """
    path = folder / "play.yml"
    path.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": BEGIN + tasks}]))
    fixed = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".build/collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    done = subprocess.run(
        ["ansible-playbook", *argv, str(path)],
        cwd=CHECKOUT,
        env={**os.environ, **fixed, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout[-6000:] + done.stderr[-3000:])
    return seconds_after_the_first(json.loads(done.stdout)["plays"][0]["tasks"])


def run(argv: list[str]) -> str:
    """What a command that must succeed says."""
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def seconds_after_the_first(tasks: list[Mapping[str, Any]]) -> float:
    ends = [datetime.fromisoformat(task["task"]["duration"]["end"]) for task in tasks]
    return (ends[-1] - ends[0]).total_seconds()
