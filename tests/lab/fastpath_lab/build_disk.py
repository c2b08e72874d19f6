# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the bootable base disk out of the guest root: partitions, file system, GRUB."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from . import process
from .build_roots import in_root, kernel_version
from .cache import Cache, digest
from .errors import LabError
from .progress import step
from .sandbox import Sandbox
from .topology import Topology

RECIPE = 2
_GUEST = Path(__file__).resolve().parents[1] / "guest"
_GRUB_CORE = "21686148-6449-6E6F-744E-656564454649"
_DONE = "LAB-BOOT-LOADER-INSTALLED"

# Runs as the first process of the first boot, with nothing else around it.
_FIRST_BOOT = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw / ; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
grub-install --target=i386-pc /dev/vda && update-grub && rm /first-boot && sync && echo {_DONE}
mount -o remount,ro /
echo o > /proc/sysrq-trigger
exec sleep 60
"""


def key(cache: Cache) -> Path:
    """Return the entry with the ssh key pair of all nodes of this cache."""

    def build(work: Path) -> None:
        process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(work / "id")], timeout=30)

    return cache.get("key", {"recipe": 1}, build)


def base_disk(cache: Cache, topology: Topology, guest: Path, module: Path, qemu: Path) -> Path:
    """Return the entry with ``disk.raw``: a Debian that boots by itself."""
    keys = key(cache)

    def build(work: Path) -> None:
        with step("base disk"):
            root = work / "root"
            process.run(["cp", "-a", "--reflink=auto", f"{guest}/root", str(root)], timeout=300)
            _personalise(root, module, keys, topology, work / "build.log")
            _make_disk(root, work / "disk.raw", topology.image.disk_gib)
            version = kernel_version(root)
            shutil.copy(root / f"boot/vmlinuz-{version}", work / "vmlinuz")
            shutil.copy(root / f"boot/initrd.img-{version}", work / "initrd")
            shutil.rmtree(root)
        with step("boot loader"):
            _install_boot_loader(work, qemu)

    public = (keys / "id.pub").read_text(encoding="utf-8")
    inputs = {
        "recipe": RECIPE,
        "guest": guest.name,
        "module": module.name,
        "key": public,
        "gib": topology.image.disk_gib,
        "name_server": topology.network.name_server,
        "first_boot": digest(_FIRST_BOOT),
        "compiled_once": digest((_GUEST / "compiled_once.py").read_text(encoding="utf-8")),
    }
    return cache.get("disk", inputs, build)


def _personalise(root: Path, module: Path, keys: Path, topology: Topology, log: Path) -> None:
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copy(keys / "id.pub", ssh / "authorized_keys")
    version = kernel_version(root)
    extra = root / f"lib/modules/{version}/extra"
    extra.mkdir(exist_ok=True)
    shutil.copy(module / "vp_vdpa.ko", extra)
    in_root(root, ["depmod", version], log)
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.write_text(f"nameserver {topology.network.name_server}\n", encoding="utf-8")
    _compile_once(root)
    first = root / "first-boot"
    first.write_text(_FIRST_BOOT, encoding="utf-8")
    first.chmod(0o755)


def _compile_once(root: Path) -> None:
    (folder,) = root.glob("usr/local/lib/python3.*/dist-packages")
    shutil.copy(_GUEST / "compiled_once.py", folder)
    (folder / "compiled_once.pth").write_text("import compiled_once\n", encoding="utf-8")
    (root / "var/cache/compiled").mkdir()


def _make_disk(root: Path, disk: Path, gib: int) -> None:
    with open(disk, "wb") as handle:
        handle.truncate(gib << 30)
    table = f"label: gpt\nsize=4M, type={_GRUB_CORE}\ntype=linux\n"
    process.run(["sfdisk", "-q", str(disk)], timeout=60, stdin=table.encode())
    layout = json.loads(process.output(["sfdisk", "--json", str(disk)]))
    part = layout["partitiontable"]["partitions"][1]
    process.run(
        [
            "mkfs.ext4",
            "-q",
            "-F",
            "-L",
            "root",
            "-E",
            f"offset={part['start'] * 512}",
            "-d",
            str(root),
            str(disk),
            f"{part['size'] // 2}k",
        ],
        timeout=300,
    )


def _install_boot_loader(work: Path, qemu: Path) -> None:
    argv = [
        "qemu-system-x86_64",
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "1024",
        "-display",
        "none",
        "-monitor",
        "none",
        "-nic",
        "none",
        "-serial",
        "file:/vm/first-boot.log",
        "-no-reboot",
        "-kernel",
        "/vm/vmlinuz",
        "-initrd",
        "/vm/initrd",
        "-append",
        "root=/dev/vda2 rw console=ttyS0 panic=-1 init=/first-boot",
        "-drive",
        "file=/vm/disk.raw,format=raw,if=virtio,cache=unsafe",
    ]
    box = Sandbox(root=str(qemu / "root"), argv=argv, binds=[(str(work), "/vm")], env={"PATH": os.environ["PATH"]})
    process.run(process.isolated(box.command()), timeout=300, log=work / "build.log")
    console = work / "first-boot.log"
    if _DONE not in console.read_text(encoding="utf-8", errors="replace"):
        raise LabError(
            "the first boot did not install GRUB; end of its console:\n"
            + console.read_text(encoding="utf-8", errors="replace")[-1500:]
        )
