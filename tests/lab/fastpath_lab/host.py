# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab needs from the machine it runs on, and the machine's package mirror."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .errors import LabError
from .progress import say, step

# tool -> the Debian package that has it
TOOLS = {
    "ip": "iproute2",
    "nft": "nftables",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "mmdebstrap": "mmdebstrap",
    "sfdisk": "fdisk",
    "mkfs.ext4": "e2fsprogs",
    "cp": "coreutils",
    "openssl": "openssl",
    "lspci": "pciutils",  # a benchmark's peer
}


def missing_tools() -> dict[str, str]:
    """Return the tools that are not there, each with its package."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return {tool: package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}


def prepare() -> None:
    """Check everything the lab needs; install missing packages where that is possible.

    Raises LabError that lists all that is missing.
    """
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    problems = []
    if os.geteuid() != 0:
        problems.append("run it as root: network namespaces and taps need it")
    if not Path("/dev/net/tun").exists():
        problems.append("/dev/net/tun is missing: the tun module has to be loaded")
    if os.uname().machine != "x86_64":
        problems.append("the nodes are x86_64 and so must the machine be")
    if missing_tools() and not problems and shutil.which("apt-get"):
        _install(sorted(set(missing_tools().values())))
    packages = sorted(set(missing_tools().values()))
    if packages:
        tools = ", ".join(missing_tools())
        problems.append(f"missing tools: {tools} (Debian packages: {' '.join(packages)})")
    if problems:
        raise LabError("the lab cannot run here:\n  " + "\n  ".join(problems))


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)}"):
        # A foreign package list that fails must not stop us: the install decides.
        for argv in (
            ["apt-get", "-q", "update"],
            ["apt-get", "-q", "-y", "--no-install-recommends", "install", *packages],
        ):
            done = subprocess.run(
                argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False
            )
            if done.returncode:
                say(f"{' '.join(argv[:3])} said: {done.stderr.decode(errors='replace')[-400:]}")


def _deb822_uris(text: str) -> list[str]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        keys = dict(re.findall(r"(?m)^([A-Za-z-]+):[ \t]*(.*)$", "\n".join(lines)))
        if keys.get("Enabled", "yes").strip().lower() in ("no", "false", "0"):
            continue
        if "deb" in keys.get("Types", "").split():
            found += keys.get("URIs", "").split()
    return found


def _one_line_uris(text: str) -> list[str]:
    return re.findall(r"(?m)^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)", text)


def mirrors(apt: Path = Path("/etc/apt")) -> list[str]:
    """Return all package sources of a machine's apt configuration, in its order."""
    found = []
    for source in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if source.suffix == ".sources" and source.is_file():
            found += _deb822_uris(source.read_text(encoding="utf-8", errors="replace"))
        elif source.suffix == ".list" and source.is_file():
            found += _one_line_uris(source.read_text(encoding="utf-8", errors="replace"))
    return list(dict.fromkeys(uri.rstrip("/") for uri in found))


def debian_mirror(apt: Path = Path("/etc/apt")) -> str:
    """Return the machine's mirror of the Debian archive.

    FASTPATH_DEBIAN_MIRROR overrides it. Raises LabError when none is configured.
    """
    override = os.environ.get("FASTPATH_DEBIAN_MIRROR")
    if override:
        return override.rstrip("/")
    for uri in mirrors(apt):
        if uri.startswith(("http://", "https://")) and uri.endswith("/debian"):
            return uri
    raise LabError("apt has no mirror of Debian configured: set FASTPATH_DEBIAN_MIRROR to one")


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name and flags as one line; a KVM snapshot depends on it."""
    text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    first = text.split("\n\n", maxsplit=1)[0]
    keys = dict(re.findall(r"(?m)^(\S[^\t:]*)\s*: (.*)$", first))
    return f"{keys.get('model name', '')} {keys.get('flags', '')}"
