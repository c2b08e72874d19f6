# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ``ansible-test sanity`` on a copy of what git tracks, at the path that ansible-test insists on.

Usage: ``sanity.py ANSIBLE_TEST``. The copy lives in the cache, so that the environments that ansible-test makes for
itself are kept between runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastpath" / "sanity"
# Where pip's own bootstrap script cannot be downloaded, the standard library's does the same job.
BOOTSTRAP = "import ensurepip\nensurepip.bootstrap(default_pip=True)\n"
BOOTSTRAP_NAMES = ("get_pip_24_2.py", "get_pip_20_3_4.py")


def main() -> int:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        seed_bootstrap()
        tree = copy_tree()
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        argv = [sys.argv[1], "sanity", "--venv", "--python", version, "--color", "no", *sys.argv[2:]]
        return subprocess.run(argv, cwd=tree, env=environment(), timeout=1800, check=False).returncode


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def seed_bootstrap() -> None:
    folder = Path.home() / ".ansible/test/cache"
    folder.mkdir(parents=True, exist_ok=True)
    for name in BOOTSTRAP_NAMES:
        if not (folder / name).exists():
            (folder / name).write_text(BOOTSTRAP)


def copy_tree() -> Path:
    """A git tree with the tracked files as they are in the work tree."""
    tree = CACHE / "ansible_collections/nfv/fastpath"
    if tree.exists():
        shutil.rmtree(tree)
    tree.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (CHECKOUT / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, tree / name, follow_symlinks=False)
    for argv in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(argv, cwd=tree, check=True)
    return tree


if __name__ == "__main__":
    sys.exit(main())
