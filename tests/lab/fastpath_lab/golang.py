# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds static Go programs, each set of them once: the key is what they are made of."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import process
from .cache import Cache
from .errors import LabError
from .progress import step

RECIPE = 1  # raise it when a change of this file changes what is built
MODULES = Path(__file__).resolve().parent.parent / "go"
NEEDED = (1, 26)
_SECONDS = 3600.0


@dataclass(frozen=True)
class GoSet:
    """Programs of one Go module. ``programs``: package by the program's name.

    ``values``: what the linker puts into variables, such as a version.
    """

    name: str
    programs: dict[str, str]
    values: tuple[tuple[str, str], ...] = ()


def version() -> str:
    """Return Go's version, such as ``go1.26.8``. Raises LabError when there is none that will do."""
    needed = ".".join(map(str, NEEDED))
    if not shutil.which("go"):
        raise LabError(f"the cluster's programs are built with Go {needed} or newer, and there is no go in PATH")
    text = process.output(["go", "env", "GOVERSION"]).strip()
    found = re.match(r"go(\d+)\.(\d+)", text)
    old = found is not None and tuple(map(int, found.groups())) < NEEDED
    # With "auto" Go gets itself the version that a go.mod asks for.
    if old and "auto" not in process.output(["go", "env", "GOTOOLCHAIN"]):
        raise LabError(f"Go {needed} or newer is needed to build the cluster's programs, here is {text}")
    return text


def default_name(package: str) -> str:
    """Return the name that Go gives to a package's program: a major version is no name."""
    *rest, last = package.split("/")
    return rest[-1] if re.fullmatch(r"v[0-9]+", last) else last


def linker_flags(values: tuple[tuple[str, str], ...]) -> str:
    """Return the text for ``-ldflags``: no symbols, and the given variables."""
    return " ".join(["-s", "-w", *(f"-X={name}={value}" for name, value in values)])


def argv(wanted: GoSet, source: Path, target: Path) -> list[str]:
    """Return the command that builds a set into a folder."""
    return [
        "go",
        "build",
        "-C",
        str(source),
        "-mod=readonly",
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        linker_flags(wanted.values),
        "-o",
        f"{target}/",
        *wanted.programs.values(),
    ]


def module_inputs(folder: Path) -> dict[str, str]:
    """Return the checksums of a module of ours: its pins and its own sources."""
    files = [path for path in sorted(folder.rglob("*")) if path.name in ("go.mod", "go.sum") or path.suffix == ".go"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pinned(folder: Path, module: str) -> str:
    """Return the version of a module that a ``go.mod`` pins. Raises LabError when it does not."""
    text = (folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"(?m)^\s*(?:require )?{re.escape(module)} (v\S+)", text)
    if not found:
        raise LabError(f"{folder}/go.mod does not pin {module}")
    return found.group(1)


def compile_into(wanted: GoSet, source: Path, work: Path) -> None:
    """Build a set out of a source folder; the programs lie in ``work`` afterwards."""
    made = work / ".go"
    made.mkdir()
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}

    def progress() -> str:
        return f"{len(list(made.iterdir()))} of {len(wanted.programs)} programs"

    with step(f"building {wanted.name}", detail=progress):
        process.run(argv(wanted, source, made), timeout=_SECONDS, log=work / "build.log", env=environment)
    for name, package in wanted.programs.items():
        os.rename(made / default_name(package), work / name)
    made.rmdir()


def module(cache: Cache, wanted: GoSet, folder: Path) -> Path:
    """Return the entry with the programs of a module whose ``go.mod`` and ``go.sum`` are checked in."""
    inputs = {
        "recipe": RECIPE,
        "go": version(),
        "files": module_inputs(folder),
        "programs": wanted.programs,
        "values": wanted.values,
    }
    return cache.get(f"go-{wanted.name}", inputs, lambda work: compile_into(wanted, folder, work))
