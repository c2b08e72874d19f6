# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the agent importable as it is in its image: beside the collection's engine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

AGENT = str(Path(__file__).resolve().parents[3] / "agent")
if AGENT not in sys.path:
    sys.path.insert(0, AGENT)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)
