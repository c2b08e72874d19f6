# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Carries out a recipe on the builder; the same inputs are never built twice."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetched, Fetcher, file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest, parse_manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._build_root import (
    inside_argv,
    missing_tools,
    package_sources,
    root_argv,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._locks import locked
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import commands_in, drop, files_below, is_elf, pack
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import newest_glibc as newest_glibc_of
from ansible_collections.nfv.fastpath.plugins.module_utils._recipes import PATCHES, SOURCE, Recipe, Step
from ansible_collections.nfv.fastpath.plugins.module_utils._store import as_json

ARCHIVE = "bundle.tar.xz"
MANIFEST = "manifest.json"
ROOT_SECONDS = 1800
UNPACK_SECONDS = 600
LOG_TAIL = 2500


def default_cache() -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "fastpath", "build")


@dataclass(frozen=True)
class Built:
    """A bundle in the builder's cache. ``seconds`` by step; empty where nothing had to be built."""

    manifest: Manifest
    archive: str
    seconds: dict[str, float] = field(default_factory=dict)
    fetched: Fetched | None = None


class Builder:
    """``cache``: ``bundles/<name>-<version>-<key>/``, ``roots/<digest>.tar``, ``logs/``."""

    def __init__(self, cache: str, fetcher: Fetcher, host: Host | None = None, apt_mirror: str = "") -> None:
        self.cache = cache
        self.fetcher = fetcher
        self.host = host or Host()
        self.apt_mirror = apt_mirror

    def find(self, manifest: Manifest) -> Built | None:
        """What is built already for these inputs, and whole."""
        folder = self._bundle_folder(manifest)
        try:
            with open(f"{folder}/{MANIFEST}", encoding="utf-8") as file:
                found = parse_manifest(json.load(file))
            if found.key != manifest.key or file_sha256(f"{folder}/{ARCHIVE}") != found.sha256:
                return None
        except (OSError, ValueError, FastpathError):
            return None
        return Built(found, f"{folder}/{ARCHIVE}")

    def build(self, recipe: Recipe) -> Built:
        """The bundle of a recipe, out of the cache or built now."""
        found = self.find(recipe.manifest)
        if found:
            return found
        with locked(f"{self.cache}/locks/{recipe.manifest.name}-{recipe.manifest.folder}"):
            return self.find(recipe.manifest) or self._build(recipe)

    def _build(self, recipe: Recipe) -> Built:
        missing = missing_tools(self.host)
        if missing:
            raise FastpathError(f"The builder lacks tools; install the packages {', '.join(missing)} there.")
        clock = _Clock()
        fetched = self.fetcher.fetch(recipe.artefact)
        root_archive = self._root(recipe)
        clock.lap("root")
        with self._workspace(recipe.manifest) as work:
            root = f"{work}/root"
            log = _Log(f"{self.cache}/logs/{recipe.manifest.name}-{recipe.manifest.folder}.log")
            self._unpack(root_archive, root)
            self._unpack(fetched.path, root + SOURCE, strip=1)
            for needed in recipe.needs:
                self._unpack(self._needed(needed).archive, root + needed.prefix)
            self._place_patches(recipe.patches, root)
            clock.lap("unpack")
            for step in recipe.steps:
                self._run(step, root, log)
                clock.lap(step.argv[0] if step.argv[1:2] != ("install",) else f"{step.argv[0]} install")
            manifest = self._collect(recipe, root, work, fetched)
            clock.lap("pack")
            self._seal(manifest, work)
        return Built(manifest, f"{self._bundle_folder(manifest)}/{ARCHIVE}", clock.laps, fetched)

    def _bundle_folder(self, manifest: Manifest) -> str:
        return f"{self.cache}/bundles/{manifest.name}-{manifest.folder}"

    def _needed(self, manifest: Manifest) -> Built:
        found = self.find(manifest)
        if not found:
            raise FastpathError(f"{manifest.name} {manifest.version} has to be built first.")
        return found

    def _root(self, recipe: Recipe) -> str:
        """The archive of the root, made once per release and set of packages."""
        manifest = recipe.manifest
        sources = package_sources(self.host, manifest.os_id, manifest.release, self.apt_mirror)
        text = json.dumps([manifest.os_id, manifest.release, manifest.architecture, recipe.packages])
        path = f"{self.cache}/roots/{manifest.release}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.tar"
        with locked(f"{self.cache}/locks/{os.path.basename(path)}"):
            if not os.path.exists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                partial = f"{path}.partial"
                try:
                    argv = root_argv(partial, manifest.release, sources, recipe.packages)
                    self.host.must_run(argv, timeout=ROOT_SECONDS)
                    os.replace(partial, path)
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(partial)
        return path

    def _unpack(self, archive: str, folder: str, strip: int = 0) -> None:
        os.makedirs(folder, exist_ok=True)
        argv = ["tar", "--extract", "--file", archive, "--directory", folder, f"--strip-components={strip}"]
        self.host.must_run(argv, timeout=UNPACK_SECONDS)

    def _place_patches(self, patches: Sequence[str], root: str) -> None:
        os.makedirs(root + PATCHES, exist_ok=True)
        for number, patch in enumerate(patches):
            shutil.copyfile(patch, f"{root}{PATCHES}/{number}")

    def _run(self, step: Step, root: str, log: _Log) -> None:
        done = self.host.run(inside_argv(root, step.argv, step.folder, step.environment), timeout=step.seconds)
        log.add(" ".join(step.argv), done.out, done.err)
        if done.rc != 0:
            said = (done.out + done.err).strip()[-LOG_TAIL:]
            raise FastpathError(
                f"The build failed at {' '.join(step.argv[:3])} with exit code {done.rc}; all of it is in {log.path}. "
                f"The end: {said}",
                log=log.path,
            )

    def _collect(self, recipe: Recipe, root: str, work: str, fetched: Fetched) -> Manifest:
        prefix = root + recipe.manifest.prefix
        for program in recipe.programs:
            shutil.copy(root + program, f"{prefix}/bin/")
        drop(prefix, recipe.dropped)
        programs = [f"{prefix}/{name}" for name in files_below(prefix)]
        if not programs:
            raise FastpathError(f"The build of {recipe.manifest.name} left nothing in {recipe.manifest.prefix}.")
        pack(prefix, f"{work}/{ARCHIVE}")
        return replace(
            recipe.manifest,
            glibc=newest_glibc_of(programs),
            packages=self._library_packages(root, programs),
            commands=commands_in(prefix),
            source={key: fetched.result()[key] for key in ("kind", "source", "sha256")},
            built_with=_compiler(root),
            sha256=file_sha256(f"{work}/{ARCHIVE}"),
            size=os.path.getsize(f"{work}/{ARCHIVE}"),
        )

    def _library_packages(self, root: str, programs: Sequence[str]) -> tuple[str, ...]:
        """Packages of the distribution that have the shared libraries which the programs are linked with."""
        elves = [path[len(root) :] for path in programs if is_elf(path)]
        argv = inside_argv(root, ["ldd", *elves], "/", {})
        libraries = sorted(set(re.findall(r"=> (/\S+)", self.host.run(argv).out)))
        outside = [path for path in libraries if not path.startswith("/opt/")]
        if not outside:
            return ()
        # Since /lib is a link to /usr/lib, dpkg may know a file by the other name.
        both = [*outside, *(f"/usr{path}" for path in outside if path.startswith("/lib"))]
        owners = self.host.run(inside_argv(root, ["dpkg-query", "--search", *both], "/", {})).out
        return tuple(sorted(set(re.findall(r"^([a-z0-9.+-]+)(?::[a-z0-9]+)?: ", owners, re.MULTILINE))))

    def _seal(self, manifest: Manifest, work: str) -> None:
        folder = self._bundle_folder(manifest)
        new = f"{work}/bundle"
        os.makedirs(new)
        os.replace(f"{work}/{ARCHIVE}", f"{new}/{ARCHIVE}")
        Host().write_file(os.path.abspath(f"{new}/{MANIFEST}"), as_json(manifest.as_json()))
        os.sync()
        Host().remove_folder(os.path.abspath(folder))
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        os.replace(new, folder)

    @contextlib.contextmanager
    def _workspace(self, manifest: Manifest) -> Iterator[str]:
        """A folder that is gone afterwards; what a killed build left is removed first."""
        stem = f"{self.cache}/.work-{manifest.name}-{manifest.folder}"
        for stale in glob.glob(f"{glob.escape(stem)}.*"):
            shutil.rmtree(stale)
        work = f"{stem}.{os.getpid()}"
        os.makedirs(work)
        try:
            yield work
        finally:
            shutil.rmtree(work)


class _Log:
    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8"):
            pass

    def add(self, *texts: str) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n".join(texts) + "\n")


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round(self.laps.get(name, 0.0) + now - self._last, 1)
        self._last = now


def _compiler(root: str) -> dict[str, Any]:
    """Versions that decide what comes out, from the root's package database."""
    with open(f"{root}/var/lib/dpkg/status", encoding="utf-8", errors="replace") as file:
        text = file.read()
    versions = dict(re.findall(r"^Package: (gcc|libc6|binutils|meson)\n(?:.+\n)*?Version: (\S+)", text, re.MULTILINE))
    return dict(sorted(versions.items()))
