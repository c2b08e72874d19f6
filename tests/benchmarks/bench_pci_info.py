# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""4,096 PCI functions: our discovery against ``lspci -Dvmm``, both as processes on the same made-up tree.

The tree has what either reads: 16 PFs with 255 VFs each.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / ".build/collections"))

from ansible_collections.nfv.fastpath.tests.debian_packages import environment, unpacked  # noqa: E402

PFS, VFS = 16, 255
ROUNDS = 7
OURS = """
import sys
sys.path.insert(0, {collections!r})
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import discover_pci
devices = discover_pci(Host(sysfs_root={root!r}))
print(len(devices), sum(1 for device in devices if device.vf_index is not None))
"""


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"{text}\n")


def make_function(root: Path, address: str, group: int, pf: bool) -> Path:
    """One function with the attributes of a real one, as far as anybody reads them."""
    folder = root / "devices" / "pci0000:00" / address
    folder.mkdir(parents=True)
    device = "10c9" if pf else "10ca"
    put(
        folder,
        "uevent",
        f"DRIVER=igb\nPCI_CLASS=20000\nPCI_ID=8086:{device.upper()}\nPCI_SUBSYS_ID=8086:A03C\nPCI_SLOT_NAME={address}",
    )
    values = {"vendor": "0x8086", "device": f"0x{device}", "class": "0x020000", "revision": "0x01", "irq": "16"}
    values |= {
        "subsystem_vendor": "0x8086",
        "subsystem_device": "0xa03c",
        "numa_node": "0",
        "driver_override": "(null)",
    }
    for name, value in values.items():
        put(folder, name, value)
    put(folder, "resource", "\n".join(["0x0000000000000000 0x0000000000000000 0x0000000000000000"] * 13))
    header = bytearray(256)
    header[0:4] = bytes.fromhex("8680") + bytes.fromhex(device)[::-1]
    header[8:12] = bytes([1, 0, 0, 2])
    header[0x2C:0x30] = bytes.fromhex("86803ca0")
    (folder / "config").write_bytes(bytes(header))
    (folder / "iommu_group").symlink_to(f"../../../kernel/iommu_groups/{group}")
    (folder / "driver").symlink_to("../../../bus/pci/drivers/igb")
    (root / "bus/pci/devices" / address).symlink_to(f"../../../devices/pci0000:00/{address}")
    return folder


def make_tree(root: Path) -> None:
    for folder in ("bus/pci/devices", "bus/pci/slots", "class/net"):
        (root / folder).mkdir(parents=True)
    group = 0
    for number in range(PFS):
        pf = f"0000:{number:02x}:00.0"
        folder = make_function(root, pf, group, pf=True)
        for name, value in {"sriov_totalvfs": VFS, "sriov_numvfs": VFS, "sriov_drivers_autoprobe": 1}.items():
            put(folder, name, str(value))
        (root / "class/net" / f"ens{number}").symlink_to(f"../../devices/pci0000:00/{pf}/net/ens{number}")
        for index in range(VFS):
            place = index + 1
            address = f"0000:{number:02x}:{place >> 3:02x}.{place & 7}"
            group += 1
            vf = make_function(root, address, group, pf=False)
            (vf / "physfn").symlink_to(f"../{pf}")
            (folder / f"virtfn{index}").symlink_to(f"../{address}")


def find_lspci() -> tuple[str, Mapping[str, str]]:
    """The program, and variables that it needs where its package is not installed but was fetched."""
    there = shutil.which("lspci", path=os.environ["PATH"] + ":/usr/bin:/usr/sbin:/sbin")
    if there:
        return there, {}
    packages = unpacked("pciutils")
    return str(packages / "usr/bin/lspci"), environment(packages)


def seconds(argv: list[str], variables: Mapping[str, str]) -> float:
    started = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, env={**os.environ, **variables})
    return time.monotonic() - started


def main() -> None:
    lspci, variables = find_lspci()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        root = Path(folder)
        make_tree(root)
        script = OURS.format(collections=str(CHECKOUT / ".build/collections"), root=folder)
        ours, peer = [sys.executable, "-c", script], [lspci, "-Dvmm", "-O", f"sysfs.path={folder}/bus/pci"]
        counted = subprocess.run(ours, capture_output=True, text=True, check=True).stdout.split()
        if counted != [str(PFS * (VFS + 1)), str(PFS * VFS)]:
            sys.exit(f"bench_pci_info: found {counted}")
        seconds(peer, variables)
        times = [(seconds(ours, {}), seconds(peer, variables)) for _round in range(ROUNDS)]
    row = {
        "name": f"pci_info, {PFS * (VFS + 1)} functions",
        "ours": statistics.median(pair[0] for pair in times),
        "peer": statistics.median(pair[1] for pair in times),
        "peer_is": "lspci -Dvmm, a process on the same tree",
        "limit": 1.0,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
