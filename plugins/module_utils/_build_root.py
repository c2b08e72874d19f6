# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. A root of the nodes' release to build in: made once, unpacked afresh for each build.

A build runs in mount, process and network namespaces of its own, which go with its last process: nothing has to be
unmounted, nothing can leak, and nothing can be fetched on the way.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence

from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

TOOLS = {"mmdebstrap": "mmdebstrap", "tar": "tar", "unshare": "util-linux", "mount": "mount", "xz": "xz-utils"}
ENVIRONMENT = {
    "HOME": "/build",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "SOURCE_DATE_EPOCH": "1",
    "TERM": "dumb",
}
PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
COMPONENTS = {"debian": "main", "ubuntu": "main universe"}

# Runs in the new namespaces, before the root is entered.
_ENTER = """
import json, os, subprocess, sys
box = json.loads(sys.argv[1])
root = box["root"]
subprocess.run(["mount", "-t", "proc", "proc", root + "/proc"], check=True)
for name in ("null", "zero", "full", "random", "urandom"):
    target = root + "/dev/" + name
    if not os.path.exists(target):
        open(target, "w").close()
    subprocess.run(["mount", "--bind", "/dev/" + name, target], check=True)
os.chroot(root)
os.chdir(box["folder"])
os.execvpe(box["argv"][0], box["argv"], box["environment"])
"""


def missing_tools(host: Host) -> list[str]:
    """Packages of the tools that the builder lacks."""
    return sorted(
        {package for tool, package in TOOLS.items() if not any(host.exists(f"{f}/{tool}") for f in PROGRAM_FOLDERS)}
    )


def root_argv(target: str, release: str, sources: Sequence[str], packages: Sequence[str]) -> list[str]:
    """The command that makes a root as an archive."""
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--format=tar",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        f"--include={','.join(packages)}",
        release,
        target,
        *sources,
    ]


def inside_argv(root: str, argv: Sequence[str], folder: str, environment: Mapping[str, str]) -> list[str]:
    """The command that runs another one inside a root. It gives way to everything else on the builder."""
    box = {"root": root, "argv": list(argv), "folder": folder, "environment": {**ENVIRONMENT, **environment}}
    namespaces = ["--mount", "--propagation", "private", "--net", "--ipc", "--pid", "--fork", "--kill-child"]
    return ["nice", "-n", "10", "unshare", *namespaces, "--", sys.executable, "-I", "-c", _ENTER, json.dumps(box)]


def package_sources(host: Host, os_id: str, release: str, mirror: str = "") -> list[str]:
    """Lines for apt: the archive that was named, else the one that the builder itself uses for that distribution."""
    archive = mirror or os.environ.get("FASTPATH_DEBIAN_MIRROR", "") or _own_archive(host, os_id)
    if not archive:
        raise FastpathError(
            f"The builder knows no package archive of {os_id}: give one in fastpath_dpdk_build.apt_mirror, "
            "or build on a machine of the nodes' distribution."
        )
    components = COMPONENTS.get(os_id, "main")
    return [f"deb {archive.rstrip('/')} {suite} {components}" for suite in (release, f"{release}-updates")]


def _own_archive(host: Host, os_id: str) -> str:
    folder = "/etc/apt/sources.list.d"
    texts = [host.read("/etc/apt/sources.list") or ""]
    texts += [host.read(f"{folder}/{name}") or "" for name in host.listdir(folder)]
    lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = re.findall(rf"https?://[^\s\]]+/{re.escape(os_id)}/?(?=\s|$)", "\n".join(lines))
    return str(found[0]) if found else ""
