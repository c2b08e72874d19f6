# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Fetches artefacts into a content-addressed cache: whole and checked, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact, Source
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

BLOCK = 1024 * 1024
URL_SECONDS = 60.0
GO_SECONDS = 300.0
SUMS = "SHA256SUMS"

Opener = Callable[[str, float], BinaryIO]


class SourceFailed(Exception):
    """Why one source did not give the artefact; the next one is tried."""


@dataclass(frozen=True)
class Fetched:
    """An artefact in the cache. ``path`` is empty for a package of the distribution: that is the package manager's.

    ``tried``: the sources before it, each with the reason why it did not do.
    """

    name: str
    version: str
    path: str
    sha256: str
    source: Source
    tried: tuple[str, ...] = ()
    cached: bool = False

    def result(self) -> dict[str, Any]:
        """For the module's result and the report."""
        return {
            "name": self.name,
            "version": self.version,
            "path": self.path,
            "sha256": self.sha256,
            "kind": self.source.kind,
            "source": self.source.where,
            "replaces": self.source.replaces,
            "tried": list(self.tried),
            "cached": self.cached,
        }


def default_cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "fastpath", "artefacts")


def _open_url(url: str, timeout: float) -> BinaryIO:
    """Through the proxy that the environment names, if any. Plain standard library: this also runs without Ansible."""
    stream: BinaryIO = urllib.request.build_opener().open(url, timeout=timeout)
    return stream


class Fetcher:
    """The cache in one folder: ``sha256/<digest>``, a file for each archive, and nothing that was not checked."""

    def __init__(self, cache: str, mirror: str = "", host: Host | None = None, open_url: Opener = _open_url) -> None:
        self.cache = cache
        self.mirror = mirror
        self.host = host or Host()
        self.open_url = open_url

    def fetch(self, artefact: Artefact, packages_ok: bool = False) -> Fetched:
        """From the cache or the first source that has it. ``packages_ok``: the distribution's may stand in."""
        there = self.find(artefact)
        if there is not None:
            return there
        tried: list[str] = []
        if not self.mirror:
            tried.append("mirror: none is given (fastpath_mirror, FASTPATH_MIRROR)")
        for source in artefact.with_mirror(self.mirror):
            if source.kind == "package":
                if packages_ok:
                    return Fetched(artefact.name, "", "", "", source, tuple(tried))
                tried.append(f"{source}: is only a stand-in for the built one, and was not asked for")
                continue
            try:
                checksum, path = self._take(source)
            except SourceFailed as reason:
                tried.append(f"{source}: {reason}")
                continue
            self._remember(checksum, source)
            return Fetched(artefact.name, artefact.version, path, checksum, source, tuple(tried))
        raise FastpathError(
            f"{artefact.name} {artefact.version} cannot be had. Tried: {'; '.join(tried)}. "
            f"Put {artefact.file} into a mirror folder and name it in fastpath_mirror.",
            tried=tried,
        )

    def find(self, artefact: Artefact) -> Fetched | None:
        """What the cache has of an artefact, checked again: a disk may lose what it was given."""
        known = artefact.sha256 + tuple(checksum for source in artefact.sources for checksum in source.sha256)
        for checksum in dict.fromkeys(known):
            path = self._path(checksum)
            if not os.path.exists(path):
                continue
            if file_sha256(path) == checksum:
                source = self._remembered(checksum)
                return Fetched(artefact.name, artefact.version, path, checksum, source, cached=True)
            os.unlink(path)
        return None

    def _path(self, checksum: str) -> str:
        return os.path.join(self.cache, "sha256", checksum)

    def _remember(self, checksum: str, source: Source) -> None:
        text = json.dumps({"kind": source.kind, "where": source.where, "replaces": source.replaces})
        Host().write_file(self._path(checksum) + ".json", text)

    def _remembered(self, checksum: str) -> Source:
        try:
            with open(self._path(checksum) + ".json", encoding="utf-8") as file:
                return Source(**json.load(file))
        except (OSError, ValueError, TypeError):
            return Source("cache", self._path(checksum))

    def _take(self, source: Source) -> tuple[str, str]:
        """Copy a source into the cache. The checksum is compared before the file gets its name."""
        if not source.sha256:
            raise SourceFailed("no checksum is known for it; give fastpath_artefacts.<name>.sha256")
        folder = os.path.join(self.cache, "sha256")
        os.makedirs(folder, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as target:
                checksum = self._copy(source, target)
                target.flush()
                os.fsync(target.fileno())
            if checksum not in source.sha256:
                expected = " or ".join(source.sha256)
                raise SourceFailed(f"wrong checksum: sha256 is {checksum}, expected {expected}; it was thrown away")
            os.replace(partial, self._path(checksum))
        except OSError as error:
            raise SourceFailed(_said(error)) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
        return checksum, self._path(checksum)

    def _copy(self, source: Source, target: BinaryIO) -> str:
        with self._open(source) as stream:
            digest = hashlib.sha256()
            for block in iter(lambda: stream.read(BLOCK), b""):
                digest.update(block)
                target.write(block)
            return digest.hexdigest()

    def _open(self, source: Source) -> BinaryIO:
        if source.kind == "mirror":
            return open(source.where, "rb")
        if source.kind == "url":
            return self.open_url(source.where, URL_SECONDS)
        return open(self._go_zip(source.where), "rb")

    def _go_zip(self, module: str) -> str:
        """Go's own client fetches the module and checks it against Go's checksum database."""
        done = self.host.run(["go", "mod", "download", "-json", module], timeout=GO_SECONDS)
        try:
            path = json.loads(done.out).get("Zip")
        except ValueError:
            path = None
        if done.rc != 0 or not path:
            raise SourceFailed((done.err or done.out).strip()[-300:] or "go gave no file")
        return str(path)


def _said(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return error.strerror or str(error)


def file_sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def fill_mirror(folder: str, fetched: Iterable[tuple[Artefact, Fetched]]) -> list[str]:
    """Copy what was fetched into a mirror folder; the names of the files that are new or were not right there.

    A Go module is left out: Go finds it through its own proxy or not at all.
    """
    os.makedirs(folder, exist_ok=True)
    new = []
    for artefact, item in fetched:
        target = os.path.join(folder, artefact.file)
        if not item.path or item.source.kind == "go":
            continue
        if os.path.exists(target) and file_sha256(target) == item.sha256:
            continue
        descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=folder)
        os.close(descriptor)
        try:
            shutil.copyfile(item.path, partial)
            os.chmod(partial, 0o644)
            os.replace(partial, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
        new.append(artefact.file)
    if new:
        _write_sums(folder)
    return new


def _write_sums(folder: str) -> None:
    """For ``sha256sum -c``, over all archives of the folder."""
    names = [name for name in sorted(os.listdir(folder)) if not name.startswith(".") and name != SUMS]
    files = [name for name in names if os.path.isfile(os.path.join(folder, name))]
    lines = [f"{file_sha256(os.path.join(folder, name))}  {name}\n" for name in files]
    Host().write_file(os.path.abspath(os.path.join(folder, SUMS)), "".join(lines))
