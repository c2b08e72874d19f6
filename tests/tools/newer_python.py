# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints a working interpreter newer than the one that runs this, the newest found; nothing where there is none."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

NEWEST_MINOR = 14


def works(python: str) -> bool:
    try:
        return (
            subprocess.run([python, "-c", "import venv"], capture_output=True, timeout=30, check=False).returncode == 0
        )
    except OSError:
        return False


def candidates() -> list[str]:
    found = []
    for minor in range(NEWEST_MINOR, sys.version_info.minor, -1):
        found += [path for path in [shutil.which(f"python3.{minor}")] if path]
        found += [str(path) for path in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python3.{minor}")]
    return found


if __name__ == "__main__":
    print(next((python for python in candidates() if works(python)), ""))
