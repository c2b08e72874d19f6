# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs out of Debian packages, unpacked and not installed: nothing of theirs starts by itself."""

from __future__ import annotations

from pathlib import Path

from . import process
from .cache import Cache
from .errors import LabError
from .host import debian_mirror
from .progress import step
from .topology import Extras

RECIPE = 1


def root(cache: Cache, spec: Extras) -> Path:
    """Return the folder with the unpacked packages and what they depend on."""

    def build(work: Path) -> None:
        target = work / "root"
        argv = [
            "mmdebstrap",
            "--mode=root",
            "--variant=extract",
            "--format=directory",
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            f"--include={','.join(spec.packages)}",
            spec.release,
            str(target),
            f"deb {debian_mirror()} {spec.release} main",
        ]
        with step(f"packages {', '.join(spec.packages)}"):
            process.run(process.isolated(argv), timeout=900, log=work / "build.log")

    inputs = {"recipe": RECIPE, "release": spec.release, "packages": sorted(spec.packages)}
    return cache.get("extras", inputs, build) / "root"


def loader(folder: Path) -> Path:
    """Return the loader of programs of a root."""
    for name in ("lib64", "usr/lib64"):
        found = folder / name / "ld-linux-x86-64.so.2"
        if found.exists():
            return found.resolve() if found.resolve().is_relative_to(folder) else found
    raise LabError(f"{folder} has no loader for programs")


def in_root(folder: Path, program: str) -> list[str]:
    """Return the start of an argv that runs a program of a root with that root's own libraries."""
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    return [str(loader(folder)), "--library-path", f"{libraries}:{libraries}/systemd", str(folder / program)]


def libraries(folder: Path, program: str) -> dict[str, Path]:
    """Return the libraries of a program of a root: where a program looks for each, and where it lies."""
    start = in_root(folder, program)
    text = process.output([start[0], "--list", *start[1:]])
    names = [line.split()[0] for line in text.splitlines() if "=> /" in line and "/" not in line.split()[0]]
    found = {f"/usr/lib/x86_64-linux-gnu/{name}": folder / "usr/lib/x86_64-linux-gnu" / name for name in names}
    return {**found, "/lib64/ld-linux-x86-64.so.2": loader(folder)}
