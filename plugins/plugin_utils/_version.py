# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Which version of the collection this is."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def collection_version(root: Path = ROOT) -> str:
    """From MANIFEST.json where the collection was installed, from galaxy.yml in a checkout."""
    manifest, galaxy = root / "MANIFEST.json", root / "galaxy.yml"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    text = galaxy.read_text(encoding="utf-8") if galaxy.exists() else ""
    found = re.search(r"^version:\s*(\S+)", text, re.MULTILINE)
    return found.group(1) if found else "unknown"
