# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of the node agent and of a workload, with a DPDK whose vDPA works on the lab's VFs.

They are apart from the cluster's images: those are saved with the members' disks, and these change with the agent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from . import build_roots, components, extras
from .cache import Cache, digest
from .host import debian_mirror
from .oci import Image, Item, Layout
from .progress import step
from .sources import CHECKOUT, agent_tree, fetch
from .topology import Extras

RECIPE, IMAGES_RECIPE = 1, 2
PATCH = CHECKOUT / "tests/lab/dpdk/ifc-on-virtio.patch"
WORKLOAD = CHECKOUT / "tests/lab/workload/socket-testpmd"
AGENT_FOLDER = "/usr/libexec/fastpath-agent"
_TOOLS = (
    *("gcc", "libc6-dev", "libnuma-dev", "meson", "ninja-build"),
    *("patch", "pkg-config", "python3-pyelftools", "xz-utils"),
)
# What the programs and the agent need at run time.
_PACKAGES = ("base-files", "busybox-static", "coreutils", "libnuma1", "python3", "python3-grpcio")
_DRIVERS = ("bus/pci", "bus/vdev", "mempool/ring", "net/e1000", "net/null", "net/vhost", "net/virtio", "vdpa/ifc")
# Beside those that DPDK never leaves out: vhost, and what vhost is linked with.
_LIBRARIES = ("cryptodev", "dmadev", "vhost")
_OPTIONS = (
    "-Dbuildtype=release",
    "-Ddefault_library=static",
    "-Dplatform=generic",
    "-Dtests=false",
    "-Dexamples=vdpa",
    "-Denable_apps=test-pmd",
    f"-Denable_drivers={','.join(_DRIVERS)}",
    f"-Denable_libs={','.join(_LIBRARIES)}",
)
_PROGRAMS = {"dpdk-vdpa": "examples/dpdk-vdpa", "dpdk-testpmd": "app/dpdk-testpmd"}
_LEFT_OUT = (
    *("dev", "proc", "sys", "var/cache", "var/lib/apt", "var/lib/dpkg"),
    *("usr/share/doc", "usr/share/man", "usr/share/locale"),
)
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run"}


def dpdk(cache: Cache, release: str) -> Path:
    """Return the entry with the two programs, built out of the patched source."""
    archive = fetch("dpdk")

    def build(work: Path) -> None:
        root, log = work / "root", work / "build.log"
        with step("DPDK for the lab's VFs"):
            mirror = debian_mirror()
            sources = [f"deb {mirror} {release} main", f"deb {mirror} {release}-updates main"]
            build_roots.mmdebstrap(root, log, release, _TOOLS, sources, [])
            (root / "build/src").mkdir(parents=True)
            binds = [(str(archive.path), "/build/dpdk.tar.xz"), (str(PATCH), "/build/lab.patch")]
            for argv, seconds in (
                (["tar", "-C", "/build/src", "--strip-components=1", "-xf", "/build/dpdk.tar.xz"], 120.0),
                (["patch", "-d", "/build/src", "-p1", "-i", "/build/lab.patch"], 30.0),
                (["meson", "setup", "/build/out", "/build/src", *_OPTIONS], 300.0),
                (["ninja", "-C", "/build/out"], 3 * 3600.0),
                (["strip", *(f"/build/out/{path}" for path in _PROGRAMS.values())], 60.0),
            ):
                build_roots.in_root(root, argv, log, timeout=seconds, binds=binds)
            for name, path in _PROGRAMS.items():
                shutil.copy(root / "build/out" / path, work / name)
            shutil.rmtree(root)

    inputs = {
        "recipe": RECIPE,
        "source": archive.sha256,
        "patch": hashlib.sha256(PATCH.read_bytes()).hexdigest(),
        "options": _OPTIONS,
        "release": release,
        "packages": sorted(_TOOLS),
    }
    return cache.get("dpdk", inputs, build)


def base(root: Path) -> Iterator[Item]:
    """Yield the files of an unpacked root as they are, without what nobody reads."""
    for folder, folders, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if (inside / name).as_posix() not in _LEFT_OUT]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        for name in (*names, *links):
            path = Path(folder) / name
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                yield Item(f"/{inside / name}", link=os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                yield Item(f"/{inside / name}", source=path, mode=stat.S_IMODE(status.st_mode) & 0o755)
    for name, target in _LINKS.items():
        # An empty folder is one that no package has: a script would have made the link.
        if not (root / name).is_symlink() and not ((root / name).is_dir() and any((root / name).iterdir())):
            yield Item(f"/{name}", link=target)
    yield Item("/tmp", mode=0o1777)
    yield Item("/run")


def images(root: Path, programs: Path, tree: dict[str, str]) -> list[Image]:
    """Return the images. ``tree``: text of the agent's files by path. Pure but for the root's names."""
    common = (
        *base(root),
        *(Item(f"/usr/bin/{name}", source=programs / name) for name in _PROGRAMS),
        Item("/etc/passwd", text="root:x:0:0:root:/root:/bin/sh\n", mode=0o644),
        Item("/etc/group", text="root:x:0:\n", mode=0o644),
        Item("/usr/bin/sh", link="busybox"),
    )
    agent = [Item(f"{AGENT_FOLDER}/{path}", text=text, mode=_mode(path)) for path, text in sorted(tree.items())]
    program = Item("/usr/bin/fastpath-agent", link=f"{AGENT_FOLDER}/fastpath-agent")
    workload = Item("/usr/bin/socket-testpmd", text=f"#!/usr/bin/python3\n{WORKLOAD.read_text(encoding='utf-8')}")
    name, _colon, tag = components.collection_image("node-agent").rpartition(":")
    return [
        Image(name, tag, (*common, *agent, program), ("/usr/bin/fastpath-agent", "keep")),
        Image("fastpath/testpmd", "1", (*common, workload), ("/usr/bin/sh",)),
    ]


def _mode(path: str) -> int:
    return 0o755 if path == "fastpath-agent" else 0o644


def layout(cache: Cache, release: str) -> Layout:
    """Return the images in a folder of the cache."""
    programs = dpdk(cache, release)
    root = extras.root(cache, Extras(release, _PACKAGES))
    tree = agent_tree()

    def build(work: Path) -> None:
        with step("images of the node agent"):
            made = Layout(work / "layout")
            for image in images(root, programs, tree):
                made.add(image)

    inputs = {
        "recipe": IMAGES_RECIPE,
        "dpdk": programs.name,
        "root": root.parent.name,
        "agent": digest(tree),
        "workload": digest(WORKLOAD.read_text(encoding="utf-8")),
    }
    return Layout(cache.get("agent-images", inputs, build) / "layout")
