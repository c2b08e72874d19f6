# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own images are built from what the collection has, and from checked sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import parse_builds
from ansible_collections.nfv.fastpath.plugins.plugin_utils._own_images import with_contexts

CHECKOUT = Path(__file__).resolve().parents[4]
RECIPE = CHECKOUT / "images/node-agent"
ENTRY = {"name": "fastpath/node-agent", "tag": "v0.1.0", "own": "node-agent", "args": {"DPDK_PACKAGES": "x"}}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "dpdk-24.11.6.tar.xz"
    path.write_bytes(b"source")
    return path


def test_a_folder_to_build_from(tmp_path, source):
    asked = []

    def fetch(name):
        asked.append(name)
        return str(source)

    theirs = {"name": "a/b", "tag": "1", "archive": "/x"}
    (own, other) = with_contexts([ENTRY, theirs], str(tmp_path / "cache"), fetch)
    assert other == theirs and asked == ["dpdk"]
    folder = Path(own["context"])
    assert "own" not in own and own["args"] == ENTRY["args"]
    assert parse_builds([own])[0].file == "Containerfile"
    for name in ("Containerfile", "requirements.lock", "dpdk.tar.xz", "agent/fastpath_agent/cli.py"):
        assert (folder / name).is_file(), name
    assert (folder / "agent/fastpath-agent").stat().st_mode & 0o111
    assert with_contexts([ENTRY], str(tmp_path / "cache"), fetch)[0]["context"] == own["context"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({**ENTRY, "own": "agent"}, "fastpath_image_builds[0].own = 'agent': is no image of the collection"),
        ({**ENTRY, "context": "/srv"}, "fastpath_image_builds[0].context = '/srv': stands beside own"),
    ],
)
def test_what_cannot_be(tmp_path, entry, said):
    with pytest.raises(Refused) as refused:
        with_contexts([entry], str(tmp_path), lambda name: "")
    assert said in str(refused.value)


@pytest.mark.parametrize("builds", [None, "x", {"a": 1}, [1]])
def test_what_others_judge(tmp_path, builds):
    assert with_contexts(builds, str(tmp_path), lambda name: "") == builds


def test_python_is_pinned_as_it_is_tested():
    """Each with its hashes, in the versions of the tests."""
    own, tested = (
        {line.split()[0] for line in path.read_text().splitlines() if re.match(r"[a-z]", line)}
        for path in (RECIPE / "requirements.lock", CHECKOUT / "requirements/dev.lock")
    )
    assert own <= tested
    assert any(pin.startswith("grpcio==") for pin in own)
    assert "--hash=sha256:" in (RECIPE / "requirements.lock").read_text()


def test_both_programs_are_in_it():
    text = (RECIPE / "Containerfile").read_text()
    assert "-Dexamples=vdpa" in text and "/usr/bin/dpdk-vdpa /usr/bin/dpdk-testpmd" in text
    assert "ifc-on-virtio" not in text
