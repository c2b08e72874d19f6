# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Images of one's own: what is built, what it is called, and what a node has to be given. No I/O."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, Refused, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._images import REFERENCE, REGISTRY
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation, Plan

NAME = "images"
VARIABLE = "fastpath_image_builds"
SCHEMA = "nfv.fastpath/images/1"
KEYS = ("name", "tag", "context", "file", "args", "archive")
PUSH, LOAD = "push", "load"
LOAD_IMAGES, REMOVE_IMAGE = "load_images", "remove_image"
# Where there is no registry; no node asks anybody for such a name.
NO_REGISTRY = "localhost"
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Build:
    """One image: built from ``context``, or out of an OCI ``archive`` that somebody else made."""

    name: str
    tag: str
    context: str = ""
    file: str = "Containerfile"
    args: Mapping[str, str] = field(default_factory=dict)
    archive: str = ""

    def reference(self, registry: str) -> str:
        """An archive may be of an image with a registry in its name, which it then keeps."""
        first = self.name.split("/", 1)[0]
        if self.archive and ("." in first or ":" in first or first == "localhost"):
            return f"{self.name}:{self.tag}"
        return f"{registry or NO_REGISTRY}/{self.name}:{self.tag}"


def way_of(registry: str, way: str = "") -> str:
    return way or (PUSH if registry else LOAD)


def pull_policy(way: str) -> str:
    """What was loaded is nowhere to be pulled from: a node without it says so at once."""
    return "IfNotPresent" if way == PUSH else "Never"


def parse_builds(value: Any, registry: Any = "", way: Any = "", variable: str = VARIABLE) -> list[Build]:
    problems: list[Problem] = []
    if registry and not (isinstance(registry, str) and REGISTRY.fullmatch(registry)):
        problems.append(Problem("fastpath_registry", registry, "must be a registry such as registry.example.com:5000"))
    if way not in ("", PUSH, LOAD):
        problems.append(Problem("images_way", way, f"must be one of {PUSH}, {LOAD}"))
    if way == PUSH and not registry:
        problems.append(Problem("images_way", way, "needs fastpath_registry, where to push to"))
    if not isinstance(value or [], (list, tuple)):
        raise Refused([*problems, Problem(variable, value, "must be a list of images, each with name and tag")])
    builds = []
    for number, entry in enumerate(value or []):
        wrong = _problems(entry, f"{variable}[{number}]")
        problems += wrong
        if not wrong:
            args = {str(key): str(text) for key, text in (entry.get("args") or {}).items()}
            context, archive = entry.get("context") or "", entry.get("archive") or ""
            file = entry.get("file") or "Containerfile"
            builds.append(Build(entry["name"], str(entry["tag"]), context, file, args, archive))
    names = [f"{build.name}:{build.tag}" for build in builds]
    problems += [
        Problem(variable, name, "is there twice") for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise Refused(problems)
    return builds


def _problems(entry: Any, where: str) -> list[Problem]:
    if not isinstance(entry, Mapping):
        return [Problem(where, entry, "must be a mapping with name, tag, and context or archive")]
    found = unknown_keys(entry, KEYS, where)
    name, tag = entry.get("name"), entry.get("tag")
    # A registry's port is part of the name, its tag is not.
    if not (isinstance(name, str) and (_NAME.match(name) or REFERENCE.fullmatch(f"{name}:tag"))):
        found.append(
            Problem(f"{where}.name", name, "must be a name of an image without its tag, such as fastpath/agent")
        )
    if not (isinstance(tag, str) and _TAG.match(tag)):
        found.append(Problem(f"{where}.tag", tag, 'must be a tag as text, such as "1.0" (in quotes)'))
    elif tag == "latest":
        found.append(Problem(f"{where}.tag", tag, "moves: two nodes may differ. Give a version"))
    if bool(entry.get("context")) == bool(entry.get("archive")):
        found.append(Problem(where, dict(entry), "needs either context, to build from, or archive"))
    for key in ("context", "archive", "file"):
        if entry.get(key) is not None and not isinstance(entry[key], str):
            found.append(Problem(f"{where}.{key}", entry[key], "must be a path"))
    args = entry.get("args") or {}
    if not isinstance(args, Mapping) or not all(_ARGUMENT.match(str(key)) for key in args):
        found.append(Problem(f"{where}.args", args, "must be a mapping from names of arguments to texts"))
    return found


def build_key(build: Build, tree: Mapping[str, str]) -> str:
    """Of all that decides what comes out. ``tree``: SHA-256 and mode of each file of the context, by path."""
    text = json.dumps([SCHEMA, build.name, build.tag, build.file, dict(build.args), dict(tree)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def bundle_of(images: Mapping[str, str], sha256: str = "") -> dict[str, Any]:
    """What a node is told: digests by reference, empty where one is not built yet."""
    return {"schema": SCHEMA, "images": dict(sorted(images.items())), "sha256": sha256}


@dataclass(frozen=True)
class ImagesState:
    """``there``: digest by reference, of all images of pods. ``record``: ``{"loaded": {reference: [digest, ...]}}``."""

    there: Mapping[str, str] = field(default_factory=dict)
    containerd: bool = True
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loaded(self) -> Mapping[str, list[str]]:
        found: Mapping[str, list[str]] = self.record.get("loaded", {})
        return found


def parse_bundle(spec: Any) -> dict[str, str]:
    """Digests by reference."""
    bundle = (spec or {}).get("bundle") if isinstance(spec, Mapping) else None
    if bundle is None:
        return {}
    images = bundle.get("images") if isinstance(bundle, Mapping) and bundle.get("schema") == SCHEMA else None
    if not isinstance(images, Mapping):
        raise Refused([Problem("images_bundle", bundle, f"must be a manifest of schema {SCHEMA}")])
    problems = [
        Problem(f"images_bundle.images.{reference}", digest, "must be a digest by reference")
        for reference, digest in images.items()
        if not (REFERENCE.fullmatch(str(reference)) and (digest == "" or _DIGEST.match(str(digest))))
    ]
    if problems:
        raise Refused(problems)
    return {str(reference): str(digest) for reference, digest in images.items()}


def parse_listed(text: str) -> dict[str, str]:
    """``ctr images list`` has no form for machines: the reference comes first, and one word is the digest."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        digest = next((word for word in words if _DIGEST.match(word)), None)
        if digest:
            found[words[0]] = digest
    return found


def plan_images(state: ImagesState, wanted: Mapping[str, str], looking_ahead: bool = False) -> Plan:
    lacking = {name: digest for name, digest in wanted.items() if not digest or state.there.get(name) != digest}
    if lacking and not state.containerd and not looking_ahead:
        raise Refused([Problem("images_way", LOAD, "needs containerd on the node, and ctr, which comes with it")])
    problems = [
        Problem(name, state.there[name], "is on this node with another content, and not by us: take another tag")
        for name in lacking
        if name in state.there and state.there[name] not in state.loaded.get(name, [])
    ]
    if problems:
        raise Refused(problems)
    operations = [
        Operation(LOAD_IMAGES, name, state.there.get(name), digest or None) for name, digest in sorted(lacking.items())
    ]
    operations += _removals(state, [name for name in state.loaded if name not in wanted])
    return Plan(tuple(operations), {"images": _ours(state, wanted)}, {"images": dict(sorted(wanted.items()))})


def plan_images_teardown(state: ImagesState) -> Plan:
    operations = _removals(state, list(state.loaded))
    return Plan(tuple(operations), {"images": _ours(state, {})}, {"images": {}})


def record_images(state: ImagesState, plan: Plan) -> dict[str, Any]:
    loaded = {name: list(digests) for name, digests in state.loaded.items()}
    for step in plan.operations:
        if step.action == LOAD_IMAGES:
            digests = loaded.setdefault(step.target, [])
            loaded[step.target] = digests if step.after in digests else [*digests, step.after]
    return {"loaded": loaded}


def _removals(state: ImagesState, names: list[str]) -> list[Operation]:
    """One that somebody replaced since is theirs."""
    return [
        Operation(REMOVE_IMAGE, name, state.there.get(name) if state.there.get(name) in state.loaded[name] else None)
        for name in sorted(names)
    ]


def _ours(state: ImagesState, wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: state.there[name] for name in sorted({*wanted, *state.loaded}) if name in state.there}
