# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. The node agent as files for an image: its package, and those modules of the engine that it shares."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils import _zipapp

COLLECTION = Path(__file__).resolve().parents[2]
AGENT = "fastpath_agent"
PROGRAM = "fastpath-agent"

# Without the user's own packages and PYTHON* variables; the distribution's packages have grpcio.
_LAUNCHER = f"""\
#!/usr/bin/python3 -Es
import sys

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from {AGENT}.cli import main

sys.exit(main(sys.argv[1:]))
"""


def agent_tree(collection: Path = COLLECTION) -> dict[str, str]:
    """Text by path below the folder that they go to. Modules keep their full names, so that the same imports work."""
    agent = collection / "agent" / AGENT
    files = {path.relative_to(agent.parent).as_posix(): path.read_text() for path in sorted(agent.rglob("*.py"))}
    engine: dict[str, str] = {}
    for module in sorted({name for text in files.values() for name in _zipapp.imported(text)}):
        engine.update(_zipapp.collect(module))
    package = _zipapp.PACKAGE.replace(".", "/")
    parts = package.split("/")
    files.update({"/".join(parts[:depth]) + "/__init__.py": "" for depth in range(1, len(parts) + 1)})
    files.update({f"{package}/{name}.py": text for name, text in engine.items()})
    files[PROGRAM] = _LAUNCHER
    return files
