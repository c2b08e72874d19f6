# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The saved state of a booted, untouched node: made once, kept in the cache, copied."""

from __future__ import annotations

import os
from pathlib import Path

from . import host, process
from .cache import Cache
from .errors import LabError
from .node import Machine
from .progress import say, step
from .sandbox import Sandbox

STATE = "fresh"
RECIPE = 1
_PROBE_SECONDS = 15


def accelerator(cache: Cache, qemu: Path, base: Path) -> str:
    """Return "kvm" where a kernel really boots under it on this machine, else "tcg".

    That the device opens proves nothing: a virtual processor inside another one may stop
    at the first instruction it cannot emulate. The answer is kept until the next boot.
    """
    forced = os.environ.get("FASTPATH_LAB_ACCEL")
    if forced:
        return forced
    if not Path("/dev/kvm").exists():
        return "tcg"

    def build(work: Path) -> None:
        with step("is KVM usable here"):
            works = _boots(qemu, base, "kvm")
            say("KVM works" if works else "KVM does not boot a kernel here: software emulation")
        (work / "accel").write_text("kvm" if works else "tcg", encoding="ascii")

    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    inputs = {"recipe": RECIPE, "boot": boot, "qemu": qemu.name, "base": base.name}
    return (cache.get("accel", inputs, build) / "accel").read_text(encoding="ascii")


def _boots(qemu: Path, base: Path, accel: str) -> bool:
    argv = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        "q35,kernel-irqchip=split",
        "-accel",
        accel,
        "-cpu",
        "host",
        "-m",
        "512",
        "-no-reboot",
        "-serial",
        "stdio",
        "-kernel",
        "/base/vmlinuz",
        "-append",
        "console=ttyS0 panic=-1",
    ]
    box = Sandbox(
        root=str(qemu / "root"),
        argv=argv,
        binds=[(str(base), "/base")],
        writable=False,
        env={"PATH": "/usr/bin:/usr/sbin"},
    )
    try:
        done = process.run(process.isolated(box.command()), timeout=_PROBE_SECONDS)
    except LabError:
        return False
    # With no root file system the kernel comes this far and gives up.
    return b"Kernel panic" in done.stdout and b"Unable to mount root" in done.stdout


def state(cache: Cache, machine: Machine) -> Path:
    """Return the entry with the disk that holds the state, booting a node for it once."""
    site = machine.site

    def build(work: Path) -> None:
        template = Machine(site, machine.node, work)
        with step(f"{machine.node.name}: first boot, to save its state"):
            try:
                template.create_disk()
                template.start()
                template.wait_ssh(600)
                template.settle(600)
                _warm(template)
            except BaseException:
                template.kill()
                raise
        with step(f"{machine.node.name}: saving its state"):
            try:
                template.save(STATE)
                template.quit()
            except BaseException:
                template.kill()
                raise
        for name in ("qmp", "ready", "qemu.log"):
            (work / name).unlink(missing_ok=True)

    inputs = {
        "recipe": RECIPE,
        "argv": machine.argv(),
        "qemu": site.qemu.name,
        "base": site.base.name,
        "cpu": host.cpu_model() if site.accel == "kvm" else "",
    }
    return cache.get("fresh", inputs, build)


def _warm(machine: Machine) -> None:
    """Load what the first command of every user loads, and write the disk back."""
    machine.ssh("python3 -c 'import json, platform, ssl, zipfile'; sync", timeout=120)


def restore(cache: Cache, machine: Machine) -> None:
    """Start a machine that is off in the fresh state; what its disk had is lost."""
    entry = state(cache, machine)
    machine.folder.mkdir(parents=True, exist_ok=True)
    machine.ready = False
    partial = machine.folder / "disk.new"
    process.run(["cp", "--sparse=always", "--reflink=auto", str(entry / "disk.qcow2"), str(partial)], timeout=120)
    os.replace(partial, machine.disk)
    machine.start(load=STATE)
