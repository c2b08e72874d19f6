# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes the agent importable, and gives each test a node of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

AGENT = str(Path(__file__).resolve().parents[4] / "agent")
if AGENT not in sys.path:
    sys.path.insert(0, AGENT)

from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node  # noqa: E402


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node below a folder, with everything that the plugins reach the world with replaced."""
    return Node(tmp_path / "host")
