# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cache: one build for many who ask, and nothing of a build that was cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastpath_lab.cache import MANIFEST, Cache, digest

PACKAGE = Path(__file__).resolve().parents[2] / "lab"

# Builds one entry; says so in a file that all processes share; then waits for its input to end.
BUILDER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fastpath_lab.cache import Cache

def build(work):
    with open(sys.argv[3], "a") as log:
        log.write("built\\n")
    (work / "data").write_text("half")
    print("building", flush=True)
    sys.stdin.read()
    (work / "data").write_text("whole")

print(Cache(Path(sys.argv[2])).get("thing", {"a": 1}, build), flush=True)
"""


def builder(folder, log, stdin=subprocess.PIPE):
    argv = [sys.executable, "-c", BUILDER, str(PACKAGE), str(folder), str(log)]
    return subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, text=True)


def fill(text):
    return lambda work: (work / "data").write_text(text) and None


def never(work):
    raise AssertionError("built again")


def test_second_request_does_not_build(tmp_path):
    cache = Cache(tmp_path)
    first = cache.get("thing", {"a": 1}, fill("x"))
    assert cache.get("thing", {"a": 1}, never) == first
    assert (first / "data").read_text() == "x"


def test_changed_input_is_another_entry(tmp_path):
    cache = Cache(tmp_path)
    assert cache.get("thing", {"a": 1}, fill("x")) != cache.get("thing", {"a": 2}, fill("y"))


def test_digest_ignores_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_failed_build_leaves_nothing(tmp_path):
    def fail(work):
        (work / "data").write_text("half")
        raise RuntimeError("no")

    cache = Cache(tmp_path)
    with pytest.raises(RuntimeError):
        cache.get("thing", {"a": 1}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]
    assert (cache.get("thing", {"a": 1}, fill("x")) / "data").read_text() == "x"


DAMAGES = {
    "cut": lambda entry: os.truncate(entry / "data", 2),
    "change": lambda entry: (entry / "data").write_text("WHOLE"),
    "remove": lambda entry: (entry / "data").unlink(),
    "manifest": lambda entry: (entry / MANIFEST).write_text('{"key": '),
    "no manifest": lambda entry: (entry / MANIFEST).unlink(),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_entry_is_built_again(tmp_path, damage):
    cache = Cache(tmp_path)
    entry = cache.get("thing", {"a": 1}, fill("whole"))
    DAMAGES[damage](entry)
    assert cache.find("thing", digest({"a": 1})) is None
    assert (cache.get("thing", {"a": 1}, fill("whole")) / "data").read_text() == "whole"


def test_manifest_says_what_went_in(tmp_path):
    entry = Cache(tmp_path).get("thing", {"a": 1}, fill("x"))
    manifest = json.loads((entry / MANIFEST).read_text())
    assert manifest["inputs"] == {"a": 1} and list(manifest["files"]) == ["data"]


def test_threads_build_once(tmp_path):
    built = []
    barrier = threading.Barrier(8)

    def build(work):
        built.append(1)
        (work / "data").write_text("x")

    def ask(_number):
        barrier.wait(10)
        return Cache(tmp_path).get("thing", {"a": 1}, build)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert len(built) == 1


def test_processes_build_once(tmp_path):
    log = tmp_path / "log"
    several = [builder(tmp_path / "cache", log, subprocess.DEVNULL) for _number in range(4)]
    answers = {process.communicate(timeout=60)[0].splitlines()[-1] for process in several}
    assert len(answers) == 1
    assert log.read_text() == "built\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_build_is_never_used(tmp_path, number):
    cache, log = tmp_path / "cache", tmp_path / "log"
    victim = builder(cache, log)
    assert victim.stdout.readline() == "building\n"
    victim.send_signal(number)
    victim.communicate(timeout=30)
    assert Cache(cache).find("thing", digest({"a": 1})) is None
    entry = Cache(cache).get("thing", {"a": 1}, fill("whole"))
    assert (entry / "data").read_text() == "whole"
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


def test_waiting_run_takes_over_from_a_killed_one(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    victim = builder(cache, log)
    assert victim.stdout.readline() == "building\n"
    heir = builder(cache, log)
    victim.kill()
    victim.communicate(timeout=30)
    out, _err = heir.communicate("", timeout=60)
    assert (Path(out.splitlines()[-1]) / "data").read_text() == "whole"


def test_prune_keeps_what_is_used_and_what_is_not_the_labs(tmp_path):
    cache = Cache(tmp_path / "lab")
    old = cache.get("thing", {"a": 1}, fill("x"))
    new = cache.get("thing", {"a": 2}, fill("y"))
    kept = cache.get("thing", {"a": 3}, fill("z"))
    for entry in (old, kept):
        os.utime(entry / MANIFEST, (0, 0))
    assert cache.prune({kept}, older_than=3600) == [old]
    assert new.exists() and kept.exists()


def test_prune_leaves_a_running_build_alone(tmp_path):
    cache, log = tmp_path / "cache", tmp_path / "log"
    running = builder(cache, log)
    assert running.stdout.readline() == "building\n"
    assert Cache(cache).prune(set(), older_than=-1) == []
    out, _err = running.communicate("", timeout=60)
    assert (Path(out.splitlines()[-1]) / "data").read_text() == "whole"
