# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of one's own on the controller: built once, pushed or put into one archive."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from email.message import Message

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._image_bundle import ImageBundleTask, LoginNeeded
from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import ImagesConcern
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.image_models import (
    BuildTool,
    ImageNode,
    actions,
    build,
    context_folder,
    index,
    load,
    oci,
    task,
)


@pytest.fixture
def tool():
    return BuildTool()


@pytest.fixture
def context(tmp_path):
    return context_folder(tmp_path)


def test_without_a_registry(tool, tmp_path, context):
    builds = [build(context), {"name": "ghcr.io/x/multus", "tag": "v4", "archive": str(tmp_path / "multus.tar")}]
    digest = oci(tmp_path / "multus.tar", b"multus")
    ahead = task(tool, tmp_path, builds).result(True)
    assert (ahead["changed"], ahead["archive"], tool.commands) == (True, "", [])
    assert ahead["manifest"]["images"] == {"ghcr.io/x/multus:v4": digest, "localhost/fastpath/agent:0.1.0": ""}
    made = task(tool, tmp_path, builds).result(False)
    assert made["images"] == {
        "fastpath/agent": "localhost/fastpath/agent:0.1.0",
        "ghcr.io/x/multus": "ghcr.io/x/multus:v4",
    }
    assert (made["way"], made["pull_policy"]) == ("load", "Never")
    assert index(made["archive"]) == made["manifest"]["images"]
    assert [words[1] for words in tool.commands] == ["build", "push"]
    again = task(tool, tmp_path, builds).result(False)
    assert (again["changed"], again["manifest"], len(tool.commands)) == (False, made["manifest"], 2)
    assert task(tool, tmp_path, builds).result(True)["changed"] is False

    node = ImageNode(tmp_path / "node")
    before = dict(node.images)
    assert load(node, made, archive=False)["archive_needed"]
    foretold = load(node, made, dry_run=True)
    loaded = load(node, made)
    assert loaded["operations"] == foretold["operations"]
    assert actions(loaded) == [("load_images", name) for name in sorted(made["manifest"]["images"])]
    assert len(node.commands) == 1, "one import for all"
    assert node.images == {**before, **made["manifest"]["images"]}
    second = load(node, made, archive=False)
    assert (second["changed"], second["archive_needed"], len(node.commands)) == (False, False, 1)
    assert all(check.ok for check in verify(ImagesConcern(node), {"bundle": made["manifest"]}))
    load(node, None)
    assert node.images == before
    assert not load(node, None)["changed"]


def test_a_changed_context_is_another_image(tool, tmp_path, context):
    first = task(tool, tmp_path, [build(context)]).result(False)
    (context / "src/main").write_text("2")
    assert task(tool, tmp_path, [build(context)]).result(True)["changed"]
    second = task(tool, tmp_path, [build(context)]).result(False)
    assert first["manifest"]["images"] != second["manifest"]["images"]
    node = ImageNode(tmp_path / "node")
    load(node, first)
    assert actions(load(node, second)) == [("load_images", "localhost/fastpath/agent:0.1.0")]
    assert (
        node.images["localhost/fastpath/agent:0.1.0"] == second["manifest"]["images"]["localhost/fastpath/agent:0.1.0"]
    )


def test_modes_links_and_arguments_count(tool, tmp_path, context):
    task(tool, tmp_path, [build(context)]).result(False)
    os.chmod(context / "src/main", 0o755)
    assert task(tool, tmp_path, [build(context)]).result(False)["changed"]
    os.symlink("main", context / "src/other")
    assert task(tool, tmp_path, [build(context)]).result(False)["changed"]
    assert task(tool, tmp_path, [build(context, args={"VERSION": 1})]).result(False)["changed"]
    words = tool.commands[-2]
    assert words[words.index("--build-arg") + 1] == "VERSION=1" and words[words.index("--timestamp") + 1] == "0"


def test_with_a_registry(tool, tmp_path, context):
    options = {"registry": "registry.example.com:5000/team"}
    ahead = task(tool, tmp_path, [build(context)], **options).result(True)
    assert ahead["changed"] and tool.registry == {}
    made = task(tool, tmp_path, [build(context)], **options).result(False)
    assert (made["way"], made["pull_policy"], made["archive"]) == ("push", "IfNotPresent", "")
    assert list(tool.registry) == ["https://registry.example.com:5000/v2/team/fastpath/agent/manifests/0.1.0"]
    count = len(tool.commands)
    assert task(tool, tmp_path, [build(context)], **options).result(False)["changed"] is False
    assert len(tool.commands) == count
    tool.registry.clear()
    assert task(tool, tmp_path, [build(context)], **options).result(True)["diff"]["after"]["pushed"]
    assert task(tool, tmp_path, [build(context)], **options).result(False)["changed"]


def test_a_registry_that_is_given_another_manifest(tool, tmp_path, context):
    tool.compresses = True
    options = {"registry": "127.0.0.1:5000", "plain_http": True}
    task(tool, tmp_path, [build(context)], **options).result(False)
    assert task(tool, tmp_path, [build(context)], **options).result(False)["changed"] is False
    (context / "src/main").write_text("2")
    assert task(tool, tmp_path, [build(context)], **options).result(False)["diff"]["after"]["pushed"]


def test_a_registry_that_says_nothing_to_strangers_has_what_was_pushed(tool, tmp_path, context):
    tool.private = tool.compresses = True
    options = {"registry": "ghcr.io/team"}
    assert task(tool, tmp_path, [build(context)], **options).result(False)["diff"]["after"]["pushed"]
    count = len(tool.commands)
    for dry_run in (True, False):
        assert task(tool, tmp_path, [build(context)], **options).result(dry_run)["changed"] is False
    assert len(tool.commands) == count
    (context / "src/main").write_text("2")
    assert task(tool, tmp_path, [build(context)], **options).result(False)["diff"]["after"]["pushed"]


def test_a_registry_that_says_nothing_to_strangers_is_asked_with_the_login(tool, tmp_path, context):
    tool.private = tool.skopeo = True
    options = {"registry": "ghcr.io/team"}
    task(tool, tmp_path, [build(context)], **options).result(False)
    (tmp_path / "cache/pushed.json").unlink()
    assert task(tool, tmp_path, [build(context)], **options).result(False)["changed"] is False
    tool.registry.clear()
    assert task(tool, tmp_path, [build(context)], **options).result(True)["diff"]["after"]["pushed"]
    assert task(tool, tmp_path, [build(context)], **options).result(False)["diff"]["after"]["pushed"]


@pytest.mark.parametrize(("code", "error"), [(401, LoginNeeded), (403, LoginNeeded), (500, FastpathError)])
def test_what_a_registry_answers(monkeypatch, code, error):
    def open_(self, request, timeout):
        raise urllib.error.HTTPError(request.full_url, code, "", Message(), None)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", open_)
    with pytest.raises(error):
        ImageBundleTask().ask("https://r.example.com/v2/a/manifests/1")
    code = 404
    assert ImageBundleTask().ask("https://r.example.com/v2/a/manifests/1") is None


def test_an_archive_may_be_pushed(tool, tmp_path):
    oci(tmp_path / "a.tar", b"x")
    builds = [{"name": "a", "tag": "1", "archive": str(tmp_path / "a.tar")}]
    made = task(tool, tmp_path, builds, registry="r.example.com").result(False)
    assert made["images"] == {"a": "r.example.com/a:1"}
    assert [words[1] for words in tool.commands] == ["pull", "push"]


def test_podman_will_do(tmp_path, context):
    tool = BuildTool("podman")
    assert task(tool, tmp_path, [build(context)]).result(False)["changed"]
    with pytest.raises(FastpathError, match="Neither buildah nor podman"):
        task(BuildTool("docker"), tmp_path / "other", [build(context)]).result(False)


@pytest.mark.parametrize("step", ["build", "push"])
def test_a_failure_leaves_nothing_half(tool, tmp_path, context, step):
    tool.fails = step
    with pytest.raises(FastpathError, match="no space left"):
        task(tool, tmp_path, [build(context)]).result(False)
    assert not list((tmp_path / "cache").glob("*/image.tar")) and not list((tmp_path / "cache").glob("*.new"))
    tool.fails = ""
    assert task(tool, tmp_path, [build(context)]).result(False)["archive"]


def test_a_damaged_cache_is_built_again(tool, tmp_path, context):
    task(tool, tmp_path, [build(context)]).result(False)
    (path,) = (tmp_path / "cache").glob("*/image.tar")
    path.write_bytes(b"")
    assert task(tool, tmp_path, [build(context)]).result(False)["changed"]


def test_nothing_is_asked_for(tool, tmp_path):
    made = task(tool, tmp_path, None).result(False)
    assert (made["changed"], made["images"], made["archive"]) == (False, {}, "")
    assert not load(ImageNode(tmp_path / "node"), None)["changed"]


def test_what_is_not_there(tool, tmp_path, context):
    (tmp_path / "words.tar").write_text("words")
    oci(tmp_path / "two.tar", b"x", images=2)
    for builds, words in (
        ([build(tmp_path / "none")], "no folder on the controller"),
        ([build(context, file="Dockerfile")], "is no file in"),
        ([{"name": "a", "tag": "1", "archive": "/nonexistent"}], "no file on the controller"),
        ([{"name": "a", "tag": "1", "archive": str(tmp_path / "words.tar")}], "is no OCI archive"),
        ([{"name": "a", "tag": "1", "archive": str(tmp_path / "two.tar")}], "has 2 images"),
    ):
        with pytest.raises(Refused, match=words):
            task(tool, tmp_path, builds).result(True)
