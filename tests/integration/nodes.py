# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab as tests see it: nodes to log in to, playbooks to run, states to go back to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = str(CHECKOUT / "tests/lab/lab")
REPORT = CHECKOUT / ".lab/report"
PAIR = ("node1", "node2")
# Tests that need one node run two at a time; each of the two workers has a node of its own.
OWN = PAIR[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % len(PAIR)]
FINGERPRINT = (CHECKOUT / "tests/integration/fingerprint.py").read_text()
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Play:
    """What a playbook run left: exit code, output, and per node the numbers of its recap."""

    rc: int
    out: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        names = ("ok", "changed", "unreachable", "failed")
        return {row[0]: dict(zip(names, map(int, row[1:]))) for row in RECAP.findall(self.out)}

    def changed(self) -> dict[str, int]:
        return {node: numbers["changed"] for node, numbers in self.recap.items() if node != "localhost"}

    def must_pass(self) -> Play:
        assert self.rc == 0, self.out[-6000:]
        return self

    def must_fail(self, *texts: str) -> Play:
        assert self.rc != 0, self.out[-6000:]
        flat = re.sub(r"\s+", " ", self.out)
        for text in texts:
            assert text in flat, f"{text!r} is not in the output:\n{self.out[-6000:]}"
        return self


def lab(*argv: str, timeout: float = 900) -> str:
    done = subprocess.run([LAB, *argv], cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"lab {' '.join(argv)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def ssh(node: str, command: str, stdin: str = "", timeout: float = 120) -> str:
    argv = [LAB, "ssh", node, command]
    done = subprocess.run(argv, cwd=CHECKOUT, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{node}: {command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def playbook(name: str, *argv: str, timeout: float = 1500, prefix: Sequence[str] = ()) -> Play:
    """Run a playbook of the collection, or one of ``tests/integration/playbooks``, on the lab's nodes.

    ``prefix``: a command that runs it, such as ``unshare``.
    """
    own = CHECKOUT / "tests/integration/playbooks" / f"{name}.yml"
    path = own if own.exists() else CHECKOUT / "playbooks" / f"{name}.yml"
    environment = {**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    ansible = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [*prefix, ansible, str(path), *argv],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Play(done.returncode, done.stdout + done.stderr)


def with_spec(**variables: Any) -> tuple[str, str]:
    """Extra variables for ``playbook``: they win over the inventory's."""
    return ("--extra-vars", json.dumps(variables))


BOTH_AT_ONCE = with_spec(fastpath_serial=2)


def fingerprint(node: str) -> dict[str, Any]:
    """All that the collection might change on a node; two equal ones mean an untouched node."""
    return json.loads(ssh(node, "python3 -", stdin=FINGERPRINT))


def difference(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths and values at which two fingerprints differ, as readable lines."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(set(before) | set(after))
        return [line for key in keys for line in difference(before.get(key), after.get(key), f"{path}/{key}")]
    return [] if before == after else [f"{path}: {before!r} -> {after!r}"]


def difference_but_for_accounts(before: Any, after: Any) -> list[str]:
    """Debian's packages never take users and groups away again that they made for their services."""
    lines = difference(before, after)
    return [line for line in lines if not re.match(r"/files//etc/(passwd|group|shadow|gshadow)-?: ", line)]


def keep_journal(node: str) -> None:
    """From now on the node's journal outlives a reboot, so that boots can be counted."""
    ssh(node, "mkdir -p /var/log/journal && systemctl restart systemd-journald && journalctl --flush")


def must_be_running(node: str) -> None:
    """Wait until the node's boot is over; no unit may have failed in it."""
    state = ssh(node, "systemctl is-system-running --wait || systemctl --failed --plain --no-legend", timeout=300)
    assert state.strip() == "running"


def boots(node: str) -> int:
    """How many boots the node's journal knows; ``keep_journal`` was called in the first of them."""
    return len(json.loads(ssh(node, "journalctl --list-boots --no-pager --output json")))


def boot_id(node: str) -> str:
    return ssh(node, "cat /proc/sys/kernel/random/boot_id").strip()
