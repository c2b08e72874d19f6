# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shim on the host: whole at every moment, there once, and gone when it is removed."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from fastpath_agent.cni import installer
from fastpath_agent.cni.installer import Installer, main, render

NAMES = ["vdpa", "userspace", "vhostuser"]
CONTENT = render("0.1.0", "/run/fastpath/agent/cni.sock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/bridge").write_text("another plugin")
    return tmp_path / "bin"


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_three_names_one_program(folder: Path) -> None:
    assert Installer(str(folder), CONTENT).install() == NAMES
    for name in NAMES:
        assert (folder / name).read_bytes() == CONTENT
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o755
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "bridge"])


def test_second_time_writes_nothing(folder: Path) -> None:
    Installer(str(folder), CONTENT).install()
    before = snapshot(folder)
    assert Installer(str(folder), CONTENT).install() == []
    assert snapshot(folder) == before


def test_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    Installer(str(tmp_path / "a/b"), CONTENT).install()
    assert (tmp_path / "a/b/vdpa").exists()


def test_another_version_replaces_it_and_wrong_modes_are_mended(folder: Path) -> None:
    Installer(str(folder), CONTENT).install()
    newer = render("0.2.0", "/run/x.sock", "/usr/libexec/platform-python")
    assert newer.startswith(b"#!/usr/libexec/platform-python -IS\n# nfv.fastpath CNI shim 0.2.0\n")
    assert b"SOCKET = '/run/x.sock'\n" in newer and b"VERSION = '0.2.0'\n" in newer
    assert Installer(str(folder), newer).install() == NAMES
    assert (folder / "vdpa").read_bytes() == newer
    (folder / "vdpa").chmod(0o644)
    assert Installer(str(folder), newer).install() == ["vdpa"]
    assert not any(path.name.startswith(".fastpath") for path in folder.iterdir())


def test_removed_without_a_trace(folder: Path) -> None:
    before = snapshot(folder)
    Installer(str(folder), CONTENT).install()
    assert Installer(str(folder), b"another version").remove() == NAMES
    assert snapshot(folder) == before
    assert Installer(str(folder), CONTENT).remove() == []


def test_somebody_elses_plugin_comes_back(folder: Path) -> None:
    (folder / "userspace").write_text("the Go plugin")
    (folder / "userspace").chmod(0o750)
    before = snapshot(folder)
    Installer(str(folder), CONTENT).install()
    Installer(str(folder), render("0.2.0", "/x")).install()
    assert (folder / "userspace").read_bytes().startswith(b"#!")
    Installer(str(folder), CONTENT).remove()
    assert snapshot(folder) == before
    assert stat.S_IMODE((folder / "userspace").stat().st_mode) == 0o750


def test_plugin_that_took_our_place_is_left_alone(folder: Path) -> None:
    Installer(str(folder), CONTENT).install()
    (folder / "vdpa").write_text("somebody installed this later")
    assert Installer(str(folder), CONTENT).remove() == ["userspace", "vhostuser"]
    assert (folder / "vdpa").read_text() == "somebody installed this later"


def test_link_is_kept_as_a_link(folder: Path) -> None:
    (folder / "vdpa").symlink_to("bridge")
    Installer(str(folder), CONTENT).install()
    assert (folder / "bridge").read_text() == "another plugin"
    Installer(str(folder), CONTENT).remove()
    assert os.readlink(folder / "vdpa") == "bridge"


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod"])
def test_installer_that_is_cut_off_leaves_the_former_plugin(
    folder: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing is cleaned up, as after a kill: the next one does."""
    Installer(str(folder), CONTENT).install()
    newer = render("0.2.0", "/x")

    class Cut(BaseException):
        pass

    def cut(*_arguments: Any, **_keywords: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(os, call, cut)
        patched.setattr(os, "unlink", lambda *_a, **_k: None)
        with pytest.raises(Cut):
            Installer(str(folder), newer).install()
    assert (folder / "vdpa").read_bytes() == CONTENT
    assert Installer(str(folder), newer).install() == NAMES
    assert not any(path.name.startswith(".fastpath") for path in folder.iterdir())


def test_a_reader_never_sees_half_a_plugin(folder: Path) -> None:
    versions = [render(f"0.{number}.0", "/x") for number in range(2)]
    Installer(str(folder), versions[0]).install()
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((folder / "vdpa").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        Installer(str(folder), versions[number % 2]).install()
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_source_without_its_constants_is_refused() -> None:
    with pytest.raises(ValueError, match="SOCKET"):
        render("1", "/x", source="VERSION = 1\n")


def test_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "--folder", str(folder), "--version", "3.0.0", "--socket", "/x"]) == 0
    assert b"VERSION = '3.0.0'" in (folder / "vdpa").read_bytes()
    assert main(["remove", "--folder", str(folder)]) == 0
    assert main(["remove", "--folder", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "install: vdpa, userspace, vhostuser",
        "remove: vdpa, userspace, vhostuser",
        "remove: nothing to do",
    ]


def test_mark_is_found_in_every_version_and_in_nothing_else() -> None:
    assert installer.is_shim(CONTENT)
    assert not installer.is_shim(b"\x7fELF" + b"x" * 5000 + installer.MARK.encode())
