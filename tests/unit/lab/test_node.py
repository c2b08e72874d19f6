# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command on a node: what it says, also when it fails, and what is said when it does not end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fastpath_lab import process
from fastpath_lab.errors import LabError
from fastpath_lab.node import Machine


@pytest.fixture
def machine(monkeypatch):
    """Its commands run on this machine."""
    monkeypatch.setattr(process, "bound", lambda argv: ["sh", "-c", argv[-1]])
    site = SimpleNamespace(netns="n", owner="o", key=Path("/none"))
    return Machine(site, SimpleNamespace(name="node1", address="192.0.2.1"), Path("/none"))


def test_what_it_says_also_when_it_fails(machine):
    done = machine.ssh("cat; echo no >&2; exit 3", stdin=b"yes")
    assert (done.returncode, done.stdout, done.stderr) == (3, "yes", "no\n")


def test_one_that_does_not_end_is_named_with_its_node(machine):
    with pytest.raises(LabError, match="node1: no end after 0 s: sleep 60"):
        machine.ssh("sleep 60", timeout=0.2)
