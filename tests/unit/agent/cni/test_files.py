# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files below allowed folders and nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_node import Node
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.fake_parts import make_socket
from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import vdpa_conf
from fastpath_agent.cni.errors import CniError
from fastpath_agent.cni.files import Files, check_socket_path, told_as
from fastpath_agent.cni.log import Log, is_log_name
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "run/a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (tmp_path / "run/a/out").symlink_to(tmp_path / "outside")
    (tmp_path / "run/a/file-out").symlink_to(tmp_path / "outside/secret")
    return Files(["/run/a", "/run/a/b/c", "/var/run/a"], str(tmp_path))


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/run/a", "/run/a"),
        ("/run/a/x/y", "/run/a"),
        ("/run/a/b/c/d", "/run/a/b/c"),
        ("/run/ab", None),
        ("/run/a/../b", None),
        ("/run/a/..", None),
        ("run/a/x", None),
        ("", None),
        ("/", None),
        ("/run/a/\x00", None),
    ],
)
def test_allowed(files: Files, path: str, base: str | None) -> None:
    assert files.allowed_base(path) == base


@given(st.text(alphabet="/.ab\x00", max_size=12))
def test_whatever_is_allowed_lies_below(text: str) -> None:
    files = Files(["/a/b"], "/nowhere")
    base = files.allowed_base(text)
    if base is not None:
        assert os.path.normpath(text).startswith("/a/b")


def test_write_read_and_remove(files: Files, tmp_path: Path) -> None:
    assert files.make_folder("/run/a/x/y", 0o750) is True
    assert files.make_folder("/run/a/x/y", 0o700) is False
    files.write("/run/a/x/y/f", b"one", 0o600)
    files.write("/run/a/x/y/f", b"two", 0o640)
    assert files.read("/run/a/x/y/f", 10) == b"two"
    assert stat.S_IMODE((tmp_path / "run/a/x/y/f").stat().st_mode) == 0o640
    assert os.listdir(tmp_path / "run/a/x/y") == ["f"]
    files.remove_folder("/run/a/x/y")
    files.remove("/run/a/x/y/f")
    files.remove("/run/a/x/y/f")
    files.remove("/run/a/gone/f")
    files.remove_folder("/run/a/x/y")
    files.remove_folder("/run/a/x/y")
    files.remove_folder("/run/a")
    assert sorted(os.listdir(tmp_path / "run/a")) == ["file-out", "out", "x"]


def test_folder_of_a_pod_gets_more_rights_and_loses_none(files: Files, tmp_path: Path) -> None:
    def seen() -> tuple[int, int, int]:
        status = (tmp_path / "run/a/pod").stat()
        return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid

    files.make_folder("/run/a/pod", 0o700)
    files.hand_over("/run/a/pod", 1000, 2000, False)
    assert seen() == (0o750, 1000, 2000)
    files.make_folder("/run/a/pod", 0o700)
    files.hand_over("/run/a/pod", 7, 8, True)
    assert seen() == (0o770, 1000, 2000)
    files.hand_over("/run/a/pod", 7, 8, False)
    assert seen() == (0o770, 1000, 2000)


def test_modes_do_not_depend_on_the_umask(files: Files, tmp_path: Path) -> None:
    former = os.umask(0o077)
    try:
        files.make_folder("/run/a/x", 0o755)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "run/a/x").stat().st_mode) == 0o755


def test_links_are_not_followed(files: Files, tmp_path: Path) -> None:
    for action in (
        lambda: files.write("/run/a/out/f", b""),
        lambda: files.read("/run/a/out/secret", 10),
        lambda: files.read("/run/a/file-out", 10),
        lambda: files.make_folder("/run/a/out/x"),
        lambda: files.hand_over("/run/a/out", 0, 0, True),
        lambda: files.rename("/run/a/out/secret", "/run/a/mine"),
        lambda: files.link("/run/a/out/l", "/x"),
    ):
        with pytest.raises(OSError):
            action()
    files.remove("/run/a/out/secret")
    files.remove_folder("/run/a/out/x")
    files.write("/run/a/file-out", b"mine")
    assert (tmp_path / "outside/secret").read_text() == "secret"
    assert os.listdir(tmp_path / "outside") == ["secret"]


def test_outside_is_refused(files: Files) -> None:
    for action in (
        lambda: files.write("/etc/x", b""),
        lambda: files.read("/etc/passwd", 10),
        lambda: files.make_folder("/etc/x"),
        lambda: files.rename("/run/a/x", "/etc/x"),
        lambda: files.remove("/etc/passwd"),
        lambda: files.write("/run/a", b""),
    ):
        with pytest.raises(PermissionError):
            action()
    with pytest.raises(CniError, match="sharedDir"):
        files.require("sharedDir", "/etc")
    assert files.require("sharedDir", "/run/a/x") == "/run/a/x"


def test_only_plain_files_of_some_size_are_read(files: Files, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run/a/fifo")
    make_socket(str(tmp_path / "run/a/sock"))
    (tmp_path / "run/a/big").write_bytes(b"x" * 11)
    for name in ("fifo", "sock", "big", "out"):
        with pytest.raises(OSError):
            files.read(f"/run/a/{name}", 10)


def test_sockets_are_themselves(files: Files, tmp_path: Path) -> None:
    make_socket(str(tmp_path / "run/a/sock"))
    (tmp_path / "run/a/link").symlink_to("sock")
    assert files.is_socket("/run/a/sock")
    assert not files.is_socket("/run/a/link") and not files.is_socket("/run/a/none")
    files.rename("/run/a/sock", "/run/a/moved")
    assert files.is_socket("/run/a/moved")


def test_what_took_a_files_place_is_no_error(files: Files, tmp_path: Path) -> None:
    (tmp_path / "run/a/folder").mkdir()
    files.remove("/run/a/folder")
    files.remove("/run/a/file-out/x")
    assert (tmp_path / "run/a/folder").exists()


def test_half_written_file_of_a_killed_writer_is_replaced(files: Files, tmp_path: Path) -> None:
    (tmp_path / "run/a/.fastpath-f").write_text("half")
    files.write("/run/a/f", b"whole")
    assert sorted(os.listdir(tmp_path / "run/a")) == ["f", "file-out", "out"]


def test_disk_full_leaves_the_former_file(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write("/run/a/f", b"former")

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "/run/a/f")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(CniError) as raised, told_as("cannot write"):
        files.write("/run/a/f", b"new")
    assert (raised.value.code, raised.value.message) == (5, "cannot write: No space left on device (/run/a/f)")
    assert files.read("/run/a/f", 10) == b"former"
    assert not (tmp_path / "run/a/.fastpath-f").exists()


def test_paths_of_sockets_fit_into_the_kernels_structure() -> None:
    assert check_socket_path("/" + "x" * 106, "path") == "/" + "x" * 106
    for path in ("/" + "x" * 107, "/" + "ü" * 60):
        with pytest.raises(CniError, match="107") as raised:
            check_socket_path(path, "path")
        assert raised.value.code == 7


def test_log_lines(node: Node) -> None:
    log = Log(node.box.logs, "/var/log/vdpa-cni-a.log", "info")
    log.error("one\ntwo \x1b[31m \ud800")
    log.warning("three")
    log.info("four" * 5000)
    log.debug("five")
    lines = (node.root / "var/log/vdpa-cni-a.log").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0][20:] == " [error] one two  [31m  " and lines[0][4] == lines[0][7] == "-" and lines[0][19] == "Z"
    assert lines[1].endswith("[warning] three") and len(lines[2]) < 4100
    assert stat.S_IMODE((node.root / "var/log/vdpa-cni-a.log").stat().st_mode) == 0o640


def test_log_that_cannot_be_written_is_no_failure(node: Node) -> None:
    os.mkfifo(node.root / "var/log/vdpa.fifo")
    (node.root / "var/log/vdpa.dir").mkdir()
    (node.root / "var/log/vdpa.one").write_text("")
    os.link(node.root / "var/log/vdpa.one", node.root / "var/log/other.log")
    for name in ("vdpa.fifo", "vdpa.dir", "vdpa.one", "none/vdpa.log"):
        Log(node.box.logs, f"/var/log/{name}", "verbose").error("x")
    assert (node.root / "var/log/other.log").read_text() == ""
    from ansible_collections.nfv.fastpath.tests.unit.agent.cni.netconfs import pod

    node.pods.put(pod())
    node.good("ADD", vdpa_conf(logFile="/var/log/vdpa.dir"))


def test_names_of_logs() -> None:
    assert is_log_name("/var/log/vdpa-cni-a.log", "vdpa") and is_log_name("/var/log/x/vdpa", "vdpa")
    for path in ("/var/log/auth.log", "/var/log/vdpa/x", "/var/log/xvdpa", "/var/log/vdpa log"):
        assert not is_log_name(path, "vdpa")
