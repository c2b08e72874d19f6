# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bundles on a node: complete or absent, one of them current, and the way back."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._bundles import (
    REMOVE,
    SWITCH,
    UNPACK,
    Bundles,
    BundleState,
    plan_bundle,
    plan_bundle_teardown,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import pack
from hypothesis import given
from hypothesis import strategies as st

FOLDER = "/opt/fastpath/dpdk"


def manifest(key="a" * 16, **changes):
    return replace(Manifest("dpdk", "1.2", key, "x86_64", "x86-64-v2", (), "debian", "trixie"), **changes)


@pytest.fixture
def bundles(tmp_path):
    return Bundles(Host(root=str(tmp_path / "node")), "dpdk")


def archive(tmp_path, text="one"):
    prefix = tmp_path / f"prefix-{text}"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/prog").write_text(text)
    (prefix / "bin/prog").chmod(0o755)
    (prefix / "bin/alias").symlink_to("prog")
    path = str(tmp_path / f"{text}.tar.xz")
    pack(str(prefix), path)
    return path


def bring(bundles, tmp_path, text, key):
    path = archive(tmp_path, text)
    wish = manifest(key, sha256=file_sha256(path))
    for operation in plan_bundle(bundles.discover(), wish):
        bundles.perform(operation, path)
    return wish


def test_unpack_and_switch(bundles, tmp_path):
    wish = bring(bundles, tmp_path, "one", "a" * 16)
    assert bundles.discover() == BundleState((wish.folder,), wish.folder)
    assert bundles.host.read(f"{FOLDER}/current/bin/alias") == "one"
    assert bundles.host.mode(f"{FOLDER}/current/bin/prog") == 0o755
    assert bundles.manifest() == wish
    assert plan_bundle(bundles.discover(), wish) == []


def test_the_former_one_stays_for_the_way_back_and_costs_no_copy(bundles, tmp_path):
    first = bring(bundles, tmp_path, "one", "a" * 16)
    second = bring(bundles, tmp_path, "two", "b" * 16)
    assert bundles.host.read(f"{FOLDER}/current/bin/prog") == "two"
    back = plan_bundle(bundles.discover(), first)
    assert [step.action for step in back] == [SWITCH]
    for step in back:
        bundles.perform(step)
    assert bundles.host.read(f"{FOLDER}/current/bin/prog") == "one"
    assert bundles.discover().unpacked == tuple(sorted([first.folder, second.folder]))


def test_the_one_before_the_former_goes(bundles, tmp_path):
    for text, key in (("one", "a"), ("two", "b"), ("three", "c")):
        bring(bundles, tmp_path, text, key * 16)
    assert [folder[-1] for folder in bundles.discover().unpacked] == ["b", "c"]


def test_the_recorded_former_one_stays_when_nothing_is_switched():
    state = BundleState(("1.2-" + "a" * 16, "1.2-" + "b" * 16), "1.2-" + "b" * 16)
    assert plan_bundle(state, manifest("b" * 16), "1.2-" + "a" * 16) == []


def test_teardown_leaves_nothing(bundles, tmp_path):
    bring(bundles, tmp_path, "one", "a" * 16)
    bring(bundles, tmp_path, "two", "b" * 16)
    for step in plan_bundle_teardown("dpdk", bundles.discover()):
        bundles.perform(step)
    assert bundles.discover() == BundleState()
    assert not bundles.host.exists("/opt/fastpath")


def test_cut_off_while_unpacking(bundles, tmp_path):
    """Whatever the point: half a folder is not a bundle, and the next run goes on."""
    path = archive(tmp_path)
    wish = manifest(sha256=file_sha256(path))
    half = bundles.host.path(f"{FOLDER}/.new-{wish.folder}")
    os.makedirs(half)
    os.makedirs(bundles.host.path(wish.prefix))
    assert bundles.discover().unpacked == ()
    bundles.unpack(wish, path)
    assert bundles.discover().unpacked == (wish.folder,)
    assert not os.path.exists(half)


def test_cut_off_while_switching(bundles, tmp_path):
    os.makedirs(bundles.host.path(FOLDER))
    os.symlink("left", bundles.host.path(f"{FOLDER}/.current"))
    wish = bring(bundles, tmp_path, "one", "a" * 16)
    assert bundles.discover().current == wish.folder


def test_cut_off_while_removing(bundles, tmp_path):
    wish = bring(bundles, tmp_path, "one", "a" * 16)
    bundles.host.remove(f"{wish.prefix}/bundle.json")
    assert bundles.discover().unpacked == ()
    path = str(tmp_path / "one.tar.xz")
    for operation in plan_bundle(bundles.discover(), wish):
        bundles.perform(operation, path)
    assert bundles.discover().unpacked == (wish.folder,)


def test_an_archive_that_changed_on_the_way(bundles, tmp_path):
    with pytest.raises(FastpathError, match="not unpacked"):
        bundles.unpack(manifest(sha256="0" * 64), archive(tmp_path))
    assert not bundles.host.exists("/opt/fastpath")


@pytest.mark.parametrize("path", [None, "/none"])
def test_an_archive_that_did_not_arrive(bundles, path):
    with pytest.raises(FastpathError, match="did not arrive"):
        bundles.unpack(manifest(), path)


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../evil", tarfile.REGTYPE, ""),
        ("/etc/evil", tarfile.REGTYPE, ""),
        ("bin/link", tarfile.SYMTYPE, "../../outside"),
        ("bin/link", tarfile.SYMTYPE, "/etc/passwd"),
        ("bin/hard", tarfile.LNKTYPE, "bin/prog"),
        ("dev", tarfile.CHRTYPE, ""),
    ],
)
def test_strange_archives(bundles, tmp_path, name, kind, link):
    path = str(tmp_path / "strange.tar.xz")
    with lzma.open(path, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as target:
        item = tarfile.TarInfo(name)
        item.type, item.linkname = kind, link
        target.addfile(item, io.BytesIO(b""))
    wish = manifest(sha256=file_sha256(path))
    with pytest.raises(FastpathError, match="no bundle has"):
        bundles.unpack(wish, path)
    assert bundles.discover().unpacked == ()


KEYS = [letter * 16 for letter in "abcd"]


@given(st.lists(st.sampled_from(KEYS), max_size=4, unique=True), st.sampled_from([None, *KEYS]), st.sampled_from(KEYS))
def test_after_a_plan_there_is_nothing_left_to_do(unpacked, current, wanted):
    state = BundleState(tuple(f"1.2-{key}" for key in unpacked), current and f"1.2-{current}")
    operations = plan_bundle(state, manifest(wanted))
    after = set(state.unpacked)
    link = state.current
    for step in operations:
        if step.action == UNPACK:
            after.add(step.after["prefix"].rsplit("/", 1)[-1])
        elif step.action == SWITCH:
            assert step.after in after
            link = step.after
        else:
            assert step.action == REMOVE and step.before != link
            after.discard(step.before)
    final = BundleState(tuple(sorted(after)), link)
    former = state.current if state.current != link else None
    assert link == f"1.2-{wanted}"
    assert plan_bundle(final, manifest(wanted), former) == []
    assert len(after) <= 2
