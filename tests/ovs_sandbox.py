# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open vSwitch in a folder and a network namespace of its own; no service of the machine is touched.

``systemctl`` is answered here: it starts and stops the sandbox's own ovs-vswitchd.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.tests.debian_packages import environment, unpacked

SCHEMA = "usr/share/openvswitch/vswitch.ovsschema"
WITH_DPDK = "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
RUNDIR, LOGDIR, DBDIR = "run/openvswitch", "var/log/openvswitch", "etc/openvswitch"
# DPDK with neither hugepages nor devices.
EAL = "--no-huge --legacy-mem -m 512 --no-pci"
SECONDS = 10.0


class Sandbox(Host):
    """``calls``: every command that was asked for, in order.

    ``unpacked``: where packages are that are not installed; ``variables``: with which their programs are found.
    """

    def __init__(self, folder: Path, unpacked: Path = Path("/"), variables: Mapping[str, str] | None = None) -> None:
        super().__init__(str(folder), self._answer)
        self.folder = folder
        self.variables = dict(variables or {})
        self._unpacked = unpacked
        self.calls: list[tuple[str, ...]] = []
        self._environment = {
            **os.environ,
            **self.variables,
            "LC_ALL": "C",
            "OVS_RUNDIR": str(folder / RUNDIR),
            "OVS_LOGDIR": str(folder / LOGDIR),
            "OVS_DBDIR": str(folder / DBDIR),
            "OVS_SYSCONFDIR": str(folder / "etc"),
            "RUNTIME_DIRECTORY": str(folder / "run"),
        }
        for name in (RUNDIR, LOGDIR, DBDIR, "usr/sbin", "etc/alternatives"):
            (folder / name).mkdir(parents=True)
        for name in ("proc", "sys"):
            (folder / name).symlink_to(f"/{name}")
        (folder / "usr/sbin/ovs-vswitchd").symlink_to("../../etc/alternatives/ovs-vswitchd")
        self.select(self._file(WITH_DPDK))

    def _file(self, name: str) -> Path:
        there = self._unpacked / name
        return there if there.exists() else Path("/") / name

    def select(self, program: Path) -> None:
        link = self.folder / "etc/alternatives/ovs-vswitchd"
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        # The sandbox takes links for a node's own, so what they end at is there, too.
        shown = self.folder / program.relative_to("/")
        shown.parent.mkdir(parents=True, exist_ok=True)
        if not shown.exists():
            shown.symlink_to(program)
        self.program = program

    @property
    def socket(self) -> str:
        return f"unix:{self.folder / RUNDIR}/db.sock"

    def start_server(self) -> None:
        database = str(self.folder / DBDIR / "conf.db")
        if not os.path.exists(database):
            self.real(["ovsdb-tool", "create", database, str(self._file(SCHEMA))])
        remote = f"--remote=p{self.socket}"
        self.real(["ovsdb-server", database, remote, "--pidfile", "--detach", "--log-file", "--no-chdir"])
        self.real(["ovs-vsctl", f"--db={self.socket}", "--no-wait", "init"])

    def stop(self) -> None:
        self._end("ovs-vswitchd")
        self._end("ovsdb-server")

    def kill(self) -> None:
        pid = self._pid("ovs-vswitchd")
        if pid:
            os.kill(pid, signal.SIGKILL)
            self._gone(pid)

    def real(self, argv: Sequence[str], timeout: float = 60, stdin: str = "") -> Completed:
        """A command of the machine, with the sandbox's folders."""
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._environment,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr)

    def vsctl(self, *argv: str) -> str:
        done = self.real(["ovs-vsctl", f"--db={self.socket}", "--timeout=10", *argv])
        if done.rc:
            raise AssertionError(done.err)
        return done.out.strip()

    def transactions(self, comment: str = "") -> int:
        """How many transactions the database's file has; with ``comment``: whose own one starts so."""
        shown = self.real(["ovsdb-tool", "show-log", str(self.folder / DBDIR / "conf.db")])
        records = [line for line in shown.out.splitlines() if line.startswith("record ")]
        return sum(f'"{comment}' in line if comment else True for line in records)

    def _answer(self, argv: Sequence[str], timeout: float, stdin: str) -> Completed:
        self.calls.append(tuple(argv))
        if argv[0] == "systemctl":
            return self._systemctl(argv[1])
        if argv[0] == "journalctl":
            return Completed(0, "", "")
        if argv[0] == "/usr/sbin/ovs-vswitchd":
            return self.real([str(self.program), *argv[1:]], timeout)
        return self.real(argv, timeout, stdin)

    def _systemctl(self, verb: str) -> Completed:
        if verb == "stop":
            self._end("ovs-vswitchd")
        elif verb in ("start", "restart") and not self._pid("ovs-vswitchd"):
            return self.start_vswitchd()
        return Completed(0, "", "")

    def start_vswitchd(self) -> Completed:
        program = str(self.folder / "usr/sbin/ovs-vswitchd")
        argv = ["unshare", "--net", program, self.socket, "--pidfile", "--detach", "--log-file", "--no-chdir"]
        done = self.real(argv, SECONDS * 3)
        for line in self._drop_in() if done.rc == 0 else ():
            self.real(line.split())
        return done

    def _drop_in(self) -> list[str]:
        """What systemd runs after a start."""
        path = self.folder / "etc/systemd/system/ovs-vswitchd.service.d/fastpath.conf"
        lines = path.read_text().splitlines() if path.exists() else []
        commands = [line.partition("=-")[2] for line in lines if line.startswith("ExecStartPost=-")]
        return [command.replace(" /etc/", f" {self.folder}/etc/") for command in commands]

    def _pid(self, name: str) -> int | None:
        try:
            pid = int((self.folder / RUNDIR / f"{name}.pid").read_text())
            os.readlink(f"/proc/{pid}/exe")
        except (OSError, ValueError):
            return None
        return pid

    def _end(self, name: str) -> None:
        pid = self._pid(name)
        if pid:
            os.kill(pid, signal.SIGTERM)
            self._gone(pid)

    @staticmethod
    def _gone(pid: int) -> None:
        deadline = time.monotonic() + SECONDS
        while os.path.lexists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
            time.sleep(0.02)


def make_sandbox(folder: Path) -> Sandbox:
    """Of what is installed, or else of packages in the cache. ``folder`` is made. It needs root, for a namespace."""
    folder.mkdir()
    if shutil.which("ovsdb-server") and Path("/", WITH_DPDK).exists():
        return Sandbox(folder)
    packages = unpacked("openvswitch-switch-dpdk")
    return Sandbox(folder, packages, environment(packages))
