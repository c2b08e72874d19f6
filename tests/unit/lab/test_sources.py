# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources by the collection's list of artefacts: found, checked, unpacked, built once."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from fastpath_lab import components, extras, golang, process, sources
from fastpath_lab.cache import Cache
from fastpath_lab.errors import LabError
from fastpath_lab.golang import GoSet
from fastpath_lab.sources import Archive, Unavailable


def tar(path, members):
    with tarfile.open(path, "w:xz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


def test_mirror_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTPATH_MIRROR", str(tmp_path))
    assert sources.mirror() == str(tmp_path)


def test_mirror_beside_the_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTPATH_MIRROR", raising=False)
    checkout = tmp_path / "checkout"
    assert sources.mirror(checkout) == ""
    (tmp_path / "shared/mirror").mkdir(parents=True)
    assert sources.mirror(checkout) == str(tmp_path / "shared/mirror")


def test_unpacked_source_is_the_folder_with_the_module(tmp_path):
    archive = tar(tmp_path / "x.tar.xz", {"x-1/go.mod": b"module x\n", "x-1/cmd/main.go": b"", "x-1/a/go.mod": b""})
    assert sources.unpack(archive, tmp_path / "out") == tmp_path / "out/x-1"


def test_a_go_modules_zip(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("example.com/x@v1.0.0/go.mod", "module example.com/x\n")
        archive.writestr("../outside", "no")
    found = sources.unpack(path, tmp_path / "out")
    assert found == tmp_path / "out/example.com/x@v1.0.0"
    assert not (tmp_path / "outside").exists()


def test_what_leads_out_of_an_archive_is_left_out(tmp_path):
    archive = tar(tmp_path / "x.tar.xz", {"x/go.mod": b"", "../outside": b"no", "/absolute": b"no", "x/link": None})
    found = sources.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "outside").exists()
    assert sorted(path.name for path in found.iterdir()) == ["go.mod"]


def test_what_is_no_source(tmp_path):
    with pytest.raises(LabError, match="no source of a Go module"):
        sources.unpack(tar(tmp_path / "x.tar.xz", {"readme": b""}), tmp_path / "out")


def test_built_once_by_the_checksum_of_its_archive(tmp_path, monkeypatch):
    calls = []

    def run(argv, *, timeout, log, env):
        calls.append(argv)
        (Path(argv[argv.index("-o") + 1]) / "cmd").write_text("program")
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(golang, "version", lambda: "go1.26.8")
    path = tar(tmp_path / "x.tar.xz", {"x/go.mod": b"module x\n", "x/script/install.sh": b"#!/bin/sh\n"})
    archive = Archive("x", "1", path, "aa", "mirror")
    wanted, cache = GoSet("x", {"program": "./cmd"}), Cache(tmp_path / "cache")
    made = sources.build_from_source(cache, wanted, archive, ["script/install.sh"])
    assert sorted(path.name for path in made.iterdir()) == ["install.sh", "manifest.json", "program"]
    assert sources.build_from_source(cache, wanted, archive, ["script/install.sh"]) == made
    assert len(calls) == 1
    other = Archive("x", "2", path, "bb", "mirror")
    assert sources.build_from_source(cache, wanted, other, ["script/install.sh"]) != made


def build_with(monkeypatch, fetch):
    """All components, with nothing really built."""
    monkeypatch.setattr(golang, "module", lambda cache, wanted, folder: Path("/made") / wanted.name)
    monkeypatch.setattr(components, "build_from_source", lambda cache, wanted, *rest: Path("/made") / wanted.name)
    monkeypatch.setattr(components, "fetch", fetch)
    return components.build(None)


def test_without_any_source_the_rest_is_built_and_it_says_what_is_missing(monkeypatch, capsys):
    def fetch(name):
        raise Unavailable("tried: nothing")

    parts = build_with(monkeypatch, fetch)
    assert sorted(parts.folders) == ["cni", "kubernetes", "multus-thick", "multus-thin", "pause"]
    assert sorted(parts.without) == ["sriov-cni", "sriov-network-device-plugin", "whereabouts"]
    assert "host-device takes its place" in parts.without["sriov-cni"]
    assert parts.stands_in == {}
    assert "whereabouts cannot be had" in capsys.readouterr().err


def test_a_stand_in_is_named(monkeypatch, capsys):
    def fetch(name):
        replaces = "is version 3.5.1" if name == "sriov-network-device-plugin" else ""
        return Archive(name, "3.11.0", Path("/x"), "aa", "a module", replaces)

    parts = build_with(monkeypatch, fetch)
    assert parts.without == {}
    assert list(parts.stands_in) == ["sriov-network-device-plugin"]
    assert "a module stands in, which is version 3.5.1" in capsys.readouterr().err
    assert parts.versions["whereabouts"] == "v3.11.0"


def test_the_list_is_the_collections_own(monkeypatch, tmp_path):
    """A name that it does not have is a mistake of ours, one that cannot be had is not."""
    monkeypatch.setenv("FASTPATH_MIRROR", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(KeyError):
        sources.fetch("no-such-thing")
    with pytest.raises(Unavailable, match="sriov-cni .* cannot be had"):
        sources.fetch("sriov-cni")


def test_libraries_by_the_loaders_own_word(monkeypatch, tmp_path):
    (tmp_path / "usr/lib64").mkdir(parents=True)
    (tmp_path / "usr/lib64/ld-linux-x86-64.so.2").touch()
    text = (
        "\tlinux-vdso.so.1 (0x7f)\n"
        "\tlibnftables.so.1 => /r/usr/lib/x86_64-linux-gnu/libnftables.so.1 (0x7f)\n"
        "\t/lib64/ld-linux-x86-64.so.2 => /r/ld (0x7f)\n"
    )
    monkeypatch.setattr(process, "output", lambda argv: text)
    assert extras.libraries(tmp_path, "usr/sbin/nft") == {
        "/usr/lib/x86_64-linux-gnu/libnftables.so.1": tmp_path / "usr/lib/x86_64-linux-gnu/libnftables.so.1",
        "/lib64/ld-linux-x86-64.so.2": tmp_path / "usr/lib64/ld-linux-x86-64.so.2",
    }


def test_a_root_without_a_loader(tmp_path):
    with pytest.raises(LabError, match="no loader"):
        extras.loader(tmp_path)
