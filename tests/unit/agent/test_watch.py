# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder is followed whatever happens to it and to the files in it."""

from __future__ import annotations

import errno
import os
import select
import struct
from pathlib import Path

import pytest
from fastpath_agent import watch as watch_module
from fastpath_agent.watch import IN_Q_OVERFLOW, FolderWatch

NAME = "pciList.dat"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "vdpa"
    made.mkdir()
    return made


@pytest.fixture
def watch(folder):
    made = FolderWatch(str(folder), (NAME,))
    yield made
    made.close()


def wakes(watch: FolderWatch) -> bool:
    return bool(select.select([watch], [], [], 1)[0])


def test_nothing_happened(watch):
    assert watch.changed() == set()


def test_written_in_place(watch, folder):
    (folder / NAME).write_text("0000:83:00.2\n")
    assert wakes(watch)
    assert watch.changed() == {NAME}
    assert watch.changed() == set()


def test_replaced_by_a_rename(watch, folder):
    """As the device plugin does it: written under another name, then renamed."""
    (folder / "tmpPciList.dat").write_text("0000:83:00.2\n")
    watch.changed()
    os.rename(folder / "tmpPciList.dat", folder / NAME)
    assert wakes(watch)
    assert watch.changed() == {NAME}


def test_removed(watch, folder):
    (folder / NAME).write_text("x")
    watch.changed()
    (folder / NAME).unlink()
    assert watch.changed() == {NAME}


def test_renamed_away(watch, folder):
    (folder / NAME).write_text("x")
    watch.changed()
    os.rename(folder / NAME, folder / "other")
    assert watch.changed() == {NAME}


def test_other_files_do_not_matter(watch, folder):
    (folder / "status.json").write_text("{}")
    (folder / f"{NAME}.new").write_text("{}")
    assert watch.changed() == set()


def test_a_folder_that_does_not_exist_yet(tmp_path):
    """What was written before the watch was set counts as a change: nobody has read it."""
    watch = FolderWatch(str(tmp_path / "vdpa"), (NAME,))
    assert watch.changed() == set()
    (tmp_path / "vdpa").mkdir()
    (tmp_path / "vdpa" / NAME).write_text("x")
    assert watch.changed() == {NAME}
    (tmp_path / "vdpa" / NAME).write_text("y")
    assert watch.changed() == {NAME}
    watch.close()


def test_a_folder_that_is_made_anew(watch, folder):
    (folder / NAME).write_text("x")
    watch.changed()
    (folder / NAME).unlink()
    folder.rmdir()
    assert watch.changed() == {NAME}
    assert watch.changed() == set()
    folder.mkdir()
    assert watch.changed() == {NAME}
    (folder / NAME).write_text("y")
    assert watch.changed() == {NAME}


def test_a_folder_that_was_replaced_by_another(watch, folder, tmp_path):
    """The former one goes on to exist under another name, and is not followed any more."""
    os.rename(folder, tmp_path / "former")
    folder.mkdir()
    assert watch.changed() == {NAME}
    (tmp_path / "former" / NAME).write_text("x")
    assert watch.changed() == set()
    (folder / NAME).write_text("y")
    assert watch.changed() == {NAME}


def test_events_that_the_kernel_dropped_mean_that_all_may_have_changed(watch, monkeypatch):
    event = struct.pack("iIII", -1, IN_Q_OVERFLOW, 0, 0)
    answers = [event, b""]
    monkeypatch.setattr(watch, "_read", lambda: answers.pop(0))
    assert watch.changed() == {NAME}


def test_the_kernels_own_overflow(folder):
    """With more events than its queue takes, whatever the limit of this machine is."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 20000:
        pytest.skip("the queue of this machine is long")
    watch = FolderWatch(str(folder), (NAME,))
    for number in range(limit + 10):
        # Two names in turn: equal events that follow each other are one.
        os.mkfifo(folder / f"f{number % 2}")
        os.unlink(folder / f"f{number % 2}")
    assert watch.changed() == {NAME}
    watch.close()


def test_many_events_are_all_read(watch, folder):
    for number in range(500):
        (folder / f"other-{number}").touch()
    (folder / NAME).write_text("x")
    assert watch.changed() == {NAME}
    assert watch.changed() == set()


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "vdpa").write_text("x")
    watch = FolderWatch(str(tmp_path / "vdpa"), (NAME,))
    assert watch.changed() == set()
    watch.close()


def test_no_more_watches(folder, monkeypatch):
    """The agent changes no limit of the node: it is told, and looks once a second instead."""
    monkeypatch.setattr(watch_module._libc, "inotify_init1", lambda flags: _fail(errno.EMFILE))
    with pytest.raises(OSError, match="inotify_init1"):
        FolderWatch(str(folder), (NAME,))


def test_a_folder_that_cannot_be_watched_again_is_tried_at_each_call(watch, folder, monkeypatch):
    folder.rename(folder.with_name("former"))
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(watch_module._libc, "inotify_add_watch", lambda *_arguments: _fail(errno.ENOSPC))
        watch.changed()
    (folder / NAME).write_text("x")
    assert watch.changed() == {NAME}


def _fail(number: int) -> int:
    watch_module.ctypes.set_errno(number)
    return -1
