# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of Debian packages in a folder of the cache, where they are not installed: for tests and benchmarks."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastpath"
# Whatever runs has it loaded already.
IN_USE = ("libc6",)
# A line of apt-get --print-uris: 'URI' FILE SIZE CHECKSUM
_FILE = re.compile(r"'[^']+' (?P<name>[^_ ]+)_(?P<version>[^_ ]+)_\w+\.deb \d+ \S*$", re.MULTILINE)


def unpacked(*packages: str) -> Path:
    """The folder with the packages, and with those of their dependencies that this machine has not installed.

    Nothing is installed, and no program of a package is run. Folders are known by the packages' checksums.
    """
    listing = _missing(packages)
    folder = CACHE / f"packages-{hashlib.sha256(listing.encode()).hexdigest()[:20]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w", encoding="utf-8") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            if folder.exists():
                shutil.rmtree(folder)
            _fill(folder, listing)
            (folder / "complete").touch()
    return folder.resolve()


def environment(folder: Path) -> Mapping[str, str]:
    """Variables with which programs of the folder are found, and find their libraries."""
    programs = [str(folder / "usr" / name) for name in ("bin", "sbin")]
    libraries = [str(path) for top in ("usr/lib", "lib") for path in sorted(folder.glob(f"{top}/*-linux-gnu*"))]
    return {
        "PATH": os.pathsep.join([*programs, os.environ.get("PATH", os.defpath)]),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
    }


def _missing(packages: tuple[str, ...]) -> str:
    argv = ["apt-get", "-qq", "--print-uris", "-y", "--no-install-recommends", "install", *packages]
    done = _run(argv)
    if done.returncode and os.geteuid() == 0:
        _run(["apt-get", "-q", "update"])
        done = _run(argv)
    if done.returncode:
        sys.exit(f"{' '.join(packages)}: {done.stderr.strip()[-400:]}")
    return done.stdout


def _fill(folder: Path, listing: str) -> None:
    found = {match["name"]: urllib.parse.unquote(match["version"]) for match in _FILE.finditer(listing)}
    wanted = [f"{name}={version}" for name, version in found.items() if name not in IN_USE]
    print(f"{len(wanted)} packages for {folder} ...", file=sys.stderr, flush=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=CACHE) as download:
        done = _run(["apt-get", "-q", "download", *wanted], download)
        if done.returncode:
            sys.exit(f"{' '.join(wanted)}: {done.stderr.strip()[-400:]}")
        for package in sorted(Path(download).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, timeout=300)


def _run(argv: list[str], folder: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
