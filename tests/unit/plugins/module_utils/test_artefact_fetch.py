# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetching: whole and checked or not at all, source after source, with and without a network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import (
    Fetcher,
    default_cache,
    file_sha256,
    fill_mirror,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_task import ArtefactTask
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact, Source
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host

CONTENT = b"an archive" * 1000
SUM = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
URL = Source("url", "https://example.org/x-1.tar.xz", (SUM,))
PACKAGE = Source("package", "x-dev", replaces="is the version that the distribution has")


def artefact(*sources: Source) -> Artefact:
    return Artefact("x", "1", "x-1.tar.xz", (SUM,), sources)


def no_network(url, timeout):
    raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "x-1.tar.xz").write_bytes(CONTENT)
    return folder


def fetcher(tmp_path, mirror="", open_url=no_network, run=None):
    def nothing_runs(argv, timeout, stdin):
        pytest.fail(f"not expected: {argv}")

    return Fetcher(str(tmp_path / "cache"), str(mirror), Host(run=run or nothing_runs), open_url)


def stored(tmp_path):
    folder = tmp_path / "cache/sha256"
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".json") if folder.exists() else []


def test_from_the_mirror_without_asking_anybody(tmp_path, mirror):
    fetched = fetcher(tmp_path, mirror).fetch(artefact(URL))
    assert Path(fetched.path).read_bytes() == CONTENT
    assert (fetched.source.kind, fetched.sha256, fetched.tried, fetched.cached) == ("mirror", SUM, (), False)
    assert stored(tmp_path) == [SUM]


def test_the_second_time_from_the_cache_with_the_source_of_the_first(tmp_path, mirror):
    fetcher(tmp_path, mirror).fetch(artefact(URL))
    again = fetcher(tmp_path).fetch(artefact(URL))
    assert again.cached
    assert again.source == Source("mirror", f"{mirror}/x-1.tar.xz")
    assert again.result()["source"] == f"{mirror}/x-1.tar.xz"


def test_a_cache_whose_notes_are_lost_still_serves(tmp_path, mirror):
    fetched = fetcher(tmp_path, mirror).fetch(artefact(URL))
    os.unlink(fetched.path + ".json")
    assert fetcher(tmp_path).fetch(artefact(URL)).source.kind == "cache"


def test_a_spoilt_cache_is_fetched_again(tmp_path, mirror):
    fetched = fetcher(tmp_path, mirror).fetch(artefact(URL))
    Path(fetched.path).write_bytes(CONTENT[:-1])
    again = fetcher(tmp_path, mirror).fetch(artefact(URL))
    assert not again.cached
    assert file_sha256(again.path) == SUM


def test_wrong_checksum_is_thrown_away_and_the_next_source_tried(tmp_path, mirror):
    (mirror / "x-1.tar.xz").write_bytes(b"other")
    fetched = fetcher(tmp_path, mirror, lambda url, timeout: io.BytesIO(CONTENT)).fetch(artefact(URL))
    assert fetched.source == URL
    assert OTHER in fetched.tried[0]
    assert SUM in fetched.tried[0]
    assert stored(tmp_path) == [SUM]
    assert (mirror / "x-1.tar.xz").read_bytes() == b"other"


def test_everything_that_was_tried_is_said(tmp_path, mirror):
    (mirror / "x-1.tar.xz").write_bytes(b"other")
    unchecked = Source("url", "https://example.net/x-1.tar.xz")
    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path, mirror).fetch(artefact(URL, unchecked, PACKAGE))
    message = error.value.message
    for text in ("wrong checksum", "name resolution", "no checksum is known", "stand-in", "x-1.tar.xz into a mirror"):
        assert text in message
    assert len(error.value.details["tried"]) == 4
    assert stored(tmp_path) == []


def test_no_mirror_is_said_too(tmp_path):
    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path).fetch(artefact(URL))
    assert "FASTPATH_MIRROR" in error.value.message


def test_a_missing_file_in_the_mirror(tmp_path, mirror):
    (mirror / "x-1.tar.xz").unlink()
    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path, mirror).fetch(artefact())
    assert "No such file" in error.value.message


def test_a_server_that_says_no(tmp_path):
    def refuses(url, timeout):
        raise urllib.error.HTTPError(url, 404, "Not Found", {}, None)

    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path, open_url=refuses).fetch(artefact(URL))
    assert "404 Not Found" in error.value.message


def test_a_connection_that_breaks_leaves_nothing(tmp_path):
    class Breaks(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise ConnectionResetError(104, "Connection reset by peer")
            return super().read(10)

    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path, open_url=lambda url, timeout: Breaks(CONTENT)).fetch(artefact(URL))
    assert "reset" in error.value.message
    assert os.listdir(tmp_path / "cache/sha256") == []


def test_an_interrupted_copy_leaves_nothing(tmp_path):
    class Stops(io.BytesIO):
        def read(self, size=-1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetcher(tmp_path, open_url=lambda url, timeout: Stops(CONTENT)).fetch(artefact(URL))
    assert os.listdir(tmp_path / "cache/sha256") == []


def test_the_distribution_stands_in_only_on_request(tmp_path):
    fetched = fetcher(tmp_path).fetch(artefact(URL, PACKAGE), packages_ok=True)
    assert (fetched.path, fetched.source, fetched.version) == ("", PACKAGE, "")
    assert "name resolution" in fetched.tried[1]
    assert fetched.result()["replaces"] == "is the version that the distribution has"


def test_a_go_module_comes_through_go(tmp_path):
    path = tmp_path / "m.zip"
    path.write_bytes(CONTENT)
    calls = []

    def run(argv, timeout, stdin):
        calls.append(list(argv))
        return Completed(0, json.dumps({"Zip": str(path)}), "")

    source = Source("go", "example.org/m@v1", (SUM,), "is older")
    fetched = fetcher(tmp_path, run=run).fetch(artefact(source))
    assert calls == [["go", "mod", "download", "-json", "example.org/m@v1"]]
    assert fetched.source.replaces == "is older"


@pytest.mark.parametrize("done", [Completed(127, "", "go: not found"), Completed(1, "{}", "no such version")])
def test_go_that_fails(tmp_path, done):
    with pytest.raises(FastpathError) as error:
        fetcher(tmp_path, run=lambda argv, timeout, stdin: done).fetch(artefact(Source("go", "m@v1", (SUM,))))
    assert done.err in error.value.message


def test_filling_a_mirror_twice(tmp_path, mirror):
    fetched = fetcher(tmp_path, mirror).fetch(artefact(URL))
    target = tmp_path / "new"
    assert fill_mirror(str(target), [(artefact(URL), fetched)]) == ["x-1.tar.xz"]
    assert (target / "SHA256SUMS").read_text() == f"{SUM}  x-1.tar.xz\n"
    assert fill_mirror(str(target), [(artefact(URL), fetched)]) == []
    (target / "x-1.tar.xz").write_bytes(b"half")
    assert fill_mirror(str(target), [(artefact(URL), fetched)]) == ["x-1.tar.xz"]
    assert sorted(os.listdir(target)) == ["SHA256SUMS", "x-1.tar.xz"]


def test_a_go_module_is_not_put_into_a_mirror(tmp_path):
    path = tmp_path / "m.zip"
    path.write_bytes(CONTENT)

    def run(argv, timeout, stdin):
        return Completed(0, json.dumps({"Zip": str(path)}), "")

    item = artefact(Source("go", "m@v1", (SUM,)))
    fetched = fetcher(tmp_path, run=run).fetch(item)
    assert fill_mirror(str(tmp_path / "new"), [(item, fetched)]) == []


def test_default_cache_is_the_users(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == "/somewhere/fastpath/artefacts"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert default_cache() == "/home/u/.cache/fastpath/artefacts"


def task(tmp_path, **options):
    overrides = {"dpdk": {"version": "1", "sha256": SUM, "url": "http://127.0.0.1:9/none"}}
    return ArtefactTask(["dpdk"], overrides=overrides, cache=str(tmp_path / "cache"), **options)


def test_the_task_says_the_same_in_check_mode(tmp_path, mirror):
    (mirror / "x-1.tar.xz").rename(mirror / "dpdk-1.tar.xz")
    wish = task(tmp_path, mirror=str(mirror), export=str(tmp_path / "out"))
    dry = wish.result(dry_run=True)
    assert not (tmp_path / "cache").exists()
    real = wish.result(dry_run=False)
    assert dry["changed"] is real["changed"] is True
    assert dry["diff"] == real["diff"] == {"before": {"cached": []}, "after": {"cached": ["dpdk"]}}
    assert dry["exported"] == real["exported"] == ["dpdk-1.tar.xz"]
    assert real["artefacts"]["dpdk"]["kind"] == "mirror"
    again = wish.result(dry_run=False)
    assert (again["changed"], again["exported"]) == (False, [])
    assert wish.result(dry_run=True)["changed"] is False


def test_the_task_names_all_that_cannot_be_had(tmp_path):
    wish = ArtefactTask(["seastar", "sriov-cni"], mirror=str(tmp_path), cache=str(tmp_path / "cache"))
    with pytest.raises(FastpathError) as error:
        wish.result(dry_run=False)
    assert "seastar" in error.value.message
    assert "sriov-cni" in error.value.message
    assert len(error.value.details["tried"]) == 4


def test_the_task_refuses_names_it_does_not_know(tmp_path):
    with pytest.raises(Refused) as refused:
        ArtefactTask(["dpkd"], cache=str(tmp_path)).result(dry_run=False)
    assert "known are cni-plugins, dpdk" in refused.value.message


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="taking the network away needs root")
def test_a_mirror_is_enough_where_there_is_no_network(tmp_path, mirror):
    """In a network namespace with nothing in it, with the real opener."""
    (mirror / "x-1.tar.xz").rename(mirror / "dpdk-1.tar.xz")
    program = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
import conftest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_task import ArtefactTask
wish = {{"dpdk": {{"version": "1", "sha256": {SUM!r}}}}}
task = ArtefactTask(["dpdk"], {str(mirror)!r}, wish, cache={str(tmp_path / "cache")!r})
print(task.result(False)["artefacts"]["dpdk"]["kind"])
try:
    ArtefactTask(["dpdk"], "", wish, cache={str(tmp_path / "empty")!r}).result(False)
except Exception as error:
    print(error.message)
"""
    argv = ["unshare", "--net", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    kind, message = done.stdout.splitlines()
    assert kind == "mirror"
    assert "url https://fast.dpdk.org/rel/dpdk-1.tar.xz: " in message
