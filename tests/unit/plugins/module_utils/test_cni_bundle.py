# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering plugins: from archives, the release and source; whole or not at all; made once."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetcher, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_bundle import CniBundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host


def archive(path: Path, files: dict[str, bytes], mode: str = "w:xz", links: tuple[str, ...] = ()) -> str:
    with tarfile.open(path, mode) as target:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size, item.mode = len(content), 0o755
            target.addfile(item, io.BytesIO(content))
        for name in links:
            item = tarfile.TarInfo(name)
            item.type, item.linkname = tarfile.SYMTYPE, "/etc/passwd"
            target.addfile(item)
    return str(path)


class Go:
    """Stands in for the compiler: writes what it is asked for, and notes how."""

    def __init__(self, rc: int = 0, err: str = "") -> None:
        self.calls: list[list[str]] = []
        self.rc, self.err = rc, err

    def __call__(self, argv: Any, timeout: float, stdin: str) -> Completed:
        self.calls.append(list(argv))
        if self.rc == 0 and "-o" in argv:
            Path(argv[list(argv).index("-o") + 1]).write_bytes(b"built")
        for word in argv if self.rc == 0 else ():
            if word.startswith("GOBIN="):
                for package in [one for one in argv if "@" in one]:
                    name = package.split("@")[0].rsplit("/", 1)[-1]
                    Path(f"{word[6:]}/{name}").write_bytes(b"installed")
        return Completed(self.rc, "", self.err)


class Site:
    """A controller with a mirror."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mirror = folder / "mirror"
        self.mirror.mkdir()
        self.go = Go()
        self.overrides: dict[str, Any] = {}

    def mirrored(self, name: str, file: str, files: dict[str, bytes], mode: str = "w:xz") -> None:
        path = archive(self.mirror / file, files, mode)
        self.overrides[name] = {"sha256": file_sha256(path), "file": file, "version": "9.9"}

    def task(self, *names: str, archives: Any = None) -> CniBundleTask:
        def offline(url: str, timeout: float) -> Any:
            raise OSError(101, "Network is unreachable")

        fetcher = Fetcher(str(self.folder / "artefacts"), str(self.mirror), Host(run=self.go), offline)
        host = Host(run=self.go)
        return CniBundleTask(list(names), archives, None, self.overrides, str(self.folder / "cache"), host, fetcher)

    def made(self, *names: str, archives: Any = None) -> dict[str, bytes]:
        result = self.task(*names, archives=archives).result(False)
        assert file_sha256(result["archive"]) == result["manifest"]["sha256"]
        with tarfile.open(result["archive"]) as found:
            content = {item.name: found.extractfile(item).read() for item in found}
            assert {item.mode for item in found.getmembers()} <= {0o755}
        assert set(content) == set(result["manifest"]["plugins"])
        return content


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    site.mirrored("cni-plugins", "cni.tgz", {"./bridge": b"br", "./static": b"st", "./README.md": b"x"}, "w:gz")
    return site


def test_from_the_release(site):
    assert site.made("bridge", "static") == {"bridge": b"br", "static": b"st"}
    assert site.go.calls == []


def test_made_once(site):
    task = site.task("bridge")
    ahead = task.result(True)
    assert (ahead["changed"], ahead["archive"], ahead["manifest"]["plugins"]) == (True, "", {"bridge": ""})
    first = task.result(False)
    stamp = os.stat(first["archive"]).st_mtime_ns
    second = task.result(False)
    assert (first["changed"], second["changed"]) == (True, False)
    assert {**first, "changed": False, "diff": second["diff"]} == second
    assert os.stat(second["archive"]).st_mtime_ns == stamp
    assert task.result(True)["manifest"] == first["manifest"]


def test_the_same_again_after_the_cache_was_damaged(site):
    result = site.task("bridge").result(False)
    Path(result["archive"]).write_bytes(b"half")
    assert site.task("bridge").result(False)["manifest"] == result["manifest"]


def test_what_a_killed_run_left_is_no_harm(site, tmp_path):
    key = site.task("bridge").result(True)["manifest"]["key"]
    (tmp_path / f"cache/{key}.new/plugins").mkdir(parents=True)
    (tmp_path / f"cache/{key}.new/plugins/stray").write_text("x")
    (tmp_path / f"cache/{key}").mkdir()
    assert site.made("bridge") == {"bridge": b"br"}
    assert not (tmp_path / f"cache/{key}.new").exists()


def test_from_an_archive_of_ones_own(site, tmp_path):
    own = archive(tmp_path / "own.tar.xz", {"bin/bridge": b"own", "bin/sriov": b"vf", "doc/x": b""})
    assert site.made("bridge", "sriov", "static", archives=[own]) == {"bridge": b"own", "sriov": b"vf", "static": b"st"}
    assert site.go.calls == []


def test_a_link_in_an_archive_is_no_plugin(site, tmp_path):
    own = archive(tmp_path / "own.tar", {"x": b""}, "w", links=("evil",))
    with pytest.raises(Refused, match="evil"):
        site.task("evil", archives=[own]).result(False)


def test_archives_that_are_wrong(site, tmp_path):
    good = archive(tmp_path / "own.tar.xz", {"mine": b"1"})
    (tmp_path / "text").write_text("no archive")
    given = [str(tmp_path / "none"), str(tmp_path / "text"), {"path": good, "sha256": "b" * 64}, 7]
    with pytest.raises(Refused) as refused:
        site.task("mine", archives=given).result(False)
    assert sorted(problem.variable for problem in refused.value.problems) == [
        "fastpath_cni_archives[0]",
        "fastpath_cni_archives[1]",
        "fastpath_cni_archives[2].sha256",
        "fastpath_cni_archives[3]",
    ]


def test_from_source(site):
    site.mirrored(
        "sriov-cni", "sriov.tar.xz", {"sriov-cni-9.9/go.mod": b"module x", "sriov-cni-9.9/cmd/sriov/main.go": b""}
    )
    site.mirrored("whereabouts", "wb.tar.xz", {"go.mod": b"module y", "cmd/whereabouts.go": b""})
    assert site.made("sriov", "whereabouts") == {"sriov": b"built", "whereabouts": b"built"}
    sriov, whereabouts = site.go.calls
    folder = sriov[4]
    assert sriov[:4] == ["env", "CGO_ENABLED=0", "go", "-C"]
    assert folder.endswith("/sriov/sriov-cni-9.9")
    assert sriov[5:10] == ["build", "-trimpath", "-ldflags", "-s -w", "-o"]
    assert sriov[11] == "./cmd/sriov"
    assert whereabouts[4].endswith("/whereabouts")
    assert whereabouts[11] == "./cmd"


def test_from_the_source_that_gos_own_client_fetched(site):
    """Its archive is of another kind, and the module lies deeper."""
    path = site.mirror / "wb.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("example.com/x/wb@v9.9/go.mod", "module example.com/x/wb")
        packed.writestr("example.com/x/wb@v9.9/tools/go.mod", "")
        packed.writestr("../outside", "no")
    site.overrides["whereabouts"] = {"sha256": file_sha256(str(path)), "file": "wb.zip", "version": "9.9"}
    assert site.made("whereabouts") == {"whereabouts": b"built"}
    assert site.go.calls[0][4].endswith("/whereabouts/example.com/x/wb@v9.9")
    assert not list(site.folder.rglob("outside"))


def test_a_source_tree_cannot_write_elsewhere(site, tmp_path):
    site.mirrored("sriov-cni", "s.tar.xz", {"a/go.mod": b"", "../../escaped": b"x", "/escaped": b"x"})
    site.made("sriov")
    assert not list(tmp_path.rglob("escaped"))


def test_the_release_by_go_where_it_cannot_be_had(site):
    site.overrides = {}
    assert site.made("bridge", "host-local") == {"bridge": b"installed", "host-local": b"installed"}
    (call,) = site.go.calls
    assert call[:2] == ["env", "CGO_ENABLED=0"]
    assert call[3:] == [
        *("go", "install", "-trimpath", "-ldflags", "-s -w"),
        "github.com/containernetworking/plugins/plugins/main/bridge@v1.9.1",
        "github.com/containernetworking/plugins/plugins/ipam/host-local@v1.9.1",
    ]


def test_nothing_can_be_had(site):
    site.overrides, site.go = {}, Go(127)
    with pytest.raises(FastpathError) as failed:
        site.task("bridge").result(False)
    assert "cni-plugins 1.9.1 cannot be had" in failed.value.message
    assert "And by Go: Go is not installed on the controller" in failed.value.message
    assert not [name for name in os.listdir(site.folder / "cache") if not name.endswith(".lock")]


def test_a_build_that_fails(site):
    site.mirrored("sriov-cni", "s.tar.xz", {"go.mod": b""})
    site.go = Go(1, "undefined: x")
    with pytest.raises(FastpathError, match="go -C failed with exit code 1: undefined: x"):
        site.task("sriov").result(False)


def test_a_source_without_a_module(site):
    site.mirrored("sriov-cni", "s.tar.xz", {"a/README": b""})
    with pytest.raises(FastpathError, match="is not the source of sriov"):
        site.task("sriov").result(False)


def test_a_release_that_lacks_a_plugin(site):
    with pytest.raises(FastpathError, match="does not hold vlan"):
        site.task("bridge", "vlan").result(False)


def test_nothing_asked_for(site):
    assert site.made() == {}
