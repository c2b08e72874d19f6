# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, end to end, on the lab's nodes: plan, apply, apply again, verify; then a summary.

Exit code 0 says that every step passed and that the second run changed nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
REPORT = CHECKOUT / ".lab/report"
CHANGED = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    title: str
    playbook: str
    may_change: bool = True


STEPS = (
    Step("What would change, and why", "plan", may_change=False),
    Step("Apply it: one batch a node, one reboot each", "site"),
    Step("Apply it again: nothing may change", "site", may_change=False),
    Step("Verify", "verify", may_change=False),
)


def run(step: Step) -> tuple[int, str]:
    """Run a playbook with its output shown as it comes; returns exit code and output."""
    argv = ["ansible-playbook", f"playbooks/{step.playbook}.yml"]
    lines = []
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def changed_nodes(output: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return [node for node, number in CHANGED.findall(plain) if int(number) and node != "localhost"]


def verdict(step: Step, code: int, output: str) -> str:
    if code:
        return f"failed with exit code {code}"
    if step.playbook == "site" and not step.may_change and changed_nodes(output):
        return f"changed {', '.join(changed_nodes(output))}, though nothing was left to do"
    return ""


def summary(done: list[tuple[Step, float, str]]) -> str:
    lines = ["", "Summary"]
    lines += [f"  {seconds:6.0f} s  {step.title}: {wrong or 'ok'}" for step, seconds, wrong in done]
    if (REPORT / "report.json").exists():
        checks = json.loads((REPORT / "report.json").read_text())["checks"]
        for node in sorted({check["node"] for check in checks}):
            own = [check for check in checks if check["node"] == node]
            lines.append(f"  {node}: {sum(check['ok'] for check in own)} of {len(own)} checks passed")
        lines.append(f"  report: {REPORT / 'index.html'}")
    lines.append("  the nodes stay up: make lab-ssh NODE=node1; make lab-down")
    return "\n".join(lines)


def main() -> int:
    done: list[tuple[Step, float, str]] = []
    for number, step in enumerate(STEPS, 1):
        print(f"\n=== {number} of {len(STEPS)}: {step.title} (playbooks/{step.playbook}.yml)", flush=True)
        started = time.monotonic()
        code, output = run(step)
        done.append((step, time.monotonic() - started, verdict(step, code, output)))
        if done[-1][2]:
            break
    print(summary(done))
    return 1 if any(wrong for _step, _seconds, wrong in done) else 0


if __name__ == "__main__":
    sys.exit(main())
