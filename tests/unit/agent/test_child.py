# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One program behind a prompt: it is asked, it ends, it floods, it is left and found again."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import time
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import behave, make_program, running, wait_for
from fastpath_agent import child as child_module
from fastpath_agent.child import Child, Ended, Flood
from fastpath_agent.model import NotReady

PROMPT = "vdpa> "
ADDRESS = "0000:02:00.3"


@pytest.fixture
def program(tmp_path):
    return make_program(tmp_path)


@pytest.fixture
def start(program, tmp_path):
    children = []

    def begin(*words: str) -> Child:
        behave(tmp_path, *words)
        child = Child.start([program, "-a", ADDRESS, "--", "--interactive"], str(tmp_path / "pipes"), PROMPT, 0o177)
        children.append(child)
        return child

    yield begin
    for child in children:
        if running(child.pid):
            os.kill(child.pid, signal.SIGKILL)


def test_a_command_has_an_answer(start):
    child = start()
    child.greet(10)
    assert child.ask("list", 10) == ["device name\tqueue num\tsupported features", f"{ADDRESS}\t\t1\t\t0x370bfe7a6"]
    assert child.ask("nonsense", 10) == ["Command not found"]
    assert child.ask("", 10) == []
    child.end()


def test_its_input_never_ends(start):
    """With an end of file dpdk-vdpa would end, or write without end."""
    child = start()
    child.greet(10)
    for descriptor in os.listdir(f"/proc/{child.pid}/fd"):
        if descriptor in "012":
            text = Path(f"/proc/{child.pid}/fdinfo/{descriptor}").read_text()
            flags = int(text.split("flags:")[1].split()[0], 8)
            assert flags & os.O_ACCMODE == os.O_RDWR
    child.end()


def test_lines_that_come_of_their_own_accord_are_no_answer(start, tmp_path):
    child = start()
    child.greet(10)
    behave(tmp_path, "log-between")
    assert child.ask("list", 10)[-1] == f"{ADDRESS}\t\t1\t\t0x370bfe7a6"
    behave(tmp_path)
    assert child.ask("nonsense", 10) == ["Command not found"]
    child.end()


def test_a_program_that_ends_at_once_says_why(start):
    child = start("no-pages")
    with pytest.raises(Ended, match=r"exit code 1.*Cannot get hugepage information"):
        child.greet(10)
    child.close()


def test_a_program_that_was_killed(start):
    child = start()
    child.greet(10)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Ended, match="SIGKILL"):
        child.ask("list", 10)
    assert not child.running
    child.close()


def test_no_answer_in_time(start, tmp_path):
    child = start()
    child.greet(10)
    behave(tmp_path, "deaf")
    with pytest.raises(NotReady, match=r"did not answer within 0\.2 s"):
        child.ask("list", 0.2)
    child.end()


def test_no_prompt_in_time(start):
    child = start("mute")
    with pytest.raises(NotReady, match="did not answer"):
        child.greet(0.3)
    child.end()
    assert not running(child.pid)


@pytest.mark.parametrize("word", ["flood-at-start", "flood"])
def test_a_flood_is_cut_off(start, tmp_path, word):
    child = start(*(["flood-at-start"] if word == "flood-at-start" else []))
    with pytest.raises(Flood):
        child.greet(10)
        behave(tmp_path, word)
        child.ask("list", 10)
    child.end()
    assert not running(child.pid)


def test_a_flood_that_nobody_reads_stands_still(start, tmp_path):
    """The pipe is full after 64 KiB, and the program waits."""
    child = start("flood-at-start")
    wait_for(lambda: _waiting(child) > 32768, "a full pipe")
    wait_for(lambda: _state(child.pid) == "S", "a program that waits")
    before, size = _cpu_ticks(child.pid), _waiting(child)
    time.sleep(0.2)
    assert (_cpu_ticks(child.pid), _waiting(child)) == (before, size)
    child.end()


def _waiting(child: Child) -> int:
    return int.from_bytes(fcntl.ioctl(child.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


def _state(pid: int) -> str:
    return _fields(pid)[0]


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_ticks(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[11]) + int(fields[12])


def test_a_program_that_does_not_listen_to_sigterm_is_killed(start, monkeypatch):
    monkeypatch.setattr(child_module, "KILL_SECONDS", 0.3)
    child = start("stubborn")
    child.greet(10)
    child.end()
    assert not running(child.pid)


def test_what_it_says_unasked_can_be_read_without_end_and_is_kept_short(start):
    child = start()
    child.greet(10)
    child.drain()
    assert len(child.lines) <= child_module.KEPT_LINES
    child.end()


def test_left_and_found_again(start, tmp_path):
    """An agent that was killed finds the program by its pipes, and goes on talking to it."""
    child = start()
    child.greet(10)
    child.close()
    assert running(child.pid)
    found = Child.adopt(str(tmp_path / "pipes"), PROMPT)
    assert found is not None
    assert found.pid == child.pid
    assert found.ask("nonsense", 10) == ["Command not found"]
    os.kill(found.pid, signal.SIGKILL)
    with pytest.raises(Ended):
        found.ask("list", 10)
    found.close()


def test_nothing_to_be_found(start, tmp_path):
    assert Child.adopt(str(tmp_path / "pipes"), PROMPT) is None
    child = start()
    child.greet(10)
    child.end()
    assert Child.adopt(str(tmp_path / "pipes"), PROMPT) is None


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        Child.start([str(tmp_path / "nothing")], str(tmp_path / "pipes"), PROMPT, 0o177)


@pytest.mark.parametrize("command", ["list\ncreate x y", "list\rquit", "\0", "a\x1bb"])
def test_a_command_is_one_line(start, command):
    child = start()
    child.greet(10)
    with pytest.raises(ValueError, match="no command"):
        child.ask(command, 1)
    child.end()


def test_a_full_input_does_not_hang_the_agent(start, tmp_path):
    child = start()
    child.greet(10)
    behave(tmp_path, "deaf")
    with pytest.raises(NotReady):
        child.ask("list", 0.1)
    with pytest.raises(NotReady, match="does not read"):
        for _number in range(40):
            child._write(b"x" * 4096)
    child.end()


def test_descriptors_are_given_back(start):
    before = len(os.listdir("/proc/self/fd"))
    for _number in range(3):
        child = start()
        child.greet(10)
        child.end()
    assert len(os.listdir("/proc/self/fd")) == before
