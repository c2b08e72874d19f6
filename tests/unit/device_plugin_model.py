# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the SR-IOV device plugin picks devices, written down a second time and by other words than the collection's.

Unknown keys are ignored, an empty selector takes everything, and a device goes to the first that takes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Vf:
    """A VF as the plugin sees it."""

    pf: str
    index: int
    driver: str | None
    vdpa: str | None = None


def in_range(wanted: str, pf: str, index: int) -> bool:
    name, _mark, spans = wanted.partition("#")
    if name != pf:
        return False
    for span in filter(None, spans.split(",")):
        ends = [int(end) for end in span.split("-")]
        if ends[0] <= index <= ends[-1]:
            return True
    return not spans


def takes(selector: dict[str, Any], vf: Vf) -> bool:
    if vf.driver is None:
        return False
    if "drivers" in selector and vf.driver not in selector["drivers"]:
        return False
    if "rootDevices" in selector:
        first = next((item for item in selector["rootDevices"] if item.split("#")[0] == vf.pf), None)
        if first is None or not in_range(first, vf.pf, vf.index):
            return False
    return "vdpaType" not in selector or selector["vdpaType"] == vf.vdpa


def advertised(text: str, vfs: list[Vf]) -> dict[str, set[tuple[str, int]]]:
    """Devices by resource."""
    taken: set[Vf] = set()
    found: dict[str, set[tuple[str, int]]] = {}
    for resource in json.loads(text)["resourceList"]:
        selectors = resource["selectors"]
        for selector in selectors if isinstance(selectors, list) else [selectors]:
            mine = {vf for vf in vfs if takes(selector, vf)} - taken
            taken |= mine
            name = f"{resource['resourcePrefix']}/{resource['resourceName']}"
            found.setdefault(name, set()).update((vf.pf, vf.index) for vf in mine)
    return {name: devices for name, devices in found.items() if devices}
