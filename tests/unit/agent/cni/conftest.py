# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node below a folder, with everything that the plugins reach the world with replaced."""
    return Node(tmp_path / "host")
