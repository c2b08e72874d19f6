# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the packages come from, and what is said when something is missing."""

from __future__ import annotations

import pytest
from fastpath_lab import host
from fastpath_lab.errors import LabError

DEB822 = """\
# comment
Types: deb
# URIs: http://commented.example/debian
URIs: http://first.example/debian/ http://second.example/debian
Suites: bookworm

Types: deb
Enabled: no
URIs: http://disabled.example/debian

Types: deb-src
URIs: http://source.example/debian
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/x] http://line.example/debian bookworm main
deb-src http://source.example/debian bookworm main
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    monkeypatch.delenv("FASTPATH_DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822(apt):
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    assert host.mirrors(apt) == ["http://first.example/debian", "http://second.example/debian"]
    assert host.debian_mirror(apt) == "http://first.example/debian"


def test_one_line(apt):
    (apt / "sources.list").write_text(ONE_LINE)
    assert host.debian_mirror(apt) == "http://line.example/debian"


def test_other_files_and_archives_are_not_taken(apt):
    (apt / "sources.list.d/other.list").write_text("deb http://x.example/tool stable main\n")
    (apt / "sources.list.d/old.sources.disabled").write_text(DEB822)
    with pytest.raises(LabError, match="FASTPATH_DEBIAN_MIRROR"):
        host.debian_mirror(apt)


def test_environment_wins(apt, monkeypatch):
    monkeypatch.setenv("FASTPATH_DEBIAN_MIRROR", "http://mine.example/debian/")
    assert host.debian_mirror(apt) == "http://mine.example/debian"


def test_everything_missing_is_said_at_once(monkeypatch):
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(host, "missing_tools", lambda: {"mmdebstrap": "mmdebstrap", "ip": "iproute2"})
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match=r"(?s)as root.*mmdebstrap, ip .*iproute2 mmdebstrap"):
        host.prepare()
