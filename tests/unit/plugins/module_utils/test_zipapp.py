# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine in one file: complete, the same each time, and runnable by the oldest and the newest Python found."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _zipapp
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import REGISTRY
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import HugepagesNode

PYTHONS = [
    sys.executable,
    *sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python") if "/3.9." in str(path)),
    *sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python") if "/3.13." in str(path)),
]
NR = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"


def test_only_what_is_imported_goes_in():
    sources = {
        "_entry": f"from {_zipapp.PACKAGE}._a import x\ndef f():\n    from {_zipapp.PACKAGE} import _b, _c\n",
        "_a": "import os\nfrom . import nothing\n",
        "_b": f"from {_zipapp.PACKAGE}._entry import f\n",
        "_c": "",
        "_d": "",
    }
    assert set(_zipapp.collect("_entry", sources.__getitem__)) == {"_entry", "_a", "_b", "_c"}


def test_the_engine_is_whole_and_needs_only_the_standard_library():
    sources = _zipapp.collect()
    assert {"_node_cli", "_concern", "_hugepages_node", "_boot_engine", "_zipapp"} <= set(sources)
    assert "_module" not in sources
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            foreign = [each for each in names if not each.startswith(_zipapp.PACKAGE)]
            assert not any(each.startswith("ansible") for each in foreign), name


def test_the_same_sources_are_the_same_file(monkeypatch):
    sources = _zipapp.collect()
    first = _zipapp.pack(sources, "/usr/bin/python3")
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert _zipapp.pack(dict(reversed(sources.items())), "/usr/bin/python3") == first
    assert _zipapp.pack({**sources, "_plan": sources["_plan"] + "#"}, "/usr/bin/python3") != first
    assert first.startswith(b"#!/usr/bin/python3 -IS\n")


def test_modules_keep_their_names():
    archive = zipfile.ZipFile(io.BytesIO(_zipapp.pack({"_a": "A = 1\n"}, "/usr/bin/python3")))
    folder = "ansible_collections/nfv/fastpath/plugins/module_utils"
    assert archive.namelist() == [
        "__main__.py",
        "ansible_collections/__init__.py",
        "ansible_collections/nfv/__init__.py",
        "ansible_collections/nfv/fastpath/__init__.py",
        "ansible_collections/nfv/fastpath/plugins/__init__.py",
        f"{folder}/__init__.py",
        f"{folder}/_a.py",
    ]
    assert archive.testzip() is None


def test_a_module_that_is_not_there():
    with pytest.raises(ImportError, match="_nowhere has no source"):
        _zipapp.source_of("_nowhere")


@pytest.fixture(params=dict.fromkeys(PYTHONS))
def engine(request, tmp_path):
    path = tmp_path / "fastpath-node"
    path.write_bytes(_zipapp.pack(_zipapp.collect(), request.param))
    path.chmod(0o755)
    node = HugepagesNode(tmp_path / "root")

    def run(*argv):
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": "/nonexistent", "LC_ALL": "C"}
        command = [str(path), "--root", str(node.tree), *argv]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)

    return node, run


def want(node, name, spec):
    folder = node.tree / "etc/fastpath"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(spec))


def test_pages_are_brought_back(engine):
    node, run = engine
    want(node, "hugepages", [{"size": "2M", "count": 64, "numa_node": 0, "mount": "/mnt/x"}])
    done = run("apply", "hugepages")
    # A plain file takes the number as it is, but does not count free pages: the engine sees 64 pages, all in use.
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("hugepages: set_pages 2M on NUMA node 0: 0 -> 64 (")
    assert (node.tree / NR).read_text().strip() == "64"
    status = json.loads((node.tree / "run/fastpath/hugepages.json").read_text())
    assert status["ok"] and status["boot_id"] == "boot-1" and status["plan"]["changed"]
    assert [step["action"] for step in status["operations"]] == ["set_pages"]
    again = run("apply")
    assert again.returncode == 0 and "0 operations" in again.stdout


def test_the_same_engine_comes_out_of_the_engine(engine):
    node, _run = engine
    probe = f"import sys; sys.path.insert(0, {str(node.tree.parent / 'fastpath-node')!r})\n"
    probe += f"from {_zipapp.PACKAGE} import _zipapp\n"
    probe += "import hashlib; print(hashlib.sha256(_zipapp.pack(_zipapp.collect(), '/p')).hexdigest())"
    first_line = (node.tree.parent / "fastpath-node").read_bytes().split(b"\n")[0].decode()
    python = first_line[2:].split(" ")[0]
    out = subprocess.run([python, "-I", "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    assert out == hashlib.sha256(_zipapp.pack(_zipapp.collect(), "/p")).hexdigest()


def test_discover_and_verify(engine):
    node, run = engine
    want(node, "hugepages", [{"size": "2M", "count": 64, "numa_node": 0}])
    seen = json.loads(run("discover", "hugepages").stdout)["hugepages"]
    assert seen["pages"]["2048/0"] == {"total": 0, "free": 0, "surplus": 0, "reserved": 0}
    failed = run("verify")
    assert failed.returncode == 1 and "FAILED" in failed.stdout and "1 checks, 1 failed" in failed.stdout
    (node.tree / NR).write_text("64\n")
    passed = run("verify", "--json")
    assert passed.returncode == 0 and json.loads(passed.stdout)[0]["ok"] is True


def test_every_concern_can_be_looked_at(engine):
    node, run = engine
    looked = run("discover")
    assert (looked.returncode, looked.stderr) == (0, "")
    assert set(json.loads(looked.stdout)) == set(REGISTRY)
    want(node, "sriov", {"pfs": [], "noiommu_ok": False})
    assert "sriov: ok, 0 operations" in run("apply", "--wait", "1", "sriov").stdout


def test_help_needs_nothing(engine):
    _node, run = engine
    told = run("--help")
    assert told.returncode == 0 and "--root" not in told.stdout
    assert all(word in told.stdout for word in ("apply", "discover", "verify", "/etc/fastpath"))
    assert run().returncode == 2
