# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What builds and keeps images: buildah with a registry on the controller, and containerd on a node."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._image_bundle import ImageBundleTask, LoginNeeded
from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import images_result

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


class BuildTool:
    """buildah, and a registry. What it builds depends on the context's files alone.

    ``private``: the registry answers nobody who has no login. ``skopeo``: whether that is there, which has one.
    """

    def __init__(self, name: str = "buildah") -> None:
        self.name = name
        self.commands: list[list[str]] = []
        self.registry: dict[str, str] = {}
        self.compresses = False
        self.fails = ""
        self.private = self.skopeo = False

    @property
    def host(self) -> Host:
        return Host(root="/nonexistent", run=self.run)

    def ask(self, url: str) -> str | None:
        if self.private:
            raise LoginNeeded
        return self.registry.get(url)

    def _inspect(self, words: list[str]) -> Completed:
        reference = words[-1].removeprefix("docker://").replace(":", "/manifests/").replace("/", "/v2/", 1)
        found = self.registry.get(f"https://{reference}")
        return Completed(0, f"{found}\n", "") if found else Completed(1, "", "reading manifest: manifest unknown")

    def run(self, argv: Any, timeout: float, stdin: str) -> Completed:
        words = list(argv)
        if words[:2] == ["skopeo", "inspect"] and self.skopeo:
            return self._inspect(words)
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


class ImageNode(Host):
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


def context_folder(folder: Path) -> Path:
    """What an image is built from."""
    context = folder / "context"
    (context / "src").mkdir(parents=True)
    (context / "Containerfile").write_text("FROM scratch\n")
    (context / "src/main").write_text("1")
    return context


def task(tool: BuildTool, tmp_path: Path, builds: Any, **more: Any) -> ImageBundleTask:
    return ImageBundleTask(builds, cache=str(tmp_path / "cache"), host=tool.host, ask=tool.ask, **more)


def build(context: Path, **more: Any) -> dict[str, Any]:
    return {"name": "fastpath/agent", "tag": "0.1.0", "context": str(context), **more}


def load(node: ImageNode, made: dict[str, Any] | None, dry_run: bool = False, archive: bool = True) -> dict[str, Any]:
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
