# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream of bytes to a command, which may fail, end early or never end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fastpath_lab import feed, process
from fastpath_lab.errors import LabError

MACHINE = SimpleNamespace(
    site=SimpleNamespace(netns="n"), node=SimpleNamespace(name="node1"), ssh_argv=lambda words: ["sh", "-c", *words]
)
LARGE = [b"x" * 65536] * 64


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """The command runs on this machine."""
    monkeypatch.setattr(process, "bound", lambda argv: argv[argv.index("sh") :])


def test_all_of_it_arrives(tmp_path):
    feed.feed(MACHINE, f"cat > {tmp_path}/out", LARGE, 30)
    assert (tmp_path / "out").read_bytes() == b"".join(LARGE)


def test_what_it_says_when_it_fails():
    with pytest.raises(LabError, match="node1: .*: 3: no room"):
        feed.feed(MACHINE, "cat > /dev/null; echo no room >&2; exit 3", LARGE, 30)


def test_one_that_does_not_read_to_the_end():
    with pytest.raises(LabError, match=": 4: enough"):
        feed.feed(MACHINE, "echo enough; exit 4", LARGE, 30)


def test_one_that_never_ends_is_ended():
    with pytest.raises(LabError, match=": -9: "):
        feed.feed(MACHINE, "exec sleep 60", LARGE, 0.3)
