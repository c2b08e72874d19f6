# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent's tests get."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)
