# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with Open vSwitch below a folder: sysfs, a database, and an ovs-vswitchd that takes changes over."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern
from ansible_collections.nfv.fastpath.tests.unit.fake_ovsdb import INTERFACE, FakeOvsdb, FakeStream

PID = 4711
PROGRAM = "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
LOG = "var/log/openvswitch/ovs-vswitchd.log"
LATE = ("dpdk-init", "dpdk-extra", "dpdk-socket-mem", "dpdk-lcore-mask", "vhost-sock-dir")
PF, VF0, VF1, OTHER = "0000:81:00.0", "0000:81:10.0", "0000:81:10.2", "0000:03:00.0"


class OvsNode(Host):
    """``bad_extra``: a dpdk-extra that EAL does not take. ``bad_devices``: devargs that cannot be attached."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), self._answer)
        self.tree = root
        self.database = FakeOvsdb()
        self.calls: list[tuple[str, ...]] = []
        self.versions = "ovs-vswitchd (Open vSwitch) 3.5.0\nDPDK 24.11.4\n"
        self.bad_extra = "--no-such-option"
        self.bad_devices: set[str] = set()
        self.running_config: dict[str, str] = {}
        self.running = False
        self.journal: list[str] = []
        self.cut_at: str | None = None
        self._build()
        self.start()

    def put(self, path: str, text: str = "") -> None:
        target = self.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def link(self, path: str, target: str) -> None:
        place = self.tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def _build(self) -> None:
        self.put("usr/sbin/.keep")
        self.link("usr/sbin/ovs-vswitchd", "/etc/alternatives/ovs-vswitchd")
        self.link("etc/alternatives/ovs-vswitchd", f"/{PROGRAM}")
        self.put(PROGRAM)
        self.put("run/openvswitch/db.sock")
        self.put(LOG)
        self.put("sys/devices/system/cpu/online", "0-7\n")
        self.put("sys/devices/system/cpu/isolated", "\n")
        for node, cpus in ((0, "0-3"), (1, "4-7")):
            self.put(f"sys/devices/system/node/node{node}/cpulist", f"{cpus}\n")
            self.pages(node, 1024)
        self._function(PF, "8086", "10c9", "igb", ("sriov_totalvfs", "7"), ("sriov_numvfs", "2"), node=1)
        for number, address in enumerate((VF0, VF1)):
            self._function(address, "8086", "10ca", "vfio-pci", node=1)
            self.link(f"sys/bus/pci/devices/{address}/physfn", f"../{PF}")
            self.link(f"sys/bus/pci/devices/{PF}/virtfn{number}", f"../{address}")
        self._function(OTHER, "8086", "1533", "igb", node=0)

    def pages(self, node: int, count: int) -> None:
        """Free pages of 2 MiB."""
        folder = f"sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"
        for name in ("nr_hugepages", "free_hugepages"):
            self.put(f"{folder}/{name}", f"{count}\n")
        self.put(f"{folder}/surplus_hugepages", "0\n")

    def _function(self, address: str, vendor: str, device: str, driver: str, *more: tuple[str, str], node: int) -> None:
        folder = f"sys/bus/pci/devices/{address}"
        self.put(f"{folder}/uevent", f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID={vendor}:{device}\n")
        self.put(f"{folder}/numa_node", f"{node}\n")
        for name, value in more:
            self.put(f"{folder}/{name}", f"{value}\n")

    def bind(self, address: str, driver: str) -> None:
        self.put(f"sys/bus/pci/devices/{address}/uevent", f"DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID=8086:10CA\n")

    def start(self) -> bool:
        config = self.database.root["other_config"]
        if config.get("dpdk-init") == "true" and config.get("dpdk-extra") == self.bad_extra:
            self.say("dpdk|EMER|EAL: Invalid 'command line' arguments.", "dpdk|EMER|Unable to initialize DPDK")
            self.journal = [
                "  --base-virtaddr  Base virtual address",
                "ovs-vswitchd: unrecognized option '--no-such-option'",
            ]
            return False
        self.running = True
        self.running_config = dict(config)
        self.put("run/openvswitch/ovs-vswitchd.pid", f"{PID}\n")
        self.put(f"proc/{PID}/comm", "ovs-vswitchd\n")
        if not os.path.lexists(self.tree / f"proc/{PID}/exe"):
            self.link(f"proc/{PID}/exe", f"/{PROGRAM}")
        self.take_over()
        return True

    def stop(self) -> None:
        self.running = False
        (self.tree / "run/openvswitch/ovs-vswitchd.pid").unlink(missing_ok=True)

    def say(self, *texts: str) -> None:
        with open(self.tree / LOG, "a", encoding="utf-8") as log:
            log.writelines(f"2026-01-01T00:00:00.000Z|0000{number}|{text}\n" for number, text in enumerate(texts))

    def take_over(self) -> None:
        root = self.database.root
        initialized = self.running_config.get("dpdk-init") in ("true", "try")
        if not initialized and root["other_config"].get("dpdk-init") in ("true", "try"):
            if root["other_config"].get("dpdk-extra") == self.bad_extra:
                self.say("dpdk|EMER|Unable to initialize DPDK: Invalid argument")
                self.stop()
                return
            self.running_config = dict(root["other_config"])
            initialized = True
        root["dpdk_initialized"] = initialized
        for row in self.database.rows[INTERFACE].values():
            failed = row["options"].get("dpdk-devargs") in self.bad_devices
            row["error"] = "Error attaching device to DPDK" if failed else None
            row["ofport"] = -1 if failed else 1
        root["cur_cfg"] = root["next_cfg"]

    def commits(self) -> int:
        return self.database.commits

    def connect(self, path: str, timeout: float) -> FakeStream:
        assert path == "/run/openvswitch/db.sock"
        return FakeStream(self._transact)

    def _transact(self, schema: str, *steps: dict[str, Any]) -> list[Any]:
        self.calls.append(("ovsdb", *(step["op"] for step in steps)))
        answers = self.database.answer(schema, *steps)
        changes = {"insert", "mutate", "update"} & {step["op"] for step in steps}
        if changes and self.cut_at == "commit":
            raise KeyboardInterrupt
        if changes and self.running:
            self.take_over()
        return answers

    def _answer(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        self.calls.append(tuple(argv))
        program = argv[0]
        if program == "/usr/sbin/ovs-vswitchd":
            return Completed(0, self.versions, "")
        if program == "systemctl":
            return self._systemctl(argv[1], argv[2] if len(argv) > 2 else "")
        if argv[:3] == ["ip", "link", "delete"]:
            (self.tree / f"sys/class/net/{argv[3]}/tun_flags").unlink()
            return Completed(0, "", "")
        if program in ("ip", "ovs-appctl"):
            return Completed(0, "[]" if program == "ip" else "", "")
        if program == "journalctl":
            assert argv[argv.index("--since") + 1].startswith("@")
            return Completed(0, "\n".join(self.journal), "")
        raise AssertionError(f"unexpected command {argv}")

    def _systemctl(self, verb: str, unit: str) -> Completed:
        if self.cut_at == verb:
            raise KeyboardInterrupt
        if verb == "stop":
            self.stop()
        elif verb == "start" and not self.running:
            return Completed(0 if self.start() else 1, "", "")
        return Completed(0, "", "")


CONFIG = {"dpdk-init": True, "dpdk-socket-mem": {0: 512, 1: 512}, "pmd-cpu-mask": "5-6"}
PORT = {"name": "dpdk0", "type": "dpdk", "vf": {"pf": {"address": PF}, "index": 0}}


def spec(*ports, **config):
    return {"other_config": {**CONFIG, **config}, "bridges": [{"name": "br0", "ports": list(ports)}]}


def apply(node, wanted, **options):
    """Module arguments and files are JSON, which has only texts as keys."""
    return converge(OvsDpdkConcern(node, timeout=2), Request(spec=json.loads(json.dumps(wanted)), **options))


def teardown(node, **options):
    return converge(OvsDpdkConcern(node, timeout=2), Request(present=False, disruption_ok=True, **options))
