# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Where each CNI plugin comes from: archives of the user, the upstream release, or source. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import Artefact
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused

SCHEMA = "nfv.fastpath/cni/1"
VARIABLE = "fastpath_cni_archives"
RELEASE = "cni-plugins"
# Each with the folder that it has in the source, for where the release itself cannot be had.
RELEASED = {
    **dict.fromkeys(
        ("bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"), "plugins/main"
    ),
    **dict.fromkeys(("dhcp", "host-local", "static"), "plugins/ipam"),
    **dict.fromkeys(("bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"), "plugins/meta"),
}
# The same way is good for the node's part of Kubernetes.
TOOLS, TOOLS_ARTEFACT = ("kubelet", "kubeadm", "kubectl"), "kubernetes-node"
RELEASE_MODULE = "github.com/containernetworking/plugins"
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class FromSource:
    """What to build: the artefact with the source, and the package within it."""

    artefact: str
    package: str


BUILT = {
    "sriov": FromSource("sriov-cni", "./cmd/sriov"),
    "whereabouts": FromSource("whereabouts", "./cmd"),
}


@dataclass(frozen=True)
class UserArchive:
    """An archive on the controller. ``sha256``: as the user says it, empty where not; ``holds``: plugins in it."""

    path: str
    sha256: str = ""
    holds: frozenset[str] = frozenset()
    variable: str = ""


@dataclass(frozen=True)
class Sources:
    """Every plugin once: by place of its archive, from the release, from source, or a program of Kubernetes."""

    archived: Mapping[str, int] = field(default_factory=dict)
    released: tuple[str, ...] = ()
    built: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


def parse_archives(value: Any, variable: str = VARIABLE) -> tuple[list[UserArchive], list[Problem]]:
    """``[/path/a.tgz, {path: /path/b.tar.xz, sha256: ...}]``."""
    if value is None:
        return [], []
    if not isinstance(value, (list, tuple)):
        return [], [Problem(variable, value, "must be a list of archives on the controller")]
    found, problems = [], []
    for number, entry in enumerate(value):
        where = f"{variable}[{number}]"
        given = {"path": entry} if isinstance(entry, str) else entry
        if not isinstance(given, Mapping) or not isinstance(given.get("path"), str) or set(given) - {"path", "sha256"}:
            problems.append(Problem(where, entry, "must be a path, or a mapping with path and sha256"))
        elif given.get("sha256") is not None and not SHA256.match(str(given["sha256"])):
            problems.append(
                Problem(f"{where}.sha256", given["sha256"], "must be a SHA-256 of 64 hex digits in lower case")
            )
        else:
            found.append(UserArchive(given["path"], str(given.get("sha256") or ""), frozenset(), where))
    return found, problems


def choose(names: Iterable[Any], archives: Sequence[UserArchive]) -> Sources:
    """Archives first, in their order: what a user brings is what a user wants. Refused where a plugin is nowhere."""
    archived: dict[str, int] = {}
    released, built, tools, problems = [], [], [], []
    for name in sorted(set(map(str, names))):
        place = next((number for number, archive in enumerate(archives) if name in archive.holds), None)
        if not NAME.match(name):
            problems.append(Problem("names", name, "must be the name of a plugin, such as bridge"))
        elif place is not None:
            archived[name] = place
        elif name in RELEASED:
            released.append(name)
        elif name in BUILT:
            built.append(name)
        elif name in TOOLS:
            tools.append(name)
        else:
            message = (
                f"is in no archive of {VARIABLE}, and the collection does not know where to get it: add one that has it"
            )
            problems.append(Problem("names", name, message))
    if problems:
        raise Refused(problems)
    return Sources(archived, tuple(released), tuple(built), tuple(tools))


def bundle_key(sources: Sources, archives: Sequence[UserArchive], known: Mapping[str, Artefact]) -> str:
    """Of all that decides what comes out; known before anything is fetched."""
    parts: dict[str, Any] = {name: ["archive", archives[place].sha256] for name, place in sources.archived.items()}
    parts.update({name: _of_artefact(known[RELEASE]) for name in sources.released})
    parts.update({name: [*_of_artefact(known[BUILT[name].artefact]), BUILT[name].package] for name in sources.built})
    parts.update({name: _of_artefact(known[TOOLS_ARTEFACT]) for name in sources.tools})
    text = json.dumps([SCHEMA, parts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_artefact(artefact: Artefact) -> list[Any]:
    return [artefact.name, artefact.version, sorted(artefact.sha256)]


def manifest_of(
    key: str, plugins: Mapping[str, str], sha256: str = "", sources: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """``plugins``: SHA-256 by name, empty where it is not known yet."""
    return {
        "schema": SCHEMA,
        "key": key,
        "plugins": dict(sorted(plugins.items())),
        "sha256": sha256,
        "sources": dict(sources or {}),
    }
