# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images out of plain files: the same files give the same digests, on every machine.

Layers are not compressed: an emulated node would take longer to unpack them than to fetch them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = 1 << 20
TAR_END = bytes(2 * tarfile.BLOCKSIZE)
_LAYOUT = b'{"imageLayoutVersion": "1.0.0"}\n'


@dataclass(frozen=True)
class Item:
    """A file (``source`` or ``text``), a symbolic link (``link``) or, with none of them, a folder."""

    path: str
    source: Path | None = None
    text: str | None = None
    link: str | None = None
    mode: int = 0o755


@dataclass(frozen=True)
class Image:
    """An image. ``repository`` has no registry: that is where it happens to lie."""

    repository: str
    tag: str
    items: tuple[Item, ...]
    command: tuple[str, ...] = ()
    user: str = ""

    @property
    def name(self) -> str:
        """Repository and tag."""
        return f"{self.repository}:{self.tag}"


def with_folders(items: Iterable[Item]) -> list[Item]:
    """Return items in order, each after the folders that it is in. Pure."""
    found: dict[str, Item] = {}
    for item in items:
        path = item.path.strip("/")
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            found.setdefault(folder, Item(folder))
        found[path] = Item(path, item.source, item.text, item.link, item.mode)
    return [found[path] for path in sorted(found)]


def _header(item: Item) -> tuple[tarfile.TarInfo, IO[bytes] | None]:
    info = tarfile.TarInfo(item.path)
    info.mode = item.mode
    if item.link is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, item.link, 0o777
        return info, None
    if item.text is not None:
        data = item.text.encode()
        info.size = len(data)
        return info, io.BytesIO(data)
    if item.source is not None:
        info.size = item.source.stat().st_size
        return info, open(item.source, "rb")
    info.type = tarfile.DIRTYPE
    return info, None


def write_layer(items: Iterable[Item], target: Path) -> None:
    """Write a layer as a tar file; owners and times are always the same."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as packed:
        for item in with_folders(items):
            info, stream = _header(item)
            packed.addfile(info, stream)
            if stream:
                stream.close()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


class Layout:
    """Images in one folder, in the format that registries, containerd and buildah read: an OCI image layout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs/sha256"

    def add(self, image: Image) -> None:
        """Write an image into the folder."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        partial = self.folder / ".layer"
        write_layer(image.items, partial)
        digest, size = _sha256(partial), partial.stat().st_size
        os.replace(partial, self.blobs / digest)
        layer = {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}
        run: dict[str, Any] = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
        run |= {"Entrypoint": list(image.command)} if image.command else {}
        run |= {"User": image.user} if image.user else {}
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._json(config, _CONFIG),
            "layers": [layer],
        }
        self._index(image, self._json(manifest, MANIFEST))

    def _json(self, value: Any, media_type: str) -> dict[str, Any]:
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def _index(self, image: Image, manifest: dict[str, Any]) -> None:
        entries = {**self.images(), image.name: manifest}
        listed = [{**entry, "annotations": _annotations(name)} for name, entry in sorted(entries.items())]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
        (self.folder / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        (self.folder / "oci-layout").write_bytes(_LAYOUT)

    def images(self) -> dict[str, dict[str, Any]]:
        """Return the manifests' descriptors by the images' names."""
        try:
            index = json.loads((self.folder / "index.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {
            entry["annotations"][_NAME]: {key: entry[key] for key in ("mediaType", "digest", "size")}
            for entry in index["manifests"]
        }

    def blob(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.blobs / digest.removeprefix("sha256:")

    def blobs_of(self, descriptor: dict[str, Any]) -> list[str]:
        """Return the digests that a manifest names."""
        manifest = json.loads(self.blob(descriptor["digest"]).read_text(encoding="utf-8"))
        return [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]

    def archive(self, registry: str) -> Iterator[bytes]:
        """Yield a tar of the folder that ``ctr images import`` takes; names get the registry they are pulled from."""
        images = self.images()
        listed = [{**entry, "annotations": _annotations(name, registry)} for name, entry in sorted(images.items())]
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        yield from tar_file("oci-layout", _LAYOUT)
        yield from tar_file("index.json", index)
        digests = {entry["digest"] for entry in images.values()}
        digests |= {digest for entry in images.values() for digest in self.blobs_of(entry)}
        for digest in sorted(digests):
            path = self.blob(digest)
            yield from tar_file(f"blobs/sha256/{path.name}", path)
        yield TAR_END


_NAME = "org.opencontainers.image.ref.name"


def _annotations(name: str, registry: str = "") -> dict[str, str]:
    return {_NAME: name, "io.containerd.image.name": f"{registry}/{name}"} if registry else {_NAME: name}


def tar_file(name: str, content: bytes | Path, mode: int = 0o644) -> Iterator[bytes]:
    """Yield one file of a tar. Two empty blocks have to end it: TAR_END."""
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
    yield info.tobuf(tarfile.USTAR_FORMAT)
    if isinstance(content, bytes):
        yield content
    else:
        with open(content, "rb") as handle:
            while block := handle.read(_BLOCK):
                yield block
    yield bytes(-info.size % tarfile.BLOCKSIZE)
