# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the roots: the one QEMU runs from, the guest's, and the guest's extra module."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import process
from .cache import Cache, digest
from .errors import LabError
from .host import debian_mirror
from .progress import step
from .topology import Image, QemuRoot, Topology

RECIPE = 4  # raise it when a change of this file changes what is built
BUILD_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
KERNEL_SOURCE = "linux-source"

# A small initial ram disk: what finds the disk, nothing else. Later kernels follow it.
_INITRAMFS_HOOK = """#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk ext4
"""
_FILES = {
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/fstab": "LABEL=root / ext4 errors=remount-ro 0 1\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/initramfs-tools/conf.d/lab": "MODULES=list\nCOMPRESS=lz4\n",
    "etc/ssh/sshd_config.d/lab.conf": "UseDNS no\nGSSAPIAuthentication no\n",
}
# Without a word the kernel distrusts an emulated TSC and reads an emulated HPET, at a cost for every look at the clock.
_GRUB = """
GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=ttyS0,115200 tsc=reliable"
GRUB_TERMINAL=serial
GRUB_DISABLE_OS_PROBER=true
"""
# Work in the background that a fresh node would do once a day, at its first minute.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "man-db.timer",
    "systemd-tmpfiles-clean.timer",
)


def mmdebstrap(
    target: Path, log: Path, release: str, packages: tuple[str, ...], sources: list[str], options: list[str]
) -> None:
    """Make a root with packages."""
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        f"--include={','.join(packages)}",
        *options,
        release,
        str(target),
        *sources,
    ]
    process.run(process.isolated(argv), timeout=900, log=log)


def qemu_root(cache: Cache, spec: QemuRoot) -> Path:
    """Return the entry whose ``root`` folder has QEMU and the address translation."""

    def build(work: Path) -> None:
        mirror = debian_mirror()
        sources, options = [f"deb {mirror} {spec.release} main"], []
        if spec.backports:
            sources.append(f"deb {mirror} {spec.release}-backports main")
            options.append(f'--aptopt=APT::Default-Release "{spec.release}-backports"')
        root = work / "root"
        with step("QEMU root"):
            mmdebstrap(root, work / "build.log", spec.release, spec.packages, sources, options)
        for name in ("vm", "base", "console", "run/netns"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "etc/resolv.conf").write_text("", encoding="utf-8")
        version = root_qemu_version(root)
        (work / "version").write_text(version + "\n", encoding="utf-8")

    inputs = {"recipe": RECIPE, "release": spec.release, "backports": spec.backports, "packages": sorted(spec.packages)}
    return cache.get("qemu", inputs, build)


def root_qemu_version(root: Path) -> str:
    """Return the Debian version of QEMU in a root."""
    status = (root / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    for stanza in status.split("\n\n"):
        if stanza.startswith("Package: qemu-system-x86\n"):
            for line in stanza.splitlines():
                if line.startswith("Version: "):
                    return line.removeprefix("Version: ")
    raise LabError("the QEMU root has no QEMU")


def guest_root(cache: Cache, spec: Image) -> Path:
    """Return the entry whose ``root`` folder is a Debian without the lab's own things."""

    def build(work: Path) -> None:
        mirror = debian_mirror()
        sources = [f"deb {mirror} {spec.release} main", f"deb {mirror} {spec.release}-updates main"]
        root = work / "root"
        with step("guest root"):
            mmdebstrap(root, work / "build.log", spec.release, spec.packages, sources, [])
            _configure(root, work / "build.log")

    inputs = {
        "recipe": RECIPE,
        "release": spec.release,
        "packages": sorted(spec.packages),
        "files": digest([_FILES, _GRUB, _INITRAMFS_HOOK, _MASKED]),
    }
    return cache.get("guest", inputs, build)


def _configure(root: Path, log: Path) -> None:
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    hook = root / "etc/initramfs-tools/hooks/lab"
    hook.write_text(_INITRAMFS_HOOK, encoding="utf-8")
    hook.chmod(0o755)
    grub = root / "etc/default/grub"
    shutil.copy(root / "usr/share/grub/default/grub", grub)
    with open(grub, "a", encoding="utf-8") as handle:
        handle.write(_GRUB)
    # The name and the machine id come from the machine itself (credentials).
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("", encoding="utf-8")
    in_root(root, ["systemctl", "enable", "systemd-networkd.service", "ssh.service"], log)
    in_root(root, ["systemctl", "mask", *_MASKED], log)
    # Nothing has changed since the image was made: no update work at the first boot.
    for name in ("etc/.updated", "var/.updated"):
        (root / name).touch()
    in_root(root, ["update-initramfs", "-u", "-k", "all"], log, timeout=180)


def in_root(
    root: Path, argv: list[str], log: Path, timeout: float = 60, binds: list[tuple[str, str]] | None = None
) -> None:
    """Run a command inside a root, with its own mounts and process numbers."""
    from .sandbox import Sandbox

    box = Sandbox(
        root=str(root),
        argv=argv,
        binds=binds or [],
        env={"PATH": BUILD_PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )
    process.run(process.isolated(box.command()), timeout=timeout, log=log)


def kernel_version(root: Path) -> str:
    """Return the one kernel version that a root has."""
    versions = sorted(path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*"))
    if len(versions) != 1:
        raise LabError(f"the guest root has {len(versions)} kernels instead of one")
    return versions[0]


def vdpa_module(cache: Cache, topology: Topology, guest: Path) -> Path:
    """Return the entry with ``vp_vdpa.ko``, which Debian's kernel leaves out."""
    version = kernel_version(guest / "root")
    release = topology.image.release

    def build(work: Path) -> None:
        root, log = work / "root", work / "build.log"
        packages = (f"linux-headers-{version}", KERNEL_SOURCE, "make", "gcc", "xz-utils", "kmod")
        # Only those files are needed of a package that is a gigabyte when unpacked.
        with step("module vp_vdpa"):
            mmdebstrap(
                root,
                log,
                release,
                packages,
                [f"deb {debian_mirror()} {release} main", f"deb {debian_mirror()} {release}-updates main"],
                [],
            )
            archive = next((root / "usr/src").glob("linux-source-*.tar.xz")).name
            source = archive.removesuffix(".tar.xz")
            in_root(
                root,
                ["tar", "-C", "/usr/src", "-xf", f"/usr/src/{archive}", f"{source}/drivers/vdpa"],
                log,
                timeout=180,
            )
            in_root(
                root,
                [
                    "make",
                    "-C",
                    f"/lib/modules/{version}/build",
                    f"M=/usr/src/{source}/drivers/vdpa/virtio_pci",
                    "CONFIG_VP_VDPA=m",
                    "modules",
                ],
                log,
                timeout=180,
            )
            built = root / "usr/src" / source / "drivers/vdpa/virtio_pci/vp_vdpa.ko"
            shutil.copy(built, work / "vp_vdpa.ko")
            shutil.rmtree(root)

    return cache.get("module", {"recipe": RECIPE, "kernel": version, "release": release}, build)
