# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints the folder of a Python environment that holds exactly what a lock says, and makes it if it is absent.

Usage: ``venv.py LOCK [PYTHON]``. Environments live in the cache, one per lock, interpreter and path; nothing is
installed into the system's Python. Cut off in the middle, the half environment is never used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastpath" / "venv"


def main() -> None:
    lock = Path(sys.argv[1])
    python = shutil.which(sys.argv[2] if len(sys.argv) > 2 else sys.executable)
    if python is None:
        sys.exit(f"venv.py: no interpreter {sys.argv[2]}")
    print(environment(lock, os.path.realpath(python)))


def environment(lock: Path, python: str) -> Path:
    """The folder of the environment for a lock, made under a lock file if need be."""
    key = hashlib.sha256(lock.read_bytes() + bootstrap_lock().read_bytes() + python.encode()).hexdigest()[:16]
    folder = CACHE / f"{lock.stem}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{folder.name}.lock", "w", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            if folder.exists():
                shutil.rmtree(folder)
            fill(folder, lock, python)
            (folder / "complete").touch()
    return folder


def bootstrap_lock() -> Path:
    return HERE / "bootstrap.lock"


def fill(folder: Path, lock: Path, python: str) -> None:
    print(f"Python tools of {lock.name} for {python} ...", file=sys.stderr, flush=True)
    run(python, "-m", "venv", str(folder))
    pip = [str(folder / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--require-hashes"]
    run(*pip, "-r", str(bootstrap_lock()))
    uv = [str(folder / "bin/uv"), "pip", "install", "-q", "--require-hashes", "--python", str(folder / "bin/python")]
    run(*uv, "--compile-bytecode", "-r", str(lock))


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=sys.stderr, timeout=1200)


if __name__ == "__main__":
    main()
