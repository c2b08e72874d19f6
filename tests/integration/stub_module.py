# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands for every module that works on a node: answers from a file, and notes that it was asked. WANT_JSON"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

KEYS = {
    "changed": False,
    "diff": {},
    "operations": [],
    "reboot_required": False,
    "reboot_reason": "",
    "disruptive": False,
}


def main() -> None:
    name = Path(__file__).stem.removeprefix("AnsiballZ_")
    asked = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(os.environ["STUBS"])
    with (folder / "calls").open("a") as calls:
        calls.write(f"{name}\n")
    answer = json.loads((folder / "answers.json").read_text()).get(name, {})
    # For all nodes, or for each its own.
    answer = answer.get(Path(asked["_ansible_remote_tmp"]).name, answer)
    print(json.dumps({**KEYS, "dry_run": bool(asked.get("_ansible_check_mode")), **answer}))


if __name__ == "__main__":
    main()
