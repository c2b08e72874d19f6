# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job, end to end, on the lab's nodes: plan, apply, apply again, pods with packets, verify; then a summary.

Exit code 0 says that every step passed, that the second run changed nothing, and that pods have what they asked for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests/integration"))

from cluster import CLUSTER, examples, start  # noqa: E402
from example_pods import packets_go_across, the_program_has_its_device, two_networks_are_two_interfaces  # noqa: E402
from nodes import LAB  # noqa: E402

REPORT = CHECKOUT / ".lab/report"
CHANGED = re.compile(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)


def start_pods() -> str:
    """Start the pods of the examples and look from inside of them; returns what was seen."""
    start(examples())
    checks = (packets_go_across, the_program_has_its_device, two_networks_are_two_interfaces)
    return "\n".join(check() for check in checks)


@dataclass(frozen=True)
class Step:
    """A playbook, or ``work`` where it is none; that fails by an AssertionError."""

    title: str
    playbook: str = ""
    may_change: bool = True
    work: Callable[[], str] | None = None


STEPS = (
    Step("What would change, and why", "plan", may_change=False),
    Step("Apply it: one batch a node, one reboot each", "site"),
    Step("Apply it again: nothing may change", "site", may_change=False),
    Step("Pods with VFs on both nodes, and packets between them", work=start_pods),
    Step("Verify", "verify", may_change=False),
)


def run(step: Step) -> tuple[int, str]:
    """Run a step with its output shown as it comes; returns exit code and output."""
    if step.work:
        try:
            said = step.work()
        except AssertionError as failure:
            print(failure, flush=True)
            return 1, str(failure)
        print(said, flush=True)
        return 0, said
    argv = ["ansible-playbook", *CLUSTER, f"playbooks/{step.playbook}.yml"]
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


def summary(done: list[tuple[Step, float, str]], seen: str) -> str:
    """``seen``: what was looked at from inside of pods, a line each."""
    lines = ["", "Summary"]
    lines += [f"  {seconds:6.0f} s  {step.title}: {wrong or 'ok'}" for step, seconds, wrong in done]
    lines += [f"  {text}" for text in seen.splitlines()]
    if (REPORT / "report.json").exists():
        checks = json.loads((REPORT / "report.json").read_text())["checks"]
        for node in sorted({check["node"] for check in checks}):
            own = [check for check in checks if check["node"] == node]
            lines.append(f"  {node}: {sum(check['ok'] for check in own)} of {len(own)} checks passed")
        lines.append(f"  report: {REPORT / 'index.html'}")
    lines += [f"  {text}" for text in stand_ins(cluster_status())]
    lines.append("  nodes and cluster stay up: make lab-ssh NODE=node1; tests/lab/lab kubectl get pods; make lab-down")
    return "\n".join(lines)


def cluster_status() -> dict[str, Any]:
    argv = [LAB, "control-plane", "status", "--json"]
    return dict(json.loads(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout))


def stand_ins(status: Mapping[str, Any]) -> list[str]:
    """What of the cluster is another version, or replaced, since its source could not be had here."""
    texts = [*status.get("without", {}).values(), *status.get("stands_in", {}).values()]
    if "sriov-cni" in status.get("without", {}):
        texts.append(
            "so the networks fast and dpdk are of type host-device: VFs are in the pods as before, without a VLAN"
        )
    return texts


def irreplaceable(status: Mapping[str, Any]) -> list[str]:
    """What the pods cannot do without, and is missing."""
    return [text for name, text in status.get("without", {}).items() if name != "sriov-cni"]


def main() -> int:
    status = cluster_status()
    print("\n".join(stand_ins(status)), flush=True)
    if irreplaceable(status):
        print("No pod can have its network like this: put the source into a mirror folder (FASTPATH_MIRROR).")
        return 1
    done: list[tuple[Step, float, str]] = []
    seen = ""
    for number, step in enumerate(STEPS, 1):
        source = f"playbooks/{step.playbook}.yml" if step.playbook else "examples/pods.yml"
        print(f"\n=== {number} of {len(STEPS)}: {step.title} ({source})", flush=True)
        started = time.monotonic()
        code, output = run(step)
        done.append((step, time.monotonic() - started, verdict(step, code, output)))
        seen += output if step.work else ""
        if done[-1][2]:
            break
    print(summary(done, seen))
    return 1 if any(wrong for _step, _seconds, wrong in done) else 0


if __name__ == "__main__":
    sys.exit(main())
