# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node (``python3 -``) and prints all that the collection might change there, as JSON.

Files by content, mode and link target, large programs by what else tells them apart; the command line; VFs, drivers and
overrides; vDPA devices; pages; units.
"""

import hashlib
import json
import os
import stat
import subprocess

FOLDERS = ("/etc", "/boot/grub", "/usr/libexec", "/var/lib/fastpath", "/var/lib/openvswitch", "/lib/modules-load.d")
# Hundreds of megabytes, of which to read all takes an emulated node too long. What was put away and given back has
# another inode and perhaps another time, so that neither tells anything.
PROGRAM_FOLDERS = ("/opt/cni", "/usr/local/bin")
LARGE, PART, EVERY = 1 << 20, 64 << 10, 4 << 20
# Rewritten by the system itself at any boot or package run.
VOLATILE = ("/etc/machine-id", "/etc/.updated", "/etc/ld.so.cache", "/boot/grub/grubenv", "/etc/adjtime")


def content(path):
    facts = os.lstat(path)
    if stat.S_ISLNK(facts.st_mode):
        return "-> " + os.readlink(path)
    with open(path, "rb") as file:
        large = facts.st_size > LARGE and path.startswith(PROGRAM_FOLDERS)
        data = parts(file, facts.st_size) if large else file.read()
        return f"{stat.S_IMODE(facts.st_mode):o} {hashlib.sha256(data).hexdigest()[:16]}"


def parts(file, size):
    """Of a large program its size, its ends and some of what is between: another build has another identifier there."""
    data = [str(size).encode()]
    for start in [*range(0, size, EVERY), max(0, size - PART)]:
        file.seek(start)
        data.append(file.read(PART))
    return b"".join(data)


def files():
    found = {}
    for folder in FOLDERS + PROGRAM_FOLDERS:
        for parent, folders, names in os.walk(folder):
            links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
            for name in names + links:
                path = os.path.join(parent, name)
                if path not in VOLATILE:
                    found[path] = content(path)
            if not folders and not names:
                found[parent] = "empty folder"
    return found


def value(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def pci():
    found = {}
    root = "/sys/bus/pci/devices"
    for address in sorted(os.listdir(root)):
        driver = os.path.join(root, address, "driver")
        names = ("sriov_numvfs", "sriov_drivers_autoprobe", "driver_override")
        facts = {name: value(os.path.join(root, address, name)) for name in names}
        facts["driver"] = os.path.basename(os.readlink(driver)) if os.path.islink(driver) else None
        found[address] = facts
    return found


def pages():
    found = {}
    for node in ("node0", "node1"):
        folder = f"/sys/devices/system/node/{node}/hugepages"
        for size in os.listdir(folder):
            found[f"{node} {size}"] = value(f"{folder}/{size}/nr_hugepages")
    return found


def vdpa():
    root = "/sys/bus/vdpa/devices"
    names = os.listdir(root) if os.path.isdir(root) else []
    return {name: os.path.basename(os.path.realpath(os.path.join(root, name, "driver"))) for name in names}


def command(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def mtus():
    links = json.loads(command("ip", "-j", "link"))
    return {link["ifname"]: link["mtu"] for link in links}


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "files": files(),
                "pci": pci(),
                "vdpa": vdpa(),
                "pages": pages(),
                "mtu": mtus(),
                "cmdline": value("/proc/cmdline"),
                "enabled": command("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain").split(
                    "\n"
                ),
                "mounts": sorted(
                    line.split()[1] for line in value("/proc/mounts").split("\n") if " hugetlbfs " in line
                ),
            }
        )
    )
