# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What a node is and has, as far as a refusal or a report needs it. Read only."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import boot_loader, node_facts
from ansible_collections.nfv.fastpath.plugins.module_utils._node_iommu import Iommu, discover_iommu

SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")
TOOLS = ("ip", "modprobe", "systemctl")


@dataclass(frozen=True)
class NodeFacts:
    """One node. ``lockdown``: ``none``, ``integrity``, ``confidentiality``, or empty where the kernel has none.

    ``missing_tools``: of those that the collection runs. ``unsigned_drivers``: of those that are asked for.
    """

    node: str
    user_id: int = 0
    python: tuple[int, ...] = (3, 11)
    os: Mapping[str, str] = field(default_factory=dict)
    kernel: str = ""
    arguments: tuple[str, ...] = ()
    boot_loader: str | None = None
    cpu_vendor: str = ""
    cpu: str = ""
    memory_mib: int = 0
    numa_nodes: tuple[int, ...] = (0,)
    iommu: Iommu = field(default_factory=Iommu)
    lockdown: str = ""
    secure_boot: bool | None = None
    missing_tools: tuple[str, ...] = ()
    unsigned_drivers: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """What a report shows."""
        return {
            "os": self.os.get("PRETTY_NAME") or self.os.get("ID", ""),
            "kernel": self.kernel,
            "cmdline": " ".join(self.arguments),
            "boot_loader": self.boot_loader,
            "cpu": self.cpu,
            "cpu_vendor": self.cpu_vendor,
            "memory_mib": self.memory_mib,
            "numa_nodes": list(self.numa_nodes),
            "iommu": asdict(self.iommu),
            "secure_boot": self.secure_boot,
            "lockdown": self.lockdown,
            "python": ".".join(str(part) for part in self.python),
        }


def discover_node(host: Host) -> NodeFacts:
    """Everything in one pass over a few files."""
    arguments = tuple((host.read_value("/proc/cmdline") or "").split())
    loader = boot_loader(host)
    kernel_args = node_facts(host)
    return NodeFacts(
        node=platform.node(),
        user_id=os.geteuid(),
        python=tuple(sys.version_info[:3]),
        os=_os_release(host),
        kernel=host.read_value("/proc/sys/kernel/osrelease") or platform.release(),
        arguments=arguments,
        boot_loader=loader.rules.name if loader else None,
        cpu_vendor=kernel_args.vendor,
        cpu=_cpu(host),
        memory_mib=_memory_mib(host),
        numa_nodes=_numa_nodes(host),
        iommu=discover_iommu(host, arguments, kernel_args.iommu_groups),
        lockdown=_lockdown(host),
        secure_boot=_secure_boot(host),
        missing_tools=tuple(tool for tool in TOOLS if not has_program(host, tool)),
    )


def has_program(host: Host, name: str) -> bool:
    return any(host.exists(f"{folder}/{name}") for folder in PROGRAM_FOLDERS)


def _os_release(host: Host) -> dict[str, str]:
    text = host.read("/etc/os-release") or host.read("/usr/lib/os-release") or ""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _cpu(host: Host) -> str:
    """The first processor's name."""
    for line in (host.read("/proc/cpuinfo") or "").splitlines():
        name, _colon, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return ""


def _memory_mib(host: Host) -> int:
    for line in (host.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def _numa_nodes(host: Host) -> tuple[int, ...]:
    names = host.listdir("/sys/devices/system/node")
    return tuple(sorted(int(name[4:]) for name in names if name.startswith("node") and name[4:].isdigit())) or (0,)


def _lockdown(host: Host) -> str:
    """``[none] integrity confidentiality``: the one in brackets holds."""
    words = (host.read_value("/sys/kernel/security/lockdown") or "").split()
    return next((word.strip("[]") for word in words if word.startswith("[")), "")


def _secure_boot(host: Host) -> bool | None:
    """Four bytes of attributes, then one of value. None: no EFI, or not to be read."""
    content = host.read_bytes(SECURE_BOOT) or b""
    return content[4] == 1 if len(content) > 4 else None
