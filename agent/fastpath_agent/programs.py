# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The DPDK programs that stand behind a socket: how each is started, and how it is told to make the socket."""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

from fastpath_agent.config import Pool, Program
from fastpath_agent.model import Mode, NotReady

COMMAND_SECONDS = 20.0
UNBUFFER = ("stdbuf", "-oL")
WITHOUT_PAGES = "--no-huge"


class Talk(Protocol):
    def ask(self, command: str, timeout: float) -> list[str]: ...


@dataclass(frozen=True)
class Task:
    """What one process is for. ``cpus``: for the main thread, and for the one that forwards where there is one."""

    address: str
    socket: str
    mode: Mode
    pool: Pool
    cpus: tuple[int, ...]
    numa_node: int | None = None


class SocketProgram(ABC):
    """One process serves one device. So a device comes, goes and fails without any other pod's noticing."""

    prompt: str
    cpus_needed = 1

    def __init__(self, settings: Program) -> None:
        self.settings = settings

    def argv(self, task: Task) -> list[str]:
        return [self.settings.path, *self._eal(task), *self.settings.eal_args, "--", *self._app(task)]

    def command(self, task: Task) -> list[str]:
        """With its output line by line: into a pipe, the C library would keep it until there are 4 KiB of it."""
        unbuffered = shutil.which(UNBUFFER[0])
        return [*((unbuffered, *UNBUFFER[1:]) if unbuffered else ()), *self.argv(task)]

    @abstractmethod
    def open(self, talk: Talk, task: Task) -> None:
        """Check the device and make the socket. Raises NotReady with the reason where it is not made."""

    @abstractmethod
    def _devices(self, task: Task) -> list[str]:
        """EAL arguments for the device."""

    @abstractmethod
    def _app(self, task: Task) -> list[str]:
        """The program's own arguments."""

    def _eal(self, task: Task) -> list[str]:
        """Nothing of it is shared with other processes, so nothing is left behind when one is killed."""
        lcores = ",".join(f"{number}@{cpu}" for number, cpu in enumerate(task.cpus))
        alone = ["--no-shconf"] if WITHOUT_PAGES in self.settings.eal_args else ["--in-memory"]
        return ["--lcores", lcores, *self._memory(task), *alone, "--no-telemetry", *self._devices(task)]

    def _memory(self, task: Task) -> list[str]:
        """From the device's own NUMA node where it has one."""
        size = str(self.settings.memory_mib)
        if task.numa_node is None or WITHOUT_PAGES in self.settings.eal_args:
            return ["-m", size]
        return ["--socket-mem", ",".join(["0"] * task.numa_node + [size])]


class DpdkVdpa(SocketProgram):
    """DPDK's ``dpdk-vdpa`` in its interactive mode."""

    prompt = "vdpa> "

    def _devices(self, task: Task) -> list[str]:
        return ["-a", ",".join(filter(None, (task.address, task.pool.devargs or "vdpa=1")))]

    def _app(self, task: Task) -> list[str]:
        return ["--interactive", *(["--client"] if task.mode == "server" else [])]

    def open(self, talk: Talk, task: Task) -> None:
        """``create`` says nothing where it succeeds; where the library fails in it, the process ends."""
        listed = parse_list(talk.ask("list", COMMAND_SECONDS))
        if task.address not in listed:
            raise NotReady(f"{self.settings.path} does not drive {task.address} as a vDPA device.")
        said = talk.ask(f"create {task.socket} {task.address}", COMMAND_SECONDS)
        wrong = [line for line in said if _WRONG.search(line) and not _NOT_YET.search(line)]
        if wrong:
            raise NotReady(f"{self.settings.path} did not make {task.socket}: {' | '.join(wrong[:3])}")


class DpdkTestpmd(SocketProgram):
    """``dpdk-testpmd`` between a NIC that has no vDPA and a vhost socket, for every packet through a CPU."""

    prompt = "testpmd> "
    cpus_needed = 2

    def _devices(self, task: Task) -> list[str]:
        vhost = f"net_vhost0,iface={task.socket},queues={task.pool.queues}"
        client = ",client=1" if task.mode == "server" else ""
        return ["-a", ",".join(filter(None, (task.address, task.pool.devargs))), "--vdev", vhost + client]

    def _app(self, task: Task) -> list[str]:
        queues = [f"--rxq={task.pool.queues}", f"--txq={task.pool.queues}"]
        return ["-i", "--no-mlockall", "--nb-cores=1", "--forward-mode=io", *queues, *self.settings.app_args]

    def open(self, talk: Talk, task: Task) -> None:
        ports = parse_ports(talk.ask("show port summary all", COMMAND_SECONDS))
        missing = [name for name in (task.address, "net_vhost0") if name not in ports]
        if missing:
            raise NotReady(f"{self.settings.path} has no port for {' and '.join(missing)}.")
        said = talk.ask("start", COMMAND_SECONDS)
        wrong = [line for line in said if _WRONG.search(line) or "not started" in line]
        if wrong:
            raise NotReady(f"{self.settings.path} does not forward: {' | '.join(wrong[:3])}")


_WRONG = re.compile(r"Unable|exists|failed|Fail|not found|Bad arguments|Ambiguous|Invalid|[Ee]rror")
# A pod that is the server comes later than its socket's other end, which then tries again and again.
_NOT_YET = re.compile(r"failed to connect")
_LISTED = re.compile(r"(?P<name>\S+)\s+[0-9]+\s+0x[0-9a-f]+(?:\s+0x[0-9a-f]+)?\s*\Z")
_PORT = re.compile(r"[0-9]+\s+(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\s+(?P<name>\S+)\s")


def parse_list(lines: list[str]) -> list[str]:
    """Devices out of dpdk-vdpa's ``list``; newer releases have one more column, and log lines may stand between."""
    return [match.group("name") for match in map(_LISTED.match, lines) if match]


def parse_ports(lines: list[str]) -> list[str]:
    """Devices out of testpmd's ``show port summary all``."""
    return [match.group("name") for match in map(_PORT.match, lines) if match]
