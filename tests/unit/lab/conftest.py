# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the lab's package importable; nothing here starts a machine."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info < (3, 11):
    collect_ignore_glob = ["test_*.py"]
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
