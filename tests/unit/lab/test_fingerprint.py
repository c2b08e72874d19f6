# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What integration tests compare nodes by: programs included, and never two failures with each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))

import fingerprint


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "PROGRAM_FOLDERS", (str(tmp_path),))
    path = tmp_path / "program"
    path.write_bytes(bytes(fingerprint.EVERY * 2 + 7))
    return path


@pytest.mark.parametrize("place", [0, fingerprint.EVERY, fingerprint.EVERY * 2 + 6])
def test_another_large_program_of_the_same_size(program, place):
    before = fingerprint.content(str(program))
    with program.open("r+b") as file:
        file.seek(place)
        file.write(b"x")
    assert fingerprint.content(str(program)) != before


def test_a_program_that_was_put_away_and_given_back_is_the_same(program):
    before = fingerprint.content(str(program))
    os.utime(program, (1, 1))
    assert fingerprint.content(str(program)) == before
    program.chmod(0o700)
    assert fingerprint.content(str(program)) != before
    program.write_bytes(bytes(fingerprint.EVERY * 2 + 8))
    program.chmod(0o644)
    assert fingerprint.content(str(program)) != before


@pytest.mark.parametrize("folder", ["/opt/cni", "/usr/local/bin"])
def test_programs_are_looked_at(monkeypatch, folder):
    looked = []
    monkeypatch.setattr(fingerprint.os, "walk", lambda path: looked.append(path) or [])
    fingerprint.files()
    assert folder in looked


def test_a_command_that_fails_is_no_answer():
    with pytest.raises(subprocess.CalledProcessError):
        fingerprint.command("false")
