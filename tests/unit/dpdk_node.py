# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with apt, modules and hugepages, for tests of DPDK on it: files in a folder, commands answered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import file_sha256
from ansible_collections.nfv.fastpath.plugins.module_utils._build_manifest import Manifest
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_task import dpdk_result
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._pack import pack

KERNEL = "6.12.0-lab"
ALONG = ("librte-eal25", "librte-mbuf25")


class DpdkNode:
    """``commands``: what changed something, in order. ``eal``: exit code and error output of testpmd."""

    def __init__(self, folder: Path, release: str = "debian") -> None:
        self.folder = folder
        self.packages = {"bash", "python3"}
        self.known = True
        self.eal = Completed(0, "", "")
        self.commands: list[list[str]] = []
        self.eal_starts: list[list[str]] = []
        self.needed_by_others: set[str] = set()
        self.put("etc/os-release", f"ID={release}\nVERSION_CODENAME=trixie\n")
        self.put("proc/cpuinfo", f"processor : 0\nflags : {' '.join(flags_of('x86-64-v3'))}\n")
        self.put("proc/sys/kernel/osrelease", KERNEL + "\n")
        self.put("proc/cmdline", "quiet\n")
        self.put("proc/meminfo", "MemTotal: 4194304 kB\n")
        modules = "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/x.ko\nkernel/drivers/uio/uio_pci_generic.ko.xz:\n"
        self.put(f"lib/modules/{KERNEL}/modules.dep", modules)
        self.put("usr/bin/apt-get", "")
        self.put("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "64\n")
        self.put("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64\n")
        self.put("sys/kernel/iommu_groups/0/name", "")
        (folder / "usr/local/bin").mkdir(parents=True)
        self.nic("0000:81:00.0", "8086:10C9")

    def put(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def nic(self, address: str, ids: str) -> None:
        self.put(f"sys/bus/pci/devices/{address}/uevent", f"PCI_CLASS=20000\nPCI_ID={ids}\n")

    def lockdown(self, word: str) -> None:
        self.put("sys/kernel/security/lockdown", f"none [{word}] confidentiality\n".replace("none [none]", "[none]"))

    @property
    def host(self) -> Host:
        return Host(root=str(self.folder), run=self.run)

    def run(self, argv, timeout, stdin):
        argv = list(argv)
        if argv[0] == "env":
            return self.apt(argv[argv.index("apt-get") + 1 :])
        if argv[0].endswith("/dpdk-testpmd"):
            self.eal_starts.append(argv)
            return self.eal
        answer = getattr(self, argv[0].replace("-", "_"), None)
        if answer is None:
            pytest.fail(f"not expected: {argv}")
        return answer(argv)

    def getconf(self, argv):
        return Completed(0, "glibc 2.41\n", "")

    def dpkg_query(self, argv):
        return Completed(0, "".join(f"{name}\tinstalled\n" for name in sorted(self.packages)), "")

    def apt_cache(self, argv):
        if not self.known:
            return Completed(100, "", "E: No packages found")
        fields = {"dpdk-dev": "Depends: libdpdk-dev, librte-eal25 (>= 24.11)\n"}
        names = [word for word in argv[2:] if not word.startswith("-")]
        return Completed(0, "\n".join(f"Package: {name}\n{fields.get(name, '')}" for name in names), "")

    def modprobe(self, argv):
        self.commands.append(argv)
        folder = self.folder / f"sys/module/{argv[-1].replace('-', '_')}"
        if "--remove" in argv:
            os.unlink(folder / "refcnt")
            os.rmdir(folder)
        else:
            self.put(f"sys/module/{argv[-1].replace('-', '_')}/refcnt", "0\n")
        return Completed(0, "", "")

    def apt(self, argv):
        words = [word for word in argv if not word.startswith("-")]
        verb = next(word for word in words if word in ("update", "install", "remove", "purge"))
        names = words[words.index(verb) + 1 :]
        if "--print-uris" in argv:
            lines = (f"'http://h/{name}_1.deb' {name}_1.deb 1 MD5Sum:a\n" for name in [*names, *ALONG])
            return Completed(0, "".join(lines), "")
        if "--simulate" in argv:
            users = ["other"] if self.needed_by_others & set(names) else []
            return Completed(0, "".join(f"Remv {name} [1]\n" for name in [*names, *users]), "")
        self.commands.append([verb, *names])
        if verb == "update":
            self.known = True
        elif verb == "install":
            self.packages |= {*names, *ALONG}
            if "dpdk" in names:
                self.put("usr/bin/dpdk-devbind.py", "")
            if "dpdk-dev" in names:
                self.put("usr/bin/dpdk-testpmd", "")
            if "dpdk-kmods-dkms" in names:
                path = self.folder / f"lib/modules/{KERNEL}/modules.dep"
                path.write_text(path.read_text() + "updates/dkms/igb_uio.ko.xz: kernel/uio.ko\n")
        else:
            self.packages -= set(names)
        return Completed(0, "", "")

    def files(self) -> dict[str, str]:
        """Everything below, but for what remembers runs: to compare before and after."""
        found = {}
        for folder, names, files in os.walk(self.folder):
            for name in files + [name for name in names if os.path.islink(os.path.join(folder, name))]:
                path = Path(folder, name)
                shown = str(path.relative_to(self.folder))
                if not shown.startswith(("run/", "usr/bin/dpdk")):
                    found[shown] = os.readlink(path) if path.is_symlink() else path.read_text()
        return found


FILES = ("bin/dpdk-testpmd", "bin/dpdk-devbind.py", "lib/pkgconfig/libdpdk.pc")


def make_bundle(folder: Path, key: str = "a" * 16, files=FILES, **changes) -> tuple[Manifest, str]:
    """A bundle with two commands, and its archive."""
    prefix = folder / f"prefix-{key}"
    for name in files:
        (prefix / name).parent.mkdir(parents=True, exist_ok=True)
        (prefix / name).write_text(key)
        (prefix / name).chmod(0o755)
    archive = str(folder / f"{key}.tar.xz")
    pack(str(prefix), archive)
    values = {
        "name": "dpdk",
        "version": "24.11.6",
        "key": key,
        "architecture": "x86_64",
        "baseline": "x86-64-v2",
        "cpu_flags": flags_of("x86-64-v2"),
        "os_id": "debian",
        "release": "trixie",
        "glibc": "2.38",
        "packages": ("libnuma1",),
        "commands": ("bin/dpdk-devbind.py", "bin/dpdk-testpmd"),
        "sha256": file_sha256(archive),
        "size": os.path.getsize(archive),
    }
    return Manifest(**{**values, **changes}), archive


def apply(node, spec=None, dry_run=False, **options):
    params = {"state": "present", "spec": spec, "remove_packages": True, **options}
    return dpdk_result(node.host, params, dry_run)


def teardown(node, **options):
    return apply(node, state="absent", **options)


def actions(result):
    return [step["action"] for step in result["operations"]]


SOURCE = {"provider": "source"}


def ship(node, bundle, **options):
    """What the action plugin does: ask, bring, do."""
    manifest, archive = bundle
    first = apply(node, SOURCE, bundle=manifest.as_json(), **options)
    if first["archive_needed"]:
        assert not first["changed"]
        return apply(node, SOURCE, bundle=manifest.as_json(), archive=archive, **options)
    return first
