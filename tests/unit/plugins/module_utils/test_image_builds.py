# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of one's own: built once, pushed or put into one archive, loaded by digest, given back."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import (
    ImagesState,
    parse_builds,
    parse_bundle,
    parse_listed,
    plan_images,
    plan_images_teardown,
    pull_policy,
    record_images,
    way_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._image_bundle import ImageBundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import ImagesConcern, images_result
from hypothesis import given
from hypothesis import strategies as st

LISTED = """\
REF                           TYPE                                       DIGEST        SIZE     PLATFORMS   LABELS
{rows}"""


def oci(path: Path, content: bytes, images: int = 1) -> str:
    """An OCI archive with one layer; returns its digest."""
    blob = hashlib.sha256(content).hexdigest()
    manifest = json.dumps({"layers": [{"digest": f"sha256:{blob}"}]}).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    entries = [
        {"digest": f"sha256:{digest}", "size": len(manifest), "annotations": {"io.containerd.image.name": "b"}}
    ] * images
    files = {
        f"blobs/sha256/{blob}": content,
        f"blobs/sha256/{digest}": manifest,
        "index.json": json.dumps({"manifests": entries}).encode(),
    }
    with tarfile.open(path, "w") as target:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text)
            target.addfile(item, io.BytesIO(text))
    return f"sha256:{digest}"


def index(path: str) -> dict[str, str]:
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names)) and "oci-layout" in names
        found = json.load(archive.extractfile("index.json") or io.BytesIO())
    names = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
    assert all(len({entry["annotations"][name] for name in names}) == 1 for entry in found["manifests"])
    return {entry["annotations"][names[0]]: entry["digest"] for entry in found["manifests"]}


class Tool:
    """buildah, and a registry. What it builds depends on the context's files alone."""

    def __init__(self, name: str = "buildah") -> None:
        self.name = name
        self.commands: list[list[str]] = []
        self.registry: dict[str, str] = {}
        self.compresses = False
        self.fails = ""

    @property
    def host(self) -> Host:
        return Host(root="/nonexistent", run=self.run)

    def ask(self, url: str) -> str | None:
        return self.registry.get(url)

    def run(self, argv: Any, timeout: float, stdin: str) -> Completed:
        words = list(argv)
        if words[0] != self.name:
            return Completed(127, "", "not found")
        if words[1] == "--version":
            return Completed(0, "1.39", "")
        self.commands.append(words)
        if self.fails == words[1]:
            return Completed(125, "", "no space left")
        if words[1] == "build":
            self.context = words[-1]
        elif words[1] == "push" and words[-1].startswith("oci-archive:"):
            content = b"".join(path.read_bytes() for path in sorted(Path(self.context).rglob("*")) if path.is_file())
            oci(Path(words[-1].split(":")[1]), content)
        elif words[1] == "pull":
            self.pulled = words[-1].removeprefix("oci-archive:")
            return Completed(0, "Getting\n0123abc\n", "")
        elif words[1] == "push":
            with tarfile.open(self.pulled) as archive:
                digest = json.load(archive.extractfile("index.json") or io.BytesIO())["manifests"][0]["digest"]
            digest = "sha256:" + "c" * 64 if self.compresses else digest
            reference = words[-1].removeprefix("docker://")
            name, tag = reference.rsplit(":", 1)
            host, path = name.split("/", 1)
            scheme = "http" if "--tls-verify=false" in words else "https"
            self.registry[f"{scheme}://{host}/v2/{path}/manifests/{tag}"] = digest
            Path(words[words.index("--digestfile") + 1]).write_text(digest)
        else:
            raise AssertionError(f"unexpected command {words}")
        return Completed(0, "", "")


class Node(Host):
    """containerd with images by reference; ``archives``: what an import of a file brings."""

    def __init__(self, root: Path) -> None:
        super().__init__(root=str(root), run=self._command)
        self.images: dict[str, str] = {"registry.k8s.io/pause:3.10": "sha256:" + "f" * 64}
        self.commands: list[list[str]] = []
        self.containerd = True

    def _command(self, argv: Any, timeout: float, stdin: str) -> Completed:
        words = list(argv)
        assert words[:4] == ["ctr", "--namespace", "k8s.io", "images"]
        if words[4] == "list":
            rows = "".join(
                f"{name} application/x {digest} 1.2 MiB linux/amd64 a=b\n" for name, digest in self.images.items()
            )
            return Completed(0 if self.containerd else 1, LISTED.format(rows=rows), "")
        self.commands.append(words[4:])
        if words[4] == "import":
            self.images.update(index(words[5]))
        else:
            assert words[4] == "remove"
            del self.images[words[5]]
        return Completed(0, "", "")


@pytest.fixture
def tool():
    return Tool()


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "src").mkdir(parents=True)
    (folder / "Containerfile").write_text("FROM scratch\n")
    (folder / "src/main").write_text("1")
    return folder


def task(tool: Tool, tmp_path: Path, builds: Any, **more: Any) -> ImageBundleTask:
    return ImageBundleTask(builds, cache=str(tmp_path / "cache"), host=tool.host, ask=tool.ask, **more)


def build(context: Path, **more: Any) -> dict[str, Any]:
    return {"name": "fastpath/agent", "tag": "0.1.0", "context": str(context), **more}


def load(node: Node, made: dict[str, Any] | None, dry_run: bool = False, archive: bool = True) -> dict[str, Any]:
    if made is None:
        return images_result(node, {"state": "absent"}, dry_run)
    path = made["archive"] if archive else None
    return images_result(node, {"state": "present", "bundle": made["manifest"], "archive": path}, dry_run)


def actions(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (step["action"], step["target"])
        for step in result["operations"]
        if step["action"] not in ("save_desired", "forget")
    ]


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

    node = Node(tmp_path / "node")
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
    node = Node(tmp_path / "node")
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


def test_an_archive_may_be_pushed(tool, tmp_path):
    oci(tmp_path / "a.tar", b"x")
    builds = [{"name": "a", "tag": "1", "archive": str(tmp_path / "a.tar")}]
    made = task(tool, tmp_path, builds, registry="r.example.com").result(False)
    assert made["images"] == {"a": "r.example.com/a:1"}
    assert [words[1] for words in tool.commands] == ["pull", "push"]


def test_podman_will_do(tmp_path, context):
    tool = Tool("podman")
    assert task(tool, tmp_path, [build(context)]).result(False)["changed"]
    with pytest.raises(FastpathError, match="Neither buildah nor podman"):
        task(Tool("docker"), tmp_path / "other", [build(context)]).result(False)


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
    assert not load(Node(tmp_path / "node"), None)["changed"]


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


def test_every_problem_at_once():
    with pytest.raises(Refused) as caught:
        parse_builds(
            [
                {"name": "A", "tag": 1.0, "context": "/x"},
                {"name": "a", "tag": "latest", "archive": "/a", "context": "/b"},
                {"name": "b", "tag": "1", "archive": 3, "args": ["x"], "contxt": "y"},
                "c",
                {"name": "d", "tag": "1", "context": "/x"},
                {"name": "d", "tag": "1", "context": "/y"},
            ],
            registry="http://x",
            way="send",
        )
    names = {problem.variable.removeprefix("fastpath_image_builds") for problem in caught.value.problems}
    assert names == {
        "[0].name",
        "[0].tag",
        "[1].tag",
        "[1]",
        "[2].archive",
        "[2].args",
        "[2].contxt",
        "[3]",
        "",
        "fastpath_registry",
        "images_way",
    }
    with pytest.raises(Refused, match="must be a list"):
        parse_builds("x")
    with pytest.raises(Refused, match="needs fastpath_registry"):
        parse_builds([], way="push")
    assert (way_of(""), way_of("r"), way_of("r", "load")) == ("load", "push", "load")
    assert (pull_policy("push"), pull_policy("load")) == ("IfNotPresent", "Never")


def test_an_image_of_that_name_that_is_not_ours_is_not_replaced(tool, tmp_path, context):
    made = task(tool, tmp_path, [build(context)]).result(False)
    node = Node(tmp_path / "node")
    node.images["localhost/fastpath/agent:0.1.0"] = "sha256:" + "9" * 64
    with pytest.raises(Refused, match="with another content, and not by us"):
        load(node, made)
    assert node.commands == []


def test_one_that_was_there_before_stays(tool, tmp_path, context):
    made = task(tool, tmp_path, [build(context)]).result(False)
    node = Node(tmp_path / "node")
    node.images.update(made["manifest"]["images"])
    load(node, made)
    load(node, None)
    assert made["manifest"]["images"].items() <= node.images.items() and node.commands == []


def test_one_that_the_kubelet_removed_is_loaded_again(tool, tmp_path, context):
    made = task(tool, tmp_path, [build(context)]).result(False)
    node = Node(tmp_path / "node")
    load(node, made)
    del node.images["localhost/fastpath/agent:0.1.0"]
    (check,) = verify(ImagesConcern(node), {"bundle": made["manifest"]})
    assert not check.ok and check.seen is None
    assert load(node, made)["changed"]
    del node.images["localhost/fastpath/agent:0.1.0"]
    load(node, None)
    assert list(node.images) == ["registry.k8s.io/pause:3.10"]


def test_an_archive_that_is_another_is_not_used(tool, tmp_path, context):
    made = task(tool, tmp_path, [build(context)]).result(False)
    Path(made["archive"]).write_bytes(b"x")
    node = Node(tmp_path / "node")
    with pytest.raises(FastpathError, match="it is not used"):
        load(node, made)
    assert node.commands == []


def test_no_containerd(tool, tmp_path, context):
    made = task(tool, tmp_path, [build(context)]).result(False)
    node = Node(tmp_path / "node")
    node.containerd = False
    with pytest.raises(Refused, match="needs containerd"):
        load(node, made)
    assert load(node, made, dry_run=True)["changed"]


@pytest.mark.parametrize("bundle", [3, {"schema": "x"}, {"schema": "nfv.fastpath/images/1", "images": {"A": "b"}}])
def test_what_is_no_manifest(bundle):
    with pytest.raises(Refused):
        parse_bundle({"bundle": bundle})


def test_lists_of_containerd():
    digest = "sha256:" + "a" * 64
    assert parse_listed(LISTED.format(rows=f"a:1 x {digest} - - -\nb:2 x - - -\n\n")) == {"a:1": digest}


NAMES = st.sampled_from(["localhost/a:1", "localhost/b:1", "r.example.com/c:2"])
DIGESTS = st.sampled_from(["sha256:" + letter * 64 for letter in "12"])


@given(there=st.dictionaries(NAMES, DIGESTS), steps=st.lists(st.dictionaries(NAMES, DIGESTS), max_size=4))
def test_whatever_is_wanted_in_turn(there, steps):
    """After each step a second one is empty, and at the end is there what was there before."""
    state = ImagesState(dict(there))

    def carried_out(state: ImagesState, plan: Any) -> ImagesState:
        record = record_images(state, plan)
        now = dict(state.there)
        for step in plan.operations:
            if step.action == "load_images":
                now[step.target] = step.after
            else:
                record["loaded"].pop(step.target)
                if step.before is not None:
                    del now[step.target]
        return ImagesState(now, True, record)

    for wanted in steps:
        try:
            state = carried_out(state, plan_images(state, wanted))
        except Refused:
            continue
        assert not plan_images(state, wanted).operations
        assert wanted.items() <= state.there.items()
    state = carried_out(state, plan_images_teardown(state))
    assert state.there == there
