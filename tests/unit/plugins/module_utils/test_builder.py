# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The builder: a root, a source, commands, an archive; the same inputs once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _build_root as build_root
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetcher, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._builder import Builder, default_cache
from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_task import BundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import (
    commands_in,
    drop,
    files_below,
    is_elf,
    newest_glibc,
    pack,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._recipes import Recipe, Step

KEY = "0123456789abcdef"
ELF = b"\x7fELF" + b"\x00GLIBC_2.34\x00GLIBC_2.9\x00GLIBC_PRIVATE\x00"
PACKAGES = """Package: gcc
Status: install ok installed
Version: 4:14.2.0-1

Package: gcc-14-base
Version: 14.2.0-19

Package: libc6
Version: 2.41-12
"""
MANIFEST = Manifest("dpdk", "1", KEY, "x86_64", "x86-64-v2", flags_of("x86-64-v2"), "debian", "trixie")


class FakeMachine:
    """Answers mmdebstrap, tar and what runs inside a root; writes down every command."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fails = ""

    def __call__(self, argv, timeout, stdin):
        argv = list(argv)
        if argv[0] == "mmdebstrap":
            self.calls.append(["mmdebstrap"])
            Path(argv[argv.index("trixie") + 1]).write_bytes(b"")
            return Completed(0, "", "")
        if argv[0] == "tar":
            target = Path(argv[argv.index("--directory") + 1])
            self.calls.append(["tar", argv[3].rsplit("/", 1)[-1]])
            (target / "unpacked").touch()
            (target / "var/lib/dpkg").mkdir(parents=True, exist_ok=True)
            (target / "var/lib/dpkg/status").write_text(PACKAGES)
            return Completed(0, "", "")
        assert argv[:4] == ["nice", "-n", "10", "unshare"]
        box = json.loads(argv[-1])
        self.calls.append(box["argv"])
        return self.inside(box)

    def inside(self, box):
        command = box["argv"][0]
        if command == self.fails:
            return Completed(2, "compiling", "error: no such thing")
        if command == "install":
            prefix = Path(box["root"] + MANIFEST.prefix)
            (prefix / "bin").mkdir(parents=True)
            (prefix / "bin/dpdk-testpmd").write_bytes(ELF)
            (prefix / "bin/dpdk-testpmd").chmod(0o755)
            (prefix / "share/man").mkdir(parents=True)
            (prefix / "share/man/page").touch()
            example = Path(box["root"] + "/build/out/dpdk-vdpa")
            example.parent.mkdir(parents=True)
            example.write_bytes(ELF)
            example.chmod(0o755)
        if command == "ldd":
            return Completed(0, "\tlibnuma.so.1 => /lib/x86_64-linux-gnu/libnuma.so.1 (0x0)\n", "")
        if command == "dpkg-query":
            assert "/usr/lib/x86_64-linux-gnu/libnuma.so.1" in box["argv"]
            return Completed(1, "libnuma1:amd64: /usr/lib/x86_64-linux-gnu/libnuma.so.1\n", "no path found")
        return Completed(0, "", "")


@pytest.fixture
def machine(tmp_path):
    root = tmp_path / "machine"
    for tool in build_root.TOOLS:
        (root / "usr/bin").mkdir(parents=True, exist_ok=True)
        (root / "usr/bin" / tool).touch()
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/apt/sources.list.d/debian.sources").write_text("# URIs: http://no/debian\nURIs: http://deb/debian\n")
    return root


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "dpdk-1.tar.xz").write_bytes(b"source")
    return folder


def recipe(mirror, **changes):
    checksum = file_sha256(str(mirror / "dpdk-1.tar.xz"))
    values = {
        "manifest": MANIFEST,
        "artefact": Artefact("dpdk", "1", "dpdk-1.tar.xz", (checksum,), ()),
        "packages": ("gcc",),
        "steps": (Step(("configure",)), Step(("install",))),
        "programs": ("/build/out/dpdk-vdpa",),
        "dropped": ("share/man",),
    }
    return Recipe(**{**values, **changes})


def builder(tmp_path, machine, mirror, run):
    fetcher = Fetcher(str(tmp_path / "artefacts"), str(mirror))
    return Builder(str(tmp_path / "cache"), fetcher, Host(root=str(machine), run=run))


def test_a_build_from_nothing_to_an_archive(tmp_path, machine, mirror):
    run = FakeMachine()
    built = builder(tmp_path, machine, mirror, run).build(recipe(mirror))
    names = [call[0] for call in run.calls]
    assert names == ["mmdebstrap", "tar", "tar", "configure", "install", "ldd", "dpkg-query"]
    with tarfile.open(built.archive) as archive:
        assert archive.getnames() == ["bin/dpdk-testpmd", "bin/dpdk-vdpa"]
    manifest = built.manifest
    assert (manifest.glibc, manifest.packages) == ("2.34", ("libnuma1",))
    assert manifest.commands == ("bin/dpdk-testpmd", "bin/dpdk-vdpa")
    assert manifest.sha256 == file_sha256(built.archive)
    assert manifest.source["kind"] == "mirror"
    assert manifest.built_with == {"gcc": "4:14.2.0-1", "libc6": "2.41-12"}
    assert set(built.seconds) == {"root", "unpack", "configure", "install", "pack"}


def test_the_second_time_nothing_runs(tmp_path, machine, mirror):
    first = builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))
    run = FakeMachine()
    second = builder(tmp_path, machine, mirror, run).build(recipe(mirror))
    assert run.calls == []
    assert second.manifest == first.manifest
    assert second.seconds == {}


def test_another_build_uses_the_same_root(tmp_path, machine, mirror):
    builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))
    run = FakeMachine()
    other = replace(recipe(mirror), steps=(Step(("install",)),))
    (tmp_path / "cache/bundles/dpdk-1-0123456789abcdef/manifest.json").unlink()
    builder(tmp_path, machine, mirror, run).build(other)
    assert ["mmdebstrap"] not in run.calls


def test_a_spoilt_archive_is_built_again(tmp_path, machine, mirror):
    built = builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))
    Path(built.archive).write_bytes(b"half")
    run = FakeMachine()
    again = builder(tmp_path, machine, mirror, run).build(recipe(mirror))
    assert run.calls
    assert again.manifest.sha256 == built.manifest.sha256


def test_a_failed_build_says_where_and_leaves_only_its_log(tmp_path, machine, mirror):
    run = FakeMachine()
    run.fails = "configure"
    with pytest.raises(FastpathError) as error:
        builder(tmp_path, machine, mirror, run).build(recipe(mirror))
    assert "error: no such thing" in error.value.message
    assert "error: no such thing" in Path(error.value.details["log"]).read_text()
    left = {path.name for path in (tmp_path / "cache").iterdir()}
    assert left == {"locks", "logs", "roots"}


def test_what_a_killed_build_left_is_removed(tmp_path, machine, mirror):
    stale = tmp_path / f"cache/.work-dpdk-1-{KEY}.99999"
    (stale / "root").mkdir(parents=True)
    builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))
    assert not stale.exists()


def test_a_root_that_fails_leaves_no_half_archive(tmp_path, machine, mirror):
    def run(argv, timeout, stdin):
        Path(argv[argv.index("trixie") + 1]).write_bytes(b"half")
        return Completed(25, "", "E: cannot reach the archive")

    with pytest.raises(FastpathError, match="cannot reach the archive"):
        builder(tmp_path, machine, mirror, run).build(recipe(mirror))
    assert os.listdir(tmp_path / "cache/roots") == []


def test_a_build_that_leaves_nothing_is_an_error(tmp_path, machine, mirror):
    with pytest.raises(FastpathError, match="left nothing"):
        builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror, steps=(), programs=()))


def test_a_builder_without_tools(tmp_path, machine, mirror):
    (machine / "usr/bin/mmdebstrap").unlink()
    with pytest.raises(FastpathError, match="mmdebstrap"):
        builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))


def test_what_a_build_needs_is_unpacked_at_its_prefix(tmp_path, machine, mirror):
    first = builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror))
    other = replace(MANIFEST, name="openvswitch", key="f" * 16)
    run = FakeMachine()
    wish = recipe(mirror, manifest=other, needs=(MANIFEST,), steps=(), programs=())
    with pytest.raises(FastpathError, match="left nothing"):
        builder(tmp_path, machine, mirror, run).build(wish)
    assert ["tar", os.path.basename(first.archive)] in run.calls


def test_what_it_needs_has_to_be_built_first(tmp_path, machine, mirror):
    other = replace(MANIFEST, name="openvswitch", key="f" * 16)
    with pytest.raises(FastpathError, match="built first"):
        builder(tmp_path, machine, mirror, FakeMachine()).build(recipe(mirror, manifest=other, needs=(MANIFEST,)))


def test_archives_of_the_builder(machine, monkeypatch):
    monkeypatch.delenv("FASTPATH_DEBIAN_MIRROR", raising=False)
    host = Host(root=str(machine))
    assert build_root.package_sources(host, "debian", "trixie") == [
        "deb http://deb/debian trixie main",
        "deb http://deb/debian trixie-updates main",
    ]
    named = build_root.package_sources(host, "ubuntu", "noble", "http://mine/ubuntu/")
    assert named[0] == "deb http://mine/ubuntu noble main universe"
    with pytest.raises(FastpathError, match="apt_mirror"):
        build_root.package_sources(host, "ubuntu", "noble")


def test_default_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert default_cache() == "/c/fastpath/build"


@pytest.mark.skipif(os.geteuid() != 0, reason="a root directory of its own needs root")
def test_the_inside_sees_its_root_only_and_leaves_no_mount(tmp_path):
    """With a root that borrows this machine's programs."""
    root = tmp_path / "root"
    for name in ("usr", "bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).symlink_to(os.readlink(f"/{name}"))
    for name in ("proc", "dev", "usr/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    before = Path("/proc/self/mountinfo").read_text()
    argv = build_root.inside_argv(str(root), ["/usr/bin/none"], "/", {})
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "/usr/bin/none" in done.stderr
    assert Path("/proc/self/mountinfo").read_text() == before


def make_prefix(folder):
    for name, content, mode in (("bin/prog", ELF, 0o755), ("lib/x.pc", b"text", 0o640), ("lib/x.a", b"a", 0o600)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (folder / "lib/link").symlink_to("x.pc")
    return folder


def test_the_same_files_are_the_same_archive(tmp_path):
    sums = set()
    for name in ("one", "two"):
        folder = make_prefix(tmp_path / name)
        os.utime(folder / "bin/prog", (len(sums) * 1000, len(sums) * 1000))
        pack(str(folder), str(tmp_path / f"{name}.tar.xz"))
        sums.add(file_sha256(str(tmp_path / f"{name}.tar.xz")))
    assert len(sums) == 1


def test_what_is_packed(tmp_path):
    folder = make_prefix(tmp_path / "p")
    os.link(folder / "lib/x.a", folder / "lib/y.a")
    pack(str(folder), str(tmp_path / "a.tar.xz"))
    with tarfile.open(tmp_path / "a.tar.xz") as archive:
        items = {item.name: item for item in archive}
    assert list(items) == ["bin/prog", "lib/link", "lib/x.a", "lib/x.pc", "lib/y.a"]
    assert (items["bin/prog"].mode, items["lib/x.pc"].mode) == (0o755, 0o644)
    assert items["lib/link"].issym()
    assert items["lib/y.a"].isreg() and items["lib/x.a"].isreg()


def test_dropping(tmp_path):
    folder = make_prefix(tmp_path / "p")
    drop(str(folder), ["lib/*.a", "absent/*", "bin"])
    assert files_below(str(folder)) == ["lib/link", "lib/x.pc"]


def test_commands_and_symbols(tmp_path):
    folder = make_prefix(tmp_path / "p")
    (folder / "sbin").mkdir()
    (folder / "sbin/daemon").write_text("#!/bin/sh\n")
    (folder / "sbin/daemon").chmod(0o755)
    (folder / "bin/readme").write_text("")
    assert commands_in(str(folder)) == ("bin/prog", "sbin/daemon")
    assert newest_glibc([str(folder / "bin/prog"), str(folder / "lib/x.pc"), str(folder / "absent")]) == "2.34"
    assert newest_glibc([]) == ""
    assert is_elf(str(folder / "bin/prog")) and not is_elf(str(folder / "lib/link"))


def task(tmp_path, **changes):
    node = {
        "node": "node1",
        "architecture": "x86_64",
        "cpu_flags": list(flags_of("x86-64-v3")),
        "glibc": "2.41",
        "os_id": "debian",
        "release": "trixie",
    }
    values = {"spec": {}, "nodes": [node], "cache": str(tmp_path / "cache")}
    return BundleTask(**{**values, **changes})


def test_check_mode_knows_where_a_bundle_will_be_and_builds_nothing(tmp_path):
    result = task(tmp_path, spec={"openvswitch": True}).result(dry_run=True)
    assert result["changed"]
    assert list(result["bundles"]) == ["dpdk", "openvswitch"]
    manifest = result["bundles"]["dpdk"]["manifest"]
    assert (manifest["baseline"], manifest["release"], manifest["sha256"]) == ("x86-64-v3", "trixie", "")
    assert manifest["prefix"].startswith("/opt/fastpath/dpdk/24.11.6-")
    assert not (tmp_path / "cache").exists()


def test_a_baseline_that_a_node_lacks_is_refused_before_the_build(tmp_path):
    with pytest.raises(Refused) as refused:
        task(tmp_path, spec={"baseline": "x86-64-v4"}).result(dry_run=False)
    assert "avx512f" in refused.value.message
    assert "node1" in refused.value.message


def test_a_pair_that_does_not_belong_together_is_refused_before_the_build(tmp_path):
    older = {
        "openvswitch": {
            "version": "3.3.4",
            "file": "ovs.tar.gz",
            "url": "https://ovs.example/ovs.tar.gz",
            "sha256": "0" * 64,
        }
    }
    with pytest.raises(Refused) as refused:
        task(tmp_path, spec={"openvswitch": True}, overrides=older).result(dry_run=False)
    assert [problem.variable for problem in refused.value.problems] == ["fastpath_artefacts"]
    assert "Open vSwitch 3.3.4 with DPDK 24.11.6" in refused.value.message and "23.11" in refused.value.message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("nodes", [["node1"], [{"node": "node1"}], [{"cpu_flags": [], "colour": 1}]])
def test_nodes_that_are_none(tmp_path, nodes):
    with pytest.raises(Refused) as refused:
        task(tmp_path, nodes=nodes).result(dry_run=True)
    assert refused.value.problems[0].variable == "nodes[0]"


def test_patches_that_are_not_there(tmp_path):
    with pytest.raises(Refused, match="no file on the builder"):
        task(tmp_path, spec={"patches": ["/none.patch"]}).result(dry_run=True)


def test_the_program_that_enters_a_root_is_valid_python():
    compile(build_root._ENTER, "enter", "exec")
    assert sys.executable in build_root.inside_argv("/r", ["true"], "/", {})
