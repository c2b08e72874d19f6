# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on emulated nodes. The lab stays up for the session; each test asks for the state it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nodes import OWN, PAIR, lab


@pytest.fixture(scope="session")
def lab_is_up():
    lab("up")


@pytest.fixture
def fresh(lab_is_up):
    """Both nodes as they are after their first boot."""
    lab("restore", *PAIR)
    return PAIR


@pytest.fixture
def fresh_node(lab_is_up):
    """One node as it is after its first boot."""
    lab("restore", OWN)
    return OWN


@pytest.fixture
def variant(lab_is_up):
    """Brings up a further node of the topology by name; it is taken down at the end."""
    started = []

    def start(name: str) -> str:
        lab("up", name)
        started.append(name)
        return name

    yield start
    for name in started:
        lab("kill", name)
