# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How Go programs are built, and what makes them be built again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fastpath_lab import components, golang, process
from fastpath_lab.cache import Cache
from fastpath_lab.errors import LabError
from fastpath_lab.golang import MODULES, GoSet


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("gopkg.in/k8snetworkplumbingwg/multus-cni.v4/cmd/passthru-cni", "passthru-cni"),
        ("./cmd", "cmd"),
    ],
)
def test_name_that_go_gives(package, name):
    assert golang.default_name(package) == name


def test_command():
    wanted = GoSet("some", {"a": "example.com/a", "b": "./b"}, (("example.com/v.version", "v1"),))
    assert golang.argv(wanted, Path("/src"), Path("/out")) == [
        "go",
        "build",
        "-C",
        "/src",
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        "-s -w -X=example.com/v.version=v1",
        "-o",
        "/out/",
        "example.com/a",
        "./b",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no go in PATH"), ("go1.19.8", "Go 1.26 or newer is needed .* here is go1.19.8")],
)
def test_go_that_will_not_do(monkeypatch, text, message):
    monkeypatch.setattr(shutil, "which", lambda name: text and "/usr/bin/go")
    monkeypatch.setattr(process, "output", lambda argv: "local\n" if argv[-1] == "GOTOOLCHAIN" else f"{text}\n")
    with pytest.raises(LabError, match=message):
        golang.version()


def test_old_go_that_gets_itself_a_new_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/go")
    monkeypatch.setattr(process, "output", lambda argv: "auto\n" if argv[-1] == "GOTOOLCHAIN" else "go1.24.4\n")
    assert golang.version() == "go1.24.4"


def module_folder(folder):
    folder.mkdir()
    (folder / "go.mod").write_text("module m\n\nrequire example.com/x v1.2.3 // indirect\n")
    (folder / "go.sum").write_text("example.com/x v1.2.3 h1:abc=\n")
    (folder / "notes.txt").write_text("nothing\n")
    return folder


def test_pins_and_sources_are_the_key_and_nothing_else(tmp_path):
    folder = module_folder(tmp_path / "m")
    assert sorted(golang.module_inputs(folder)) == ["go.mod", "go.sum"]
    (folder / "main.go").write_text("package main\n")
    assert sorted(golang.module_inputs(folder)) == ["go.mod", "go.sum", "main.go"]


def test_pinned_version(tmp_path):
    folder = module_folder(tmp_path / "m")
    assert golang.pinned(folder, "example.com/x") == "v1.2.3"
    with pytest.raises(LabError, match="does not pin example.com/y"):
        golang.pinned(folder, "example.com/y")


def fake_go(monkeypatch, calls):
    """A Go that leaves files by the names that the real one would."""

    def run(argv, *, timeout, log, env):
        calls.append(argv)
        assert env["CGO_ENABLED"] == "0"
        out = Path(argv[argv.index("-o") + 1])
        for package in argv[argv.index("-o") + 2 :]:
            (out / golang.default_name(package)).write_text(package)
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(golang, "version", lambda: "go1.26.8")


def test_built_once_and_again_when_a_pin_changes(tmp_path, monkeypatch):
    calls = []
    fake_go(monkeypatch, calls)
    cache, folder = Cache(tmp_path / "cache"), module_folder(tmp_path / "m")
    wanted = GoSet("some", {"etcd": "go.etcd.io/etcd/server/v3", "kubelet": "k8s.io/kubernetes/cmd/kubelet"})
    first = golang.module(cache, wanted, folder)
    assert golang.module(cache, wanted, folder) == first
    assert len(calls) == 1
    assert (first / "etcd").read_text() == "go.etcd.io/etcd/server/v3"
    assert not (first / ".go").exists()
    with (folder / "go.sum").open("a") as handle:
        handle.write("example.com/z v1.0.0 h1:def=\n")
    assert golang.module(cache, wanted, folder) != first


def test_another_go_builds_again(tmp_path, monkeypatch):
    calls = []
    fake_go(monkeypatch, calls)
    cache, folder = Cache(tmp_path / "cache"), module_folder(tmp_path / "m")
    wanted = GoSet("some", {"kubelet": "k8s.io/kubernetes/cmd/kubelet"})
    first = golang.module(cache, wanted, folder)
    monkeypatch.setattr(golang, "version", lambda: "go1.27.0")
    assert golang.module(cache, wanted, folder) != first


@pytest.mark.parametrize(
    "wanted",
    [components.kubernetes_set(), components.multus_thick_set(), components.multus_thin_set(), components.cni_set()],
    ids=lambda wanted: wanted.name,
)
def test_every_program_is_a_tool_that_its_go_mod_pins(wanted):
    """What is not named there, `go mod tidy` would drop the checksums of."""
    text = (MODULES / wanted.name / "go.mod").read_text(encoding="utf-8")
    tools = text.partition("tool (\n")[2].partition(")")[0].split()
    assert sorted(wanted.programs.values()) == sorted(tools)


def test_kubernetes_and_its_parts_are_of_one_version():
    text = (MODULES / "kubernetes/go.mod").read_text(encoding="utf-8")
    version = components.kubernetes_version()
    assert version.startswith("v1.36.")
    replaced = [line.split("=>")[1].split()[1] for line in text.splitlines() if "=>" in line]
    assert set(replaced) == {version.replace("v1.", "v0.", 1)}


def test_the_programs_say_their_version():
    values = dict(components.kubernetes_set().values)
    assert values["k8s.io/component-base/version.gitVersion"] == components.kubernetes_version()
    assert values["k8s.io/component-base/version.gitMinor"] == "36"


def test_pins_are_the_ones_that_the_collection_installs():
    from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_list import ARTEFACTS

    cni = ARTEFACTS.get("cni-plugins")
    if cni:
        assert golang.pinned(MODULES / "cni", "github.com/containernetworking/plugins") == f"v{cni['version']}"
    assert set(components.FROM_SOURCE) <= set(ARTEFACTS)
