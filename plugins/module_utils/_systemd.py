# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What systemd says of a unit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host


def unit_properties(host: Host, unit: str, names: Sequence[str]) -> dict[str, str]:
    """Properties by name, empty where systemd does not say."""
    out = host.run(["systemctl", "show", unit, f"--property={','.join(names)}"]).out
    found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    return {name: found.get(name, "") for name in names}


def is_active(host: Host, unit: str) -> bool:
    return unit_properties(host, unit, ["ActiveState"])["ActiveState"] in ("active", "activating", "reloading")


def unit_environment(text: str) -> dict[str, str]:
    """The property Environment by name: assignments with blanks stand in quotes."""
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)
