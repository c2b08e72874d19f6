# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Artefacts: what the list and the user say, and where to look in which order. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_list import ARTEFACTS
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys

VARIABLE = "fastpath_artefacts"
KEYS = ("version", "file", "sha256", "url")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*\Z")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*\.(tar\.xz|tar\.gz|tgz|zip)\Z")
_URL = re.compile(r"https?://[^\s/]+/\S+\Z")


@dataclass(frozen=True)
class Source:
    """One place: kind ``mirror``, ``url``, ``go`` or ``package``. ``where``: path, URL, module@version or package.

    ``sha256``: any of them is right; empty: none is known. ``replaces``: what a stand-in is in truth.
    """

    kind: str
    where: str
    sha256: tuple[str, ...] = ()
    replaces: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}"


@dataclass(frozen=True)
class Artefact:
    """One thing to be fetched. ``file``: its name in a mirror folder. ``sources``: in the order to be tried."""

    name: str
    version: str
    file: str
    sha256: tuple[str, ...]
    sources: tuple[Source, ...]

    def with_mirror(self, folder: str) -> tuple[Source, ...]:
        """All sources, the mirror first where there is one."""
        if not folder:
            return self.sources
        return (Source("mirror", f"{folder.rstrip('/')}/{self.file}", self.sha256), *self.sources)


def artefacts(overrides: Any = None) -> dict[str, Artefact]:
    """The list, with what the user says otherwise: ``{dpdk: {version: 24.11.8, sha256: ..., url: ...}}``."""
    problems: list[Problem] = []
    found = {name: _of_list(name, entry) for name, entry in ARTEFACTS.items()}
    if overrides is not None and not isinstance(overrides, dict):
        message = "must be a mapping from the name of an artefact, e.g. {dpdk: {sha256: ...}}."
        raise Refused([Problem(VARIABLE, overrides, message)])
    for name, wish in (overrides or {}).items():
        where = f"{VARIABLE}.{name}"
        if name not in found:
            problems.append(Problem(where, wish, f"is not in the list; known are {', '.join(sorted(found))}."))
            continue
        wrong = _problems(where, wish)
        problems += wrong
        if not wrong:
            found[name] = _overridden(found[name], wish)
    if problems:
        raise Refused(problems)
    return found


def _of_list(name: str, entry: Mapping[str, Any]) -> Artefact:
    sources = [_source(source) for source in entry["sources"]]
    if "package" in entry:
        sources.append(Source("package", entry["package"], replaces="is the version that the distribution has"))
    return Artefact(name, entry["version"], entry["file"], tuple(entry["sha256"]), tuple(sources))


def _source(entry: Mapping[str, Any]) -> Source:
    sums = tuple(entry.get("sha256", ()))
    if "go" in entry:
        return Source("go", f"{entry['go']}@{entry['version']}", sums, entry.get("replaces", ""))
    return Source("url", entry["url"], sums, entry.get("replaces", ""))


def _problems(where: str, wish: Any) -> list[Problem]:
    if not isinstance(wish, dict):
        return [Problem(where, wish, f"must be a mapping with keys among {', '.join(KEYS)}.")]
    found = unknown_keys(wish, KEYS, where)
    rules = {
        "version": (_VERSION, 'must be a version as text, e.g. "24.11.8" (in quotes).'),
        "file": (_FILE, "must be the name of an archive without a folder, e.g. dpdk-24.11.8.tar.xz."),
        "url": (_URL, "must be the URL of an archive, http or https."),
    }
    for key, (pattern, message) in rules.items():
        if key in wish and not (isinstance(wish[key], str) and pattern.match(wish[key])):
            found.append(Problem(f"{where}.{key}", wish[key], message))
    for checksum in _listed(wish.get("sha256", [])):
        if not (isinstance(checksum, str) and _SHA256.match(checksum)):
            found.append(Problem(f"{where}.sha256", checksum, "must be a SHA-256 of 64 hex digits in lower case."))
    if "version" in wish and "sha256" not in wish:
        found.append(Problem(f"{where}.version", wish["version"], "needs sha256 beside it: nothing unchecked is used."))
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _overridden(artefact: Artefact, wish: Mapping[str, Any]) -> Artefact:
    version = wish.get("version", artefact.version)

    def renamed(text: str) -> str:
        return text.replace(artefact.version, version)

    sums = tuple(_listed(wish.get("sha256", [])))
    known = sums if "version" in wish else sums + artefact.sha256
    sources = []
    for source in artefact.sources:
        if source.kind == "url":
            where = wish.get("url", renamed(source.where))
            sources.append(Source("url", where, sums or source.sha256, source.replaces))
        elif source.kind == "package" or "version" not in wish:
            sources.append(source)
    file = wish.get("file", renamed(artefact.file))
    return Artefact(artefact.name, version, file, known, tuple(dict.fromkeys(sources)))
