# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in a lab's namespace with the lab's own resolver. Also a script."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__:
    from . import sandbox
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import sandbox  # type: ignore[no-redef]


def command(netns: str, resolv_conf: Path, argv: Sequence[str]) -> list[str]:
    """Return the argv that runs ``argv`` in the namespace."""
    return [sys.executable, "-I", str(Path(__file__).resolve()), netns, str(resolv_conf), *argv]


def main() -> None:
    """Entry point of the script form: NETNS RESOLV_CONF COMMAND..."""
    netns, resolv_conf, *argv = sys.argv[1:]
    here = os.getcwd()
    sandbox.enter_network(f"/run/netns/{netns}")
    sandbox.enter_mount_namespace()
    sandbox.mount("sysfs", "/sys", "sysfs")
    target = os.path.realpath("/etc/resolv.conf")
    if os.path.exists(target):
        sandbox.bind(resolv_conf, target)
    os.chdir(here)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        sys.exit(f"lab exec: {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
