# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node with a kubelet that reads its configuration and its state files as strictly as the real one."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode

UNIT = "etc/systemd/system/kubelet.service.d/90-fastpath.conf"
CONF = "etc/kubernetes/kubelet.conf.d/90-fastpath.conf"
STATE = "var/lib/kubelet"
GIB = 2**30
KUBEADM = "/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS"
FULL = {
    "cpu_manager": "static",
    "cpu_manager_options": {"full-pcpus-only": True},
    "topology_manager": "single-numa-node",
    "topology_scope": "pod",
    "memory_manager": "static",
    "reserved_cpus": "0,4",
    "kube_reserved": {"memory": "300Mi"},
    "system_reserved": {"memory": "200Mi"},
}
UNITS = {"Mi": 2**20, "Gi": 2**30, "Ki": 2**10}


def amount(text: str, machine: int = 0) -> int:
    match = re.fullmatch(r"([0-9.]+)(%|[KMG]i)?", text)
    assert match, text
    if match.group(2) == "%":
        return int(machine * (float(match.group(1)) / 100))
    return int(match.group(1)) * UNITS.get(match.group(2) or "", 1)


class KubeletNode(FolderNode):
    """Two NUMA nodes of 4 GiB with four CPUs each. ``starts``: how often the kubelet came up."""

    lasting = ("etc", "var")

    def __init__(self, root: Path, joined: bool = True) -> None:
        super().__init__(root)
        self.version = "Kubernetes v1.36.3"
        self.exec_start = KUBEADM
        self.environment = {"KUBELET_CONFIG_ARGS": "--config=/var/lib/kubelet/config.yaml"}
        self.base: dict[str, Any] = {}
        self.loaded = True
        self.active = False
        self.unit = ""
        self.crash = ""
        self.starts = 0
        self.put("sys/devices/system/cpu/online", "0-7\n")
        self.put("proc/meminfo", f"MemTotal: {8 * GIB // 1024} kB\n")
        for number in (0, 1):
            folder = f"sys/devices/system/node/node{number}"
            self.put(f"{folder}/meminfo", f"Node {number} MemTotal: {4 * GIB // 1024} kB\n")
            self.put(f"{folder}/cpulist", f"{number * 4}-{number * 4 + 3}\n")
            for size in (2048, 1048576):
                self.put(f"{folder}/hugepages/hugepages-{size}kB/nr_hugepages", "0\n")
        for size in (2048, 1048576):
            self.put(f"sys/kernel/mm/hugepages/hugepages-{size}kB/nr_hugepages", "0\n")
        if joined:
            self.start()

    # The node

    def pages(self, number: int, size_kb: int, count: int) -> None:
        self.put(f"sys/devices/system/node/node{number}/hugepages/hugepages-{size_kb}kB/nr_hugepages", f"{count}\n")

    def guaranteed_pods(self, count: int) -> None:
        for number in range(count):
            os.makedirs(f"{self.root}/sys/fs/cgroup/kubepods.slice/kubepods-pod{number}.slice", exist_ok=True)

    def other_pod(self) -> None:
        """As kube-proxy is one, on every node and also on a drained one."""
        classes = f"{self.root}/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice"
        os.makedirs(f"{classes}/kubepods-besteffort-pod1.slice", exist_ok=True)

    def files(self) -> list[Path]:
        """Without what the kubelet itself keeps."""
        return [path for path in super().files() if not path.name.endswith("_manager_state")]

    # systemd

    def _command(self, argv: Any, timeout: float, stdin: str) -> Completed:
        words = list(argv)
        if words == ["kubelet", "--version"]:
            return Completed(0 if self.version else 127, self.version, "")
        if words[:3] == ["systemctl", "show", "kubelet.service"]:
            return Completed(0, self._properties(), "")
        if words[0] == "journalctl":
            return Completed(0, self.crash, "")
        self.count_change()
        if words == ["systemctl", "daemon-reload"]:
            self.unit = self.text(UNIT) or ""
        elif words == ["systemctl", "stop", "kubelet.service"]:
            self.stop()
        elif words == ["systemctl", "start", "kubelet.service"]:
            self.start()
        else:
            raise AssertionError(f"unexpected command {words}")
        return Completed(0, "", "")

    def _properties(self) -> str:
        pairs = " ".join(shlex.quote(f"{key}={value}").replace("'", '"') for key, value in self._environment().items())
        said = {
            "LoadState": "loaded" if self.loaded else "not-found",
            "ActiveState": "active" if self.active else "inactive",
            "NeedDaemonReload": "yes" if self.unit != (self.text(UNIT) or "") else "no",
            "MainPID": "7" if self.active else "0",
            "Environment": pairs,
            "ExecStart": f"{{ path=/usr/bin/kubelet ; argv[]={self.exec_start} ; ignore_errors=no }}",
        }
        return "".join(f"{key}={value}\n" for key, value in said.items())

    def _environment(self) -> dict[str, str]:
        ours = re.search(r'^Environment="([A-Z_]+)=(.*)"$', self.unit, re.MULTILINE)
        return {**self.environment, **({ours.group(1): ours.group(2)} if ours else {})}

    def boot(self) -> None:
        self.stop()
        self.unit = self.text(UNIT) or ""
        self.start()

    def stop(self) -> None:
        self.active = False
        for folder, folders, files in os.walk(f"{self.root}/run/fastpath-kubelet", topdown=False):
            for name in files:
                os.unlink(f"{folder}/{name}")
            for name in folders:
                os.rmdir(f"{folder}/{name}")
        if os.path.isdir(f"{self.root}/run/fastpath-kubelet"):
            os.rmdir(f"{self.root}/run/fastpath-kubelet")

    def start(self) -> None:
        self.active = True
        self.starts += 1
        look = re.search(r"^ExecStartPre=-/bin/cp --parents --target-directory=(\S+) (.*)$", self.unit, re.MULTILINE)
        if look:
            assert "RuntimeDirectory=fastpath-kubelet" in self.unit
            for path in look.group(2).split():
                self.put(f"{look.group(1)[1:]}{path}", self.text(path[1:]) or "")
        words = self.exec_start
        for key, value in self._environment().items():
            words = words.replace(f"${key}", value)
        self.put("proc/7/cmdline", words.replace(" ", "\0"))
        self.crash = self._kubelet(words.split())

    # The kubelet

    def config(self, words: list[str]) -> dict[str, Any]:
        found = dict(self.base)
        for word in words:
            if word.startswith("--config-dir="):
                folder = word.split("=")[1]
                for name in self.listdir(folder):
                    if name.endswith(".conf"):
                        found = merged(found, json.loads(self.read(f"{folder}/{name}") or ""))
        return found

    def _kubelet(self, words: list[str]) -> str:
        """Why it does not come up; empty where it does."""
        config = self.config(words)
        cpu, memory = config.get("cpuManagerPolicy", "none"), config.get("memoryManagerPolicy", "None")
        reserved = config.get("reservedSystemCPUs", "")
        if cpu == "static" and not reserved and "cpu" not in config.get("kubeReserved", {}):
            return "the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero"
        placed = {item["numaNode"]: amount(item["limits"]["memory"]) for item in config.get("reservedMemory", [])}
        if memory == "Static":
            whole = 8 * GIB
            total = amount(config.get("evictionHard", {}).get("memory.available", "100Mi"), whole)
            for key in ("kubeReserved", "systemReserved"):
                total += amount(config.get(key, {}).get("memory", "0"))
            if sum(placed.values()) != total or not total:
                return f"the total amount {sum(placed.values())} is not equal to the value {total}"
        for name, state in (
            ("cpu", {"policyName": cpu, "defaultCpuSet": "0-7" if cpu == "static" else "", "entries": {}}),
            ("memory", {"policyName": memory, "machineState": self._machine(placed) if memory == "Static" else {}}),
        ):
            path = f"{STATE}/{name}_manager_state"
            there = json.loads(self.text(path) or "null")
            if there is not None and there != state:
                return f"{name} state differs: {there} {state}"
            self.put(path, json.dumps(state))
        return ""

    def _machine(self, placed: Mapping[int, int]) -> dict[str, Any]:
        found = {}
        for number in (0, 1):
            folder = f"sys/devices/system/node/node{number}/hugepages"
            counts = {
                size: int(self.text(f"{folder}/hugepages-{size}kB/nr_hugepages") or 0) for size in (2048, 1048576)
            }
            tables: dict[str, Any] = {
                "memory": {"total": 4 * GIB, "systemReserved": placed.get(number, 0)},
                "hugepages-2Mi": {"total": counts[2048] * 2**21, "systemReserved": 0},
                "hugepages-1Gi": {"total": counts[1048576] * GIB, "systemReserved": 0},
            }
            found[str(number)] = {"memoryMap": tables, "cells": [number], "numberOfAssignments": 0}
        return found


def merged(base: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """As the kubelet merges further configuration: maps are joined, all else is replaced."""
    found = dict(base)
    for key, value in more.items():
        found[key] = (
            merged(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
        )
    return found


def run(node: KubeletNode, spec: Any = None, dry_run: bool = False, consent: bool = False, ahead: bool = False) -> Any:
    return converge(KubeletConcern(node, ahead), Request(spec, spec is not None, dry_run, consent))


def actions(plan: Any) -> list[str]:
    return [step.action for step in plan.operations if step.action != "save_desired"]


def conf(node: KubeletNode) -> Any:
    return json.loads(node.text(CONF) or "null")


def policy(node: KubeletNode, name: str) -> str:
    return json.loads(node.text(f"{STATE}/{name}_manager_state") or "{}").get("policyName", "")
