# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Labs of the tests' own: none of them is the one that a user of this checkout has."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fastpath_lab import Lab
from lab_traces import PREFIX


@pytest.fixture
def labs():
    """Return a maker of labs by a short name; all of them are taken down at the end."""
    made: dict[str, Lab] = {}

    def make(name: str) -> Lab:
        return made.setdefault(name, Lab.open(f"{PREFIX}-{name}"))

    yield make
    for lab in made.values():
        lab.down()
        shutil.rmtree(lab.state)


@pytest.fixture(scope="module")
def shared():
    """A lab with the default pair, for tests that only look."""
    lab = Lab.open(f"{PREFIX}-shared")
    lab.up()
    yield lab
    lab.down()
    shutil.rmtree(lab.state)
