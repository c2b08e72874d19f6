# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Images are built, or taken out of archives, once on the controller; and pushed, or put into one archive."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import default_cache, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._image_builds import (
    LOAD,
    PUSH,
    VARIABLE,
    Build,
    build_key,
    bundle_of,
    parse_builds,
    pull_policy,
    way_of,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._locks import locked
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

ARCHIVE, MANIFEST, PUSHED = "image.tar", "image.json", "pushed.json"
BUILD_SECONDS = 3600.0
TOOLS = ("buildah", "podman")
REF_NAME = "org.opencontainers.image.ref.name"
# Where it is given, containerd takes this name and not the other.
CONTAINERD_NAME = "io.containerd.image.name"
ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
# What registries say to those who have a login, where a tag or a repository is not there.
ABSENT = ("manifest unknown", "name unknown")
Ask = Callable[[str], "str | None"]


class LoginNeeded(Exception):
    """The registry says nothing to strangers, neither of what it has nor of what it has not."""


def _digest_at(url: str) -> str | None:
    """The digest that a registry has for a tag; None where it does not know it. LoginNeeded where it does not say."""
    request = urllib.request.Request(url, method="HEAD", headers={"Accept": ACCEPT})
    try:
        with urllib.request.build_opener().open(request, timeout=30) as answer:
            found: str | None = answer.headers.get("Docker-Content-Digest")
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        if error.code in (401, 403):
            raise LoginNeeded from error
        raise FastpathError(f"{url} answered {error.code}.") from error
    except OSError as error:
        raise FastpathError(f"{url} does not answer: {error}") from error


@dataclass(frozen=True)
class ImageBundleTask:
    """The module's options, and the seams for tests."""

    builds: Any = None
    registry: str | None = None
    way: str | None = None
    plain_http: bool = False
    cache: str | None = None
    host: Host = field(default_factory=Host)
    ask: Ask = _digest_at

    def result(self, dry_run: bool) -> dict[str, Any]:
        registry = self.registry or ""
        builds = parse_builds(self.builds, registry, self.way or "")
        way = way_of(registry, self.way or "")
        folder = self.cache or os.path.join(os.path.dirname(default_cache()), "images")
        images = [_Image(self, build, build.reference(registry), folder) for build in _checked(builds)]
        made = [image.reference for image in images if image.digest() is None]
        if not dry_run:
            for image in images:
                image.make()
        pushed = [image.reference for image in images if way == PUSH and image.push(dry_run)]
        digests = {image.reference: image.digest() or "" for image in images}
        archive, bundled = ("", False)
        if way == LOAD and images and all(digests.values()):
            archive, bundled = _joined(images, digests, folder, dry_run)
        return {
            "changed": bool(made or pushed or bundled),
            "diff": {"before": {}, "after": {"built": made, "pushed": pushed}},
            "way": way,
            "pull_policy": pull_policy(way),
            "images": {image.build.name: image.reference for image in images},
            "manifest": bundle_of(digests, file_sha256(archive) if archive and os.path.exists(archive) else ""),
            "archive": archive if archive and os.path.exists(archive) else "",
        }


def _checked(builds: Sequence[Build]) -> Sequence[Build]:
    """What is to be built from, or taken out of, is there."""
    problems = []
    for number, build in enumerate(builds):
        where = f"{VARIABLE}[{number}]"
        if build.archive and not os.path.isfile(build.archive):
            problems.append(Problem(f"{where}.archive", build.archive, "is no file on the controller"))
        if build.context and not os.path.isdir(build.context):
            problems.append(Problem(f"{where}.context", build.context, "is no folder on the controller"))
        elif build.context and not os.path.isfile(os.path.join(build.context, build.file)):
            problems.append(Problem(f"{where}.file", build.file, f"is no file in {build.context}"))
    if problems:
        raise Refused(problems)
    return builds


@dataclass(frozen=True)
class _Image:
    task: ImageBundleTask
    build: Build
    reference: str
    cache: str

    @property
    def folder(self) -> str:
        tree = _tree(self.build.context) if self.build.context else {"": file_sha256(self.build.archive)}
        return os.path.join(self.cache, build_key(self.build, tree))

    @property
    def archive(self) -> str:
        return self.build.archive or os.path.join(self.folder, ARCHIVE)

    def digest(self) -> str | None:
        """None where it is not built yet."""
        if self.build.archive:
            return str(_only_manifest(self.build.archive)["digest"])
        known = _read_json(os.path.join(self.folder, MANIFEST))
        whole = os.path.exists(self.archive) and known.get("sha256") == file_sha256(self.archive)
        return str(known["digest"]) if whole else None

    def make(self) -> None:
        """Beside its place, then renamed: an image is whole or not there."""
        if self.digest() is not None:
            return
        with locked(f"{self.folder}.lock"):
            if self.digest() is not None:
                return
            work = f"{self.folder}.new"
            host = Host()
            host.remove_folder(work)
            os.makedirs(work)
            try:
                self._build(os.path.join(work, ARCHIVE))
                digest = _only_manifest(os.path.join(work, ARCHIVE))["digest"]
                known = {"digest": digest, "sha256": file_sha256(os.path.join(work, ARCHIVE))}
                host.write_file(os.path.abspath(os.path.join(work, MANIFEST)), as_json(known))
                host.remove_folder(self.folder)
                os.replace(work, self.folder)
            finally:
                host.remove_folder(work)

    def _build(self, target: str) -> None:
        tool, build = self._tool(), self.build
        args = [word for key, text in sorted(build.args.items()) for word in ("--build-arg", f"{key}={text}")]
        file = os.path.join(build.context, build.file)
        # Without a time in it, the same input is the same image.
        fixed = ["--timestamp", "0", "--tag", self.reference]
        self.task.host.must_run([tool, "build", "--file", file, *args, *fixed, build.context], BUILD_SECONDS)
        self.task.host.must_run([tool, "push", self.reference, f"oci-archive:{target}:{self.reference}"], BUILD_SECONDS)

    def push(self, dry_run: bool) -> bool:
        """Whether the registry does not have it; then, unless dry, it is given it."""
        known = os.path.join(self.cache, PUSHED)
        digest = self.digest()
        before = _read_json(known).get(self.reference) or ["", None]
        seen = self._seen(before[1])
        if seen is not None and digest is not None and (seen == digest or [digest, seen] == before):
            return False
        if not dry_run:
            self._push(known, digest or "")
        return True

    def _seen(self, pushed: str | None) -> str | None:
        """What the registry has. One that says it to nobody without a login still has what was pushed there."""
        name, tag = self.reference.rsplit(":", 1)
        host, path = name.split("/", 1)
        scheme = "http" if self.task.plain_http else "https"
        try:
            return self.task.ask(f"{scheme}://{host}/v2/{path}/manifests/{tag}")
        except LoginNeeded:
            safely = ["--tls-verify=false"] if self.task.plain_http else []
            words = ["skopeo", "inspect", "--no-tags", "--format", "{{.Digest}}", *safely, f"docker://{self.reference}"]
            done = self.task.host.run(words)
        if done.rc == 0:
            return done.out.strip()
        return None if any(text in done.err.lower() for text in ABSENT) else pushed

    def _push(self, known: str, digest: str) -> None:
        """A registry may be given another manifest than the archive has, with compressed layers."""
        tool = self._tool()
        found = self.task.host.must_run([tool, "pull", "--quiet", f"oci-archive:{self.archive}"], BUILD_SECONDS)
        note = f"{known}.digest"
        os.makedirs(os.path.dirname(known), exist_ok=True)
        safely = ["--tls-verify=false"] if self.task.plain_http else []
        words = [tool, "push", *safely, "--digestfile", note, found.split()[-1], f"docker://{self.reference}"]
        self.task.host.must_run(words, BUILD_SECONDS)
        with open(note, encoding="utf-8") as file:
            pushed = file.read().strip()
        os.unlink(note)
        text = as_json({**_read_json(known), self.reference: [digest, pushed]})
        Host().write_file(os.path.abspath(known), text)

    def _tool(self) -> str:
        for tool in TOOLS:
            if self.task.host.run([tool, "--version"]).rc == 0:
                return tool
        raise FastpathError(
            f"Neither {' nor '.join(TOOLS)} is on the controller, one of which builds and pushes images."
        )


def _tree(folder: str) -> dict[str, str]:
    found = {}
    for top, folders, files in os.walk(folder):
        folders.sort()
        for name in files:
            path = os.path.join(top, name)
            link = Host().link_target(path)
            kind = f"{os.stat(path).st_mode & 0o111:o} {file_sha256(path)}" if link is None else link
            found[os.path.relpath(path, folder)] = kind
    return found


def _only_manifest(archive: str) -> dict[str, Any]:
    """The one image of an OCI archive."""
    try:
        with tarfile.open(archive) as source:
            file = source.extractfile("index.json")
            manifests = json.load(file)["manifests"] if file else []
    except (tarfile.TarError, KeyError, ValueError) as wrong:
        message = f"is no OCI archive ({wrong}): skopeo copy docker://... oci-archive:... makes one"
        raise Refused([Problem(VARIABLE, archive, message)]) from wrong
    if len(manifests) != 1:
        raise Refused([Problem(VARIABLE, archive, f"has {len(manifests)} images, and must have one")])
    found: dict[str, Any] = manifests[0]
    return found


def _joined(images: Sequence[_Image], digests: Mapping[str, str], folder: str, dry_run: bool) -> tuple[str, bool]:
    """One archive of all images, whose layers are in it once. Its path, and whether it is, or would be, made."""
    key = hashlib.sha256(json.dumps(dict(digests), sort_keys=True).encode()).hexdigest()[:16]
    path = os.path.join(folder, f"bundle-{key}.tar")
    if os.path.exists(path):
        return path, False
    if dry_run:
        return path, True
    os.makedirs(folder, exist_ok=True)
    with locked(f"{path}.lock"), tarfile.open(f"{path}.new", "w") as target:
        seen: set[str] = set()
        manifests = []
        for image in images:
            entry = _only_manifest(image.archive)
            names = {REF_NAME: image.reference, CONTAINERD_NAME: image.reference}
            manifests.append({**entry, "annotations": {**entry.get("annotations", {}), **names}})
            _copy_blobs(image.archive, target, seen)
        _add(target, "oci-layout", {"imageLayoutVersion": "1.0.0"})
        _add(target, "index.json", {"schemaVersion": 2, "manifests": manifests})
    os.replace(f"{path}.new", path)
    return path, True


def _copy_blobs(archive: str, target: tarfile.TarFile, seen: set[str]) -> None:
    with tarfile.open(archive) as source:
        for item in source:
            if item.isreg() and item.name.startswith("blobs/") and item.name not in seen:
                seen.add(item.name)
                target.addfile(_plain(item.name, item.size), source.extractfile(item))


def _add(target: tarfile.TarFile, name: str, value: Any) -> None:

    content = json.dumps(value, sort_keys=True).encode()
    target.addfile(_plain(name, len(content)), io.BytesIO(content))


def _plain(name: str, size: int) -> tarfile.TarInfo:
    item = tarfile.TarInfo(name)
    item.size, item.mode = size, 0o644
    return item


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
