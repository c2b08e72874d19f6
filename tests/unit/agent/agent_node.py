# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node that is a folder, with an agent on it whose sockets and processes are real."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.tests.unit.agent.tools import make_program, wait_for
from fastpath_agent.config import parse
from fastpath_agent.map_files import parse_socket_list
from fastpath_agent.service import Service

PF = "0000:83:00.0"
VFS = [f"0000:83:00.{number}" for number in range(2, 6)]


class Node:
    """Sockets and processes are real, below a folder; sysfs, /proc and /dev of the node are files."""

    def __init__(self, folder: Path, **config) -> None:
        self.folder = folder
        self.root = folder / "r"
        self.put("proc/sys/kernel/random/boot_id", "one\n")
        self.put("proc/stat", "btime 1000\n")
        self.put("dev/vfio/.keep")
        self.function(PF, driver="virtio-pci")
        for index, address in enumerate(VFS):
            self.add_vf(address, index)
        self.program = make_program(folder)
        self.config = parse(
            {
                "directory": str(folder / "run"),
                "state_directory": str(folder / "s"),
                "grpc": False,
                "listen": "127.0.0.1:0",
                "cni_socket": str(folder / "s/cni.sock"),
                "cni": {"records": str(folder / "cni")},
                "vdpa": {"path": self.program, "start_seconds": 10, "cpus": [1]},
                "pools": [{"name": "vdpa_a", "selectors": {"rootDevices": [f"{PF}#0-1"]}}],
                **config,
            }
        )
        self.service: Service | None = None

    def put(self, path: str, text: str = "") -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def function(self, address: str, driver: str = "vfio-pci") -> None:
        folder = f"sys/bus/pci/devices/{address}"
        self.put(f"{folder}/uevent", f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID=1AF4:1041\n")
        self.put(f"{folder}/numa_node", "0\n")
        self.link(f"{folder}/driver", f"../../drivers/{driver}")

    def link(self, path: str, target: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self.root / path):
            (self.root / path).unlink()
        (self.root / path).symlink_to(target)

    def add_vf(self, address: str, index: int) -> None:
        self.function(address)
        self.link(f"sys/bus/pci/devices/{address}/physfn", f"../{PF}")
        self.link(f"sys/bus/pci/devices/{PF}/virtfn{index}", f"../{address}")
        self.link(f"sys/bus/pci/devices/{address}/iommu_group", f"../../../kernel/iommu_groups/{index}")
        self.put(f"dev/vfio/{index}")

    def remove_vf(self, address: str) -> None:
        """As the kernel begins it: the link to the PF goes first, and then it waits."""
        (self.root / f"sys/bus/pci/devices/{address}/physfn").unlink()

    def start(self) -> Service:
        # The agent's own files are where it really works; only what it reads of the node is in the tree.
        self.service = Service(self.config, _Tree(str(self.root), str(self.folder)))
        self.service.start()
        return self.service

    def stop(self, let_go: bool = False) -> None:
        if self.service is not None:
            self.service.stop(let_go)
            self.service = None

    @property
    def agent(self):
        return self.service.agent

    def write_list(self, *addresses: str) -> None:
        path = self.folder / "run/pciList.dat"
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name("tmpPciList.dat")
        partial.write_text("".join(f"{address}\n" for address in addresses))
        partial.rename(path)

    def sockets(self) -> dict[str, str]:
        try:
            return parse_socket_list((self.folder / "run/socketList.dat").read_text())
        except FileNotFoundError:
            return {}

    def state(self, address: str):
        return next((state for state in self.agent.states() if state.device == address), None)

    def wait_for_sockets(self, *addresses: str) -> None:
        wait_for(lambda: sorted(self.sockets()) == sorted(addresses), f"sockets of {addresses}", 20)

    def status(self) -> dict:
        return json.loads((self.folder / "run/status.json").read_text())

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.service.http.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class _Tree(Host):
    """Paths below ``real`` are themselves, all others are in the tree."""

    def __init__(self, root: str, real: str) -> None:
        super().__init__(root)
        self.real = real

    def path(self, path: str) -> str:
        return path if path.startswith(f"{self.real}/") else super().path(path)
