# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What comes in an archive is compiled once, and is the same as ever otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _zip_imports

PYTHONS = [
    sys.executable,
    *sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python") if "/3.9." in str(path)),
    *sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python") if "/3.13." in str(path)),
]
# As AnsiballZ does it: a package of the archive is known before ours is loaded.
RUN = """
import builtins, json, sys, traceback
compiled, compile_ = [], builtins.compile
def counting(source, name, *rest, **options):
    compiled.append(str(name))
    return compile_(source, name, *rest, **options)
sys.path.insert(0, {archive!r})
import top.early
builtins.compile = counting
import top.zip_imports
if {quickly}:
    top.zip_imports.quicken(top.zip_imports.__spec__.loader)
    top.zip_imports.quicken(json.__spec__.loader)
compiled.clear()
import top.inner.late, other
try:
    top.inner.late.fail()
except ValueError:
    line = traceback.extract_tb(sys.exc_info()[2])[-1].line
try:
    import top.absent
except ImportError:
    absent = True
print(json.dumps([len(compiled), [m.__file__ for m in (top.inner, top.inner.late, other)], line, absent]))
"""


@pytest.fixture(name="archive")
def make_archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("top/__init__", "top/early", "top/inner/__init__", "other"):
            archive.writestr(f"{name}.py", "")
        archive.writestr("top/inner/late.py", "def fail():\n    raise ValueError('here')\n")
        archive.write(_zip_imports.__file__, "top/zip_imports.py")
    return str(path)


def run(python, archive, quickly):
    script = RUN.format(archive=archive, quickly=quickly)
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_source_is_compiled_once(archive, python):
    count, *slow = run(python, archive, False)
    assert run(python, archive, True) == [3, *slow]
    assert slow == [
        [f"{archive}/top/inner/__init__.py", f"{archive}/top/inner/late.py", f"{archive}/other.py"],
        "raise ValueError('here')",
        True,
    ]
    assert count >= 3


def test_what_is_in_files_is_left_alone():
    hooks = list(sys.path_hooks)
    _zip_imports.quicken(_zip_imports.__spec__.loader)
    assert sys.path_hooks == hooks
