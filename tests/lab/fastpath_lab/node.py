# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One virtual machine of a lab: start, stop, reach, save and load it."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import network, process
from .errors import LabError
from .qemu import command_line
from .qmp import Monitor
from .sandbox import Sandbox
from .topology import Network, Node

SSH_OPTIONS = (
    "-F",
    "none",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "GlobalKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "BatchMode=yes",
    "-o",
    "PreferredAuthentications=publickey",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=10",
    "-o",
    "ServerAliveCountMax=3",
)


@dataclass(frozen=True)
class Site:
    """Where a lab's machines live: the parts that all of them share.

    ``owner`` marks the processes, ``qemu`` is the root with QEMU, ``base`` the folder of
    the base disk, ``key`` the private ssh key, ``console`` the folder of the consoles.
    """

    netns: str
    owner: str
    qemu: Path
    base: Path
    key: Path
    console: Path
    accel: str
    network: Network


class Machine:
    """A node of the topology in a lab, with its files in ``folder``."""

    def __init__(self, site: Site, node: Node, folder: Path) -> None:
        self.site, self.node, self.folder = site, node, folder
        self.owner = f"{site.owner}#{node.name}"
        self.disk = folder / "disk.qcow2"
        self._ready = folder / "ready"

    def argv(self) -> list[str]:
        """Return QEMU's command line, the same in every lab."""
        return command_line(self.node, self.site.network, self.site.accel)

    def _box(self, argv: list[str]) -> Sandbox:
        return Sandbox(
            root=str(self.site.qemu / "root"),
            argv=argv,
            writable=False,
            netns=f"{network.NETNS_DIR}/{self.site.netns}",
            binds=[(str(self.folder), "/vm"), (str(self.site.base), "/base"), (str(self.site.console), "/console")],
            env={"PATH": "/usr/bin:/usr/sbin", process.MARK: self.owner},
        )

    def create_disk(self) -> None:
        """Make an empty layer over the base disk; a former one is lost."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.disk.unlink(missing_ok=True)
        box = self._box(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/base/disk.raw", "/vm/disk.qcow2"]
        )
        process.run(process.isolated(box.command()), timeout=60)

    def pids(self) -> list[int]:
        """Return the ids of the machine's processes."""
        return process.owned(self.owner)

    def running(self) -> bool:
        """Tell whether the machine is on."""
        return bool(self.pids())

    @property
    def ready(self) -> bool:
        """Whether the machine has once been usable since its disk was made."""
        return self._ready.exists() and self.disk.exists()

    @ready.setter
    def ready(self, value: bool) -> None:
        if value:
            self._ready.touch()
        else:
            self._ready.unlink(missing_ok=True)

    def start(self, load: str | None = None) -> None:
        """Switch the machine on, from its disk or from the saved state ``load``.

        Returns as soon as the monitor answers. Raises LabError when QEMU ends early.
        """
        network.add_taps(self.site.netns, self.node)
        (self.folder / "qmp").unlink(missing_ok=True)
        log = self.folder / "qemu.log"
        argv = self.argv() + (["-loadvm", load] if load else [])
        child = process.spawn(self._box(argv).command(), self.owner, log)

        def settled() -> bool:
            return child.poll() is not None or self._answers()

        process.wait_until(settled, 60, f"{self.node.name}: QEMU's monitor")
        if child.poll() is not None:
            tail = log.read_text(encoding="utf-8", errors="replace")[-1500:]
            raise LabError(f"{self.node.name}: QEMU ended with {child.returncode}:\n{tail}")

    def _answers(self) -> bool:
        try:
            with Monitor(self.folder / "qmp", timeout=60) as monitor:
                return bool(monitor.call("query-status")["running"])
        except (OSError, LabError):
            return False

    def kill(self) -> None:
        """Cut the power. Nothing happens when the machine is off."""
        process.end(self.pids(), lambda pid: pid in self.pids())

    def ssh_argv(self, command: Sequence[str] = ()) -> list[str]:
        """Return the argv of an ssh to the machine, to be run inside the namespace."""
        return ["ssh", "-i", str(self.site.key), *SSH_OPTIONS, f"root@{self.node.address}", *command]

    def ssh(self, command: str, timeout: float = 60.0, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a shell command in the guest and return its result, also when it fails."""
        argv = ["ip", "netns", "exec", self.site.netns, *self.ssh_argv([command])]
        try:
            done = subprocess.run(process.bound(argv), input=stdin, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{self.node.name}: no end after {timeout:.0f} s: {command}") from error
        return subprocess.CompletedProcess(
            command, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def _set_clock(self, timeout: float) -> bool:
        """Set the guest's clock; the time is read when the other side waits for it."""
        remote = 'echo ready; read -r now; date -u -s "@$now"'
        argv = ["ip", "netns", "exec", self.site.netns, *self.ssh_argv([remote])]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            process.bound(argv), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        ) as child:
            watchdog = threading.Timer(timeout, child.kill)
            watchdog.start()
            try:
                if child.stdout.readline() == "ready\n":
                    child.communicate(f"{time.time():.3f}\n")
            except BrokenPipeError:
                child.kill()
            finally:
                watchdog.cancel()
        return child.returncode == 0

    def wait_ssh(self, timeout: float, set_clock: bool = False) -> float:
        """Wait until the guest takes an ssh command, which makes it ready; return the seconds that took.

        The clock of a loaded machine goes on from when it was saved: ``set_clock`` puts
        it right.
        """
        start = time.monotonic()

        def ready() -> bool:
            if not self.running():
                raise LabError(f"{self.node.name}: QEMU ended, see {self.folder}/qemu.log")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._set_clock(20) if set_clock else self.ssh("true", timeout=15).returncode == 0
            return False

        process.wait_until(ready, timeout, f"{self.node.name}: ssh", interval=0.2)
        self.ready = True
        return time.monotonic() - start

    def settle(self, timeout: float = 240.0) -> None:
        """Wait until the guest has nothing left to start."""
        done = self.ssh("systemctl is-system-running --wait", timeout=timeout)
        if done.stdout.strip() not in ("running", "degraded"):
            raise LabError(f"{self.node.name}: not settled: {done.stdout}{done.stderr}")

    def save(self, name: str) -> None:
        """Save the whole state (memory, devices, disk) under a name inside the disk."""
        with Monitor(self.folder / "qmp", timeout=300) as monitor:
            if name in self.saved(monitor):
                monitor.human(f"delvm {name}")
            monitor.human(f"savevm {name}")
            if name not in self.saved(monitor):
                raise LabError(f"{self.node.name}: the state {name} was not saved")

    def saved(self, monitor: Monitor) -> list[str]:
        """Return the names of the saved states."""
        rows = monitor.human("info snapshots").splitlines()
        return [
            row.split()[1] for row in rows if (len(row.split()) > 2 and row.split()[0] in ("--",)) or row[:1].isdigit()
        ]

    def quit(self) -> None:
        """Let QEMU close its disk and end; used for machines that are being built."""
        with contextlib.suppress(OSError, LabError), Monitor(self.folder / "qmp") as monitor:
            monitor.call("quit")
        process.wait_until(lambda: not self.running(), 60, f"{self.node.name}: end of QEMU")
