# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs every ``bench_*.py`` beside it and prints one table; exit code 1 where a goal is missed.

A benchmark prints rows as JSON lines: ``name``, ``ours`` and ``peer`` (seconds, both measured in that very run),
``peer_is`` (what it is measured against) and ``limit`` (the largest ``ours / peer`` that is good enough); ``unit``
where it is not seconds that are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIMIT_SECONDS = 5400


def rows_of(script: Path) -> list[dict[str, Any]]:
    print(f"{script.stem} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, timeout=LIMIT_SECONDS, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def good(row: dict[str, Any]) -> bool:
    return row["ours"] / row["peer"] <= row["limit"]


def ratio(value: float) -> str:
    return f"{value:.2f} x" if value >= 0.5 else f"1/{1 / value:.0f}"


def line(row: dict[str, Any]) -> str:
    unit = row.get("unit", "s")
    seconds = f"{row['ours']:9.3f} {unit} {row['peer']:9.3f} {unit}"
    ratios = f"{ratio(row['ours'] / row['peer']):>8}  {ratio(row['limit']):>8}"
    return f"{row['name']:44} {seconds}  {ratios}  {'ok' if good(row) else 'MISSED':6} {row['peer_is']}"


def main(names: list[str]) -> int:
    scripts = [path for path in sorted(HERE.glob("bench_*.py")) if not names or path.stem in names]
    rows = [row for script in scripts for row in rows_of(script)]
    print(f"{'':44} {'ours':>11} {'peer':>11}  {'ratio':>8}  {'limit':>8}")
    for row in rows:
        print(line(row))
    return 0 if rows and all(map(good, rows)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
