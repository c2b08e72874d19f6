# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the parts of the test suite, two at a time where they do not share the lab, and sums up.

Usage: ``run.py [PART...]``; without a part, all of them. Each part's output goes to ``.lab/log/PART.log`` and is shown
when the part failed. The last line counts the tests of all parts.
"""

from __future__ import annotations

import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools import bounded

CHECKOUT = Path(__file__).resolve().parents[1]
LOG = CHECKOUT / ".lab/log"
LAB = str(CHECKOUT / "tests/lab/lab")


@dataclass(frozen=True)
class Part:
    """Commands that are run one after the other; ``uses_lab`` parts run alone, after the others."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    uses_lab: bool = False
    limit_seconds: int = 2400


@dataclass(frozen=True)
class Outcome:
    """``passed``, ``failed`` and ``skipped`` count tests where the part counts them, else the part itself.

    ``why_skipped``: pytest's lines about skipped tests.
    """

    part: Part
    seconds: float
    passed: int
    failed: int
    skipped: int
    why_skipped: tuple[str, ...] = ()


def parts(make: str = "make") -> list[Part]:
    def target(*names: str) -> tuple[tuple[str, ...], ...]:
        return tuple((make, "--no-print-directory", name) for name in names)

    return [
        Part("lab-build", target("lab-build"), limit_seconds=3600),
        Part("lint", target("lint")),
        Part("unit", target("unit")),
        Part("sanity", target("sanity")),
        Part("playbooks", target("playbooks")),
        Part("molecule", target("molecule"), uses_lab=True, limit_seconds=3600),
        Part("integration", target("integration"), uses_lab=True, limit_seconds=4200),
    ]


def run(part: Part) -> Outcome:
    started = time.monotonic()
    log = LOG / f"{part.name}.log"
    with log.open("w") as output:
        code = 0
        for command in part.commands:
            code = code or bounded.run(command, CHECKOUT, output, part.limit_seconds)
    text = log.read_text(errors="replace")
    why_skipped = tuple(line for line in text.splitlines() if line.startswith("SKIPPED "))
    outcome = Outcome(part, time.monotonic() - started, *counted(text, code), why_skipped)
    word = "failed" if outcome.failed else "ok"
    print(f"[{part.name}] {word} after {outcome.seconds:.0f} s", flush=True)
    if outcome.failed:
        print(text[-12000:], flush=True)
    return outcome


def counted(text: str, code: int) -> tuple[int, int, int]:
    """Tests that passed, failed and were skipped: the sum of pytest's closing lines, else one for the part."""
    closing = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed|error|skipped).* in [\d.]+s", line)]
    passed, failed, skipped = (
        sum(int(number) for line in closing for number in re.findall(rf"(\d+) (?:{word})\b", line))
        for word in ("passed", "failed|errors?", "skipped")
    )
    if code and not failed:
        failed = 1
    if not passed and not failed:
        passed = 1
    return passed, failed, skipped


def main(names: list[str]) -> int:
    LOG.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    chosen = [part for part in parts() if not names or part.name in names]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool, bounded.interruptible():
        outcomes = list(pool.map(run, [part for part in chosen if not part.uses_lab]))
        outcomes += [run(part) for part in chosen if part.uses_lab]
    print("\npart            seconds  passed  failed  skipped")
    for outcome in outcomes:
        print(
            f"{outcome.part.name:14} {outcome.seconds:8.0f} {outcome.passed:7} {outcome.failed:7} {outcome.skipped:8}"
        )
    for outcome in outcomes:
        for line in outcome.why_skipped:
            print(f"{outcome.part.name}: {line}")
    print(f"{'all':14} {time.monotonic() - started:8.0f}")
    failed = sum(outcome.failed for outcome in outcomes)
    print(f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
