# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a built bundle says of itself, and whether it fits a node. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused

SCHEMA = "nfv.fastpath/bundle/1"
ROOT = "/opt/fastpath"
_KEY = re.compile(r"[0-9a-f]{12,64}\Z")
_NAME = re.compile(r"[a-z][a-z0-9-]*\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*\Z")


@dataclass(frozen=True)
class NodeAbi:
    """What of a node decides which binaries it can run."""

    node: str
    architecture: str
    cpu_flags: tuple[str, ...]
    glibc: str
    os_id: str
    release: str = ""


@dataclass(frozen=True)
class Manifest:
    """A bundle: what was built, out of what, and what it needs.

    ``key`` covers all inputs of the build. ``glibc``: the newest symbols that its programs use; empty, as are
    ``sha256``, ``size`` and ``packages``, before it is built. ``packages``: of the distribution, for its libraries.
    """

    name: str
    version: str
    key: str
    architecture: str
    baseline: str
    cpu_flags: tuple[str, ...]
    os_id: str
    release: str
    glibc: str = ""
    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    built_with: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    size: int = 0

    @property
    def prefix(self) -> str:
        """Where it lives on a node; it is also compiled in."""
        return f"{ROOT}/{self.name}/{self.folder}"

    @property
    def folder(self) -> str:
        return f"{self.version}-{self.key}"

    def as_json(self) -> dict[str, Any]:
        """Lists for tuples, so that it is equal to itself after a round trip."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        return {"schema": SCHEMA, "prefix": self.prefix, **values}


def parse_manifest(value: Any, variable: str = "manifest") -> Manifest:
    """A manifest out of JSON; Refused where it is none that this collection writes."""
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise Refused([Problem(variable, value, f"must be a manifest of schema {SCHEMA}.")])
    known = {item.name for item in fields(Manifest)}
    given: dict[str, Any] = {
        name: tuple(part) if isinstance(part, list) else part for name, part in value.items() if name in known
    }
    try:
        manifest = Manifest(**given)
    except TypeError as missing:
        raise Refused([Problem(variable, value, f"is not complete: {missing}.")]) from missing
    rules = (("name", _NAME), ("version", _VERSION), ("key", _KEY))
    wrong = [
        Problem(f"{variable}.{name}", given[name], "must be of letters, digits and dots, as the builder writes it.")
        for name, pattern in rules
        if not (isinstance(given[name], str) and pattern.match(given[name]))
    ]
    if wrong:
        raise Refused(wrong)
    return manifest


def fits(manifest: Manifest, node: NodeAbi, variable: str = "bundle") -> list[Problem]:
    """Why a node cannot run a bundle; empty: it can."""
    what = f"{manifest.name} {manifest.version}"
    if manifest.architecture != node.architecture:
        message = f"{what} was built for {manifest.architecture}, {node.node} is {node.architecture}."
        return [Problem(f"{variable}.architecture", manifest.architecture, message)]
    problems = []
    missing = sorted(set(manifest.cpu_flags) - set(node.cpu_flags))
    if missing:
        message = (
            f"{what} needs CPU flags that {node.node} does not have: {', '.join(missing)}. "
            "Build it for the oldest CPU of the group (baseline: auto)."
        )
        problems.append(Problem(f"{variable}.baseline", manifest.baseline, message))
    if manifest.glibc and version_tuple(manifest.glibc) > version_tuple(node.glibc):
        message = (
            f"{what} needs glibc {manifest.glibc}, {node.node} has {node.glibc or 'none'}. "
            "Build it in a root of the nodes' release (release: auto)."
        )
        problems.append(Problem(f"{variable}.glibc", manifest.glibc, message))
    if manifest.os_id != node.os_id:
        message = f"{what} was built with the libraries of {manifest.os_id}, {node.node} runs {node.os_id}."
        problems.append(Problem(f"{variable}.os_id", manifest.os_id, message))
    return problems


def oldest(nodes: Sequence[NodeAbi]) -> NodeAbi:
    """The node with the oldest C library: what is built for it runs on all."""
    return min(nodes, key=lambda node: version_tuple(node.glibc))


def version_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version))
