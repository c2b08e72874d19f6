# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of the collection's list of artefacts, found and checked by the collection's own code."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import types
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from . import golang
from .cache import Cache
from .errors import LabError
from .golang import GoSet

CHECKOUT = Path(__file__).resolve().parents[3]
_COLLECTION = "ansible_collections.nfv.fastpath"
_UTILS = f"{_COLLECTION}.plugins.module_utils"


class Unavailable(LabError):
    """No source of an artefact gave it; the text says which were tried."""


@dataclass(frozen=True)
class Archive:
    """A checked archive. ``where`` it came from; ``replaces``: what it is in truth, when it stands in."""

    name: str
    version: str
    path: Path
    sha256: str
    where: str
    replaces: str = ""


def mirror(checkout: Path = CHECKOUT) -> str:
    """Return the mirror folder: FASTPATH_MIRROR, else the one beside the checkout, else nothing."""
    named = os.environ.get("FASTPATH_MIRROR")
    if named:
        return str(Path(named).expanduser().absolute())
    beside = checkout.parent / "shared" / "mirror"
    return str(beside) if beside.is_dir() else ""


def of_collection(module: str) -> Any:
    """Import a part of the collection, which needs no Ansible for that: only its names."""
    for name, folders in (("ansible_collections", []), ("ansible_collections.nfv", []), (_COLLECTION, [str(CHECKOUT)])):
        package = types.ModuleType(name)
        package.__path__ = folders
        sys.modules.setdefault(name, package)
    return __import__(f"{_UTILS}.{module}", fromlist=["*"])


def fetch(name: str) -> Archive:
    """Return an archive of the list. Raises Unavailable with all that was tried."""
    errors, found = of_collection("_errors"), of_collection("_artefact_fetch")
    artefact = of_collection("_artefacts").artefacts()[name]
    try:
        got = found.Fetcher(found.default_cache(), mirror()).fetch(artefact)
    except errors.FastpathError as error:
        raise Unavailable(str(error.message)) from error
    return Archive(name, artefact.version, Path(got.path), got.sha256, got.source.where, got.source.replaces)


def agent_tree() -> dict[str, str]:
    """Return the node agent's files as they go into an image: text by path."""
    of_collection("_errors")
    found: dict[str, str] = __import__(f"{_COLLECTION}.plugins.plugin_utils._agent_tree", fromlist=["*"]).agent_tree()
    return found


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a source and return the folder of its Go module. Links and what leads out of it are left out."""
    target.mkdir()
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(target, [name for name in packed.namelist() if _inside(name)])
    else:
        with tarfile.open(archive) as packed:
            members = [item for item in packed if (item.isreg() or item.isdir()) and _inside(item.name)]
            packed.extractall(target, members, filter="data")
    tops = sorted(target.rglob("go.mod"), key=lambda path: len(path.parts))
    if not tops:
        raise LabError(f"{archive} is no source of a Go module")
    return tops[0].parent


def build_from_source(cache: Cache, wanted: GoSet, archive: Archive, files: Sequence[str] = ()) -> Path:
    """Return the entry with the programs of an archive, and plain ``files`` of it beside them."""

    def build(work: Path) -> None:
        source = unpack(archive.path, work / "source")
        golang.compile_into(wanted, source, work)
        for name in files:
            shutil.copy(source / name, work)
        shutil.rmtree(work / "source")

    inputs = {
        "recipe": golang.RECIPE,
        "go": golang.version(),
        "sha256": archive.sha256,
        "programs": wanted.programs,
        "values": wanted.values,
        "files": list(files),
    }
    return cache.get(f"go-{wanted.name}", inputs, build)
