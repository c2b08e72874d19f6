# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. One checked archive of all CNI plugins that nodes need, made once on the controller."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetcher, default_cache, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact, artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_sources import (
    BUILT,
    RELEASE,
    RELEASE_MODULE,
    RELEASED,
    TOOLS_ARTEFACT,
    VARIABLE,
    Sources,
    UserArchive,
    bundle_key,
    choose,
    manifest_of,
    parse_archives,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Problem, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._locks import locked
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import pack
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

ARCHIVE, MANIFEST = "bundle.tar.xz", "manifest.json"
BUILD_SECONDS = 1800.0
FLAGS = ("-trimpath", "-ldflags", "-s -w")


@dataclass(frozen=True)
class CniBundleTask:
    """The module's options, and the seams for tests."""

    names: list[str]
    archives: Any = None
    mirror: str | None = None
    overrides: Any = None
    cache: str | None = None
    host: Host = field(default_factory=Host)
    fetcher: Fetcher | None = None
    variable: str = VARIABLE

    def result(self, dry_run: bool) -> dict[str, Any]:
        archives = self._archives()
        sources = choose(self.names, archives)
        known = artefacts(self.overrides)
        key = bundle_key(sources, archives, known)
        folder = os.path.join(self.cache or os.path.join(os.path.dirname(default_cache()), "cni"), key)
        manifest = _read(folder)
        before = manifest is not None
        if manifest is None and not dry_run:
            manifest = _Maker(self, archives, sources, known).make(key, folder)
        names = [*sources.archived, *sources.released, *sources.built, *sources.tools]
        return {
            "changed": not before,
            "diff": {"before": {"made": before}, "after": {"made": True}},
            "manifest": manifest or manifest_of(key, dict.fromkeys(names, "")),
            "archive": os.path.join(folder, ARCHIVE) if manifest else "",
        }

    def _archives(self) -> list[UserArchive]:
        """The user's archives, looked into. Refused where one is not there or not what its checksum says."""
        given, problems = parse_archives(self.archives, self.variable)
        found = []
        for archive in given:
            try:
                checksum = file_sha256(archive.path)
                holds = frozenset(_members(archive.path))
            except (OSError, tarfile.TarError) as wrong:
                problems.append(Problem(archive.variable, archive.path, f"cannot be read as an archive: {wrong}"))
                continue
            if archive.sha256 not in ("", checksum):
                message = f"is not that of {archive.path}, which has {checksum}"
                problems.append(Problem(f"{archive.variable}.sha256", archive.sha256, message))
            found.append(replace(archive, sha256=checksum, holds=holds))
        if problems:
            raise Refused(problems)
        return found


@dataclass(frozen=True)
class _Maker:
    task: CniBundleTask
    archives: Sequence[UserArchive]
    sources: Sources
    known: Mapping[str, Artefact]

    def make(self, key: str, folder: str) -> dict[str, Any]:
        """Beside its place, then renamed: a bundle is whole or not there."""
        with locked(f"{folder}.lock"):
            there = _read(folder)
            if there is not None:
                return there
            work = f"{folder}.new"
            host = Host()
            host.remove_folder(work)
            try:
                os.makedirs(f"{work}/plugins")
                used = self._fill(f"{work}/plugins", work)
                sums = {name: file_sha256(f"{work}/plugins/{name}") for name in os.listdir(f"{work}/plugins")}
                for name in sums:
                    os.chmod(f"{work}/plugins/{name}", 0o755)
                os.makedirs(f"{work}/bundle")
                pack(f"{work}/plugins", f"{work}/bundle/{ARCHIVE}")
                manifest = manifest_of(key, sums, file_sha256(f"{work}/bundle/{ARCHIVE}"), used)
                host.write_file(os.path.abspath(f"{work}/bundle/{MANIFEST}"), as_json(manifest))
                host.remove_folder(folder)
                os.replace(f"{work}/bundle", folder)
            finally:
                host.remove_folder(work)
            return manifest

    def _fill(self, target: str, work: str) -> dict[str, Any]:
        """All plugins into a folder; where each came from."""
        used: dict[str, Any] = {}
        for place in sorted(set(self.sources.archived.values())):
            wanted = [name for name, number in self.sources.archived.items() if number == place]
            _extract(self.archives[place].path, wanted, target)
            used.update(dict.fromkeys(wanted, self.archives[place].path))
        if self.sources.released:
            used.update(dict.fromkeys(self.sources.released, self._release(target)))
        if self.sources.tools:
            fetched = self._fetcher().fetch(self.known[TOOLS_ARTEFACT])
            _extract(fetched.path, self.sources.tools, target)
            used.update(dict.fromkeys(self.sources.tools, fetched.source.where))
        for name in self.sources.built:
            used[name] = self._build(name, target, work)
        return used

    def _fetcher(self) -> Fetcher:
        return self.task.fetcher or Fetcher(default_cache(), self.task.mirror or "")

    def _release(self, target: str) -> str:
        """The release, or where that cannot be had the same version as a Go module."""
        artefact = self.known[RELEASE]
        try:
            fetched = self._fetcher().fetch(artefact)
        except FastpathError as error:
            return self._install(artefact, target, error)
        _extract(fetched.path, self.sources.released, target)
        return fetched.source.where

    def _install(self, artefact: Artefact, target: str, error: FastpathError) -> str:
        version = f"v{artefact.version}"
        packages = [f"{RELEASE_MODULE}/{RELEASED[name]}/{name}@{version}" for name in self.sources.released]
        try:
            self._go(f"GOBIN={target}", "install", *FLAGS, *packages)
        except FastpathError as also:
            raise FastpathError(f"{error.message} And by Go: {also.message}") from also
        return f"{RELEASE_MODULE}@{version}"

    def _build(self, name: str, target: str, work: str) -> str:
        recipe = BUILT[name]
        fetched = self._fetcher().fetch(self.known[recipe.artefact])
        source = f"{work}/{name}"
        _unpack(fetched.path, source)
        top = _module_in(source)
        if not top:
            raise FastpathError(f"{fetched.path} is not the source of {name}: it has no go.mod.")
        self._go("", "-C", top, "build", *FLAGS, "-o", os.path.join(os.path.abspath(target), name), recipe.package)
        return fetched.source.where

    def _go(self, setting: str, *words: str) -> None:
        """Static programs, which run on every node whatever its C library."""
        settings = [one for one in ("CGO_ENABLED=0", setting) if one]
        done = self.task.host.run(["env", *settings, "go", *words], timeout=BUILD_SECONDS)
        if done.rc == 127:
            raise FastpathError(
                "Go is not installed on the controller, and this plugin is built from source. Install it, or name an "
                "archive that has the plugin in fastpath_cni_archives."
            )
        if done.rc != 0:
            raise FastpathError(f"go {words[0]} failed with exit code {done.rc}: {done.err.strip()[-2000:]}")


def _module_in(source: str) -> str:
    """The topmost folder that is a Go module; empty where none is."""
    found = [folder for folder, _folders, files in os.walk(source) if "go.mod" in files]
    return min(found, key=lambda folder: folder.count("/"), default="")


def _read(folder: str) -> dict[str, Any] | None:
    """A manifest whose archive is there and right."""
    try:
        with open(f"{folder}/{MANIFEST}", encoding="utf-8") as file:
            manifest: dict[str, Any] = json.load(file)
        right = file_sha256(f"{folder}/{ARCHIVE}") == manifest["sha256"]
    except (OSError, ValueError, KeyError):
        return None
    return manifest if right else None


def _members(path: str) -> Iterator[str]:
    """Names of the plain files of an archive, without their folders."""
    with tarfile.open(path) as archive:
        for item in archive:
            if item.isreg():
                yield posixpath.basename(item.name)


def _extract(path: str, names: Sequence[str], target: str) -> None:
    """Single files by their names, wherever they lie in the archive; nothing else of it touches the disk."""
    left = set(names)
    with tarfile.open(path) as archive:
        for item in archive:
            name = posixpath.basename(item.name)
            stream = archive.extractfile(item) if item.isreg() and name in left else None
            if stream is not None:
                with open(f"{target}/{name}", "wb") as file:
                    shutil.copyfileobj(stream, file)
                os.chmod(f"{target}/{name}", 0o755)
                left.discard(name)
    if left:
        raise FastpathError(f"{path} does not hold {', '.join(sorted(left))}.")


def _is_inside(name: str) -> bool:
    return not posixpath.normpath(name).startswith(("/", ".."))


def _unpack(path: str, target: str) -> None:
    """A whole source tree; links and paths that lead out of it are left out."""
    os.makedirs(target)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            packed.extractall(target, [name for name in packed.namelist() if _is_inside(name)])
        return
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(path) as archive:
        for item in archive:
            if _is_inside(item.name) and (item.isreg() or item.isdir()):
                archive.extract(item, target, set_attrs=False, **safely)
