# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on a node (``python3 -``): times bare writes and the engine in turn; prints the seconds as JSON."""

import glob
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, "/usr/libexec/fastpath/fastpath-node")

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern

ROUNDS = 5
VFS = 7
PF = next(path for path in sorted(glob.glob("/sys/bus/pci/drivers/igb/0000:*")) if "0000:8" in path)


def write(path, value):
    with open(path, "w") as file:
        file.write(value)


def bare():
    write(f"{PF}/sriov_drivers_autoprobe", "0")
    write(f"{PF}/sriov_numvfs", str(VFS))
    for index in range(VFS):
        address = os.path.basename(os.path.realpath(f"{PF}/virtfn{index}"))
        write(f"/sys/bus/pci/devices/{address}/driver_override", "vfio-pci")
        write("/sys/bus/pci/drivers_probe", address)
    write(f"{PF}/sriov_drivers_autoprobe", "1")


def engine():
    spec = [
        {
            "pf": {"address": os.path.basename(PF)},
            "num_vfs": VFS,
            "vfs": [{"indexes": f"0-{VFS - 1}", "driver": "vfio-pci"}],
        }
    ]
    converge(SriovConcern(Host()), Request(spec, persist=False))


def bound():
    return len(glob.glob("/sys/bus/pci/drivers/vfio-pci/0000:*"))


def timed(work):
    write(f"{PF}/sriov_numvfs", "0")
    subprocess.run(["udevadm", "settle"], check=True)
    started = time.monotonic()
    work()
    seconds = time.monotonic() - started
    if bound() != VFS:
        sys.exit(f"{work.__name__}: {bound()} of {VFS} VFs are bound")
    subprocess.run(["udevadm", "settle"], check=True)
    return seconds


subprocess.run(["modprobe", "vfio-pci"], check=True)
times = {"bare": [], "engine": []}
for _round in range(ROUNDS):
    times["bare"].append(timed(bare))
    times["engine"].append(timed(engine))
write(f"{PF}/sriov_numvfs", "0")
for folder in ("/etc/fastpath", "/var/lib/fastpath"):
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith("sriov"):
            os.unlink(os.path.join(folder, name))
print(json.dumps(times))
