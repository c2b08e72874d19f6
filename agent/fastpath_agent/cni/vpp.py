# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""VPP through its command line, for nodes that have it: memif interfaces, and vhost-user for the ``vhostuser`` plugin.

Only words without blanks are handed over: VPP takes its arguments apart at blanks itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence

from fastpath_agent.cni.commands import Run, TimedOut
from fastpath_agent.cni.errors import SWITCH_FAILED, TRY_AGAIN_LATER, UNSUPPORTED_FIELD, CniError

SECONDS = 10
_WORD = re.compile(r"[A-Za-z0-9_./:@+-]+")
_INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,63}")
_MAC = re.compile(r"\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b")
# VPP says what is wrong on standard output and exits with 0.
_WRONG = re.compile(r"unknown input|failed|error|invalid|does not exist|not found|no such", re.IGNORECASE)


class Vpp:
    def __init__(self, run: Run, cli: str) -> None:
        self._run = run
        self._cli = cli

    def present(self) -> bool:
        try:
            return stat.S_ISSOCK(os.stat(self._cli).st_mode)
        except OSError:
            return False

    def require(self, field: str) -> None:
        """Refuse what needs VPP where there is none."""
        if not self.present():
            raise CniError(
                UNSUPPORTED_FIELD,
                f'network configuration refused: {field} = "vpp": VPP does not run on this node (no {self._cli}); '
                'install it, or use engine "ovs-dpdk" with iftype "vhostuser"',
            )

    def add_memif(self, container_id: str, ifname: str, path: str, role: str, mode: str) -> str:
        """A memif interface on a socket of its own; VPP's name for it."""
        number = memif_number(container_id, ifname)
        words = [] if mode == "ethernet" else ["mode", mode]
        self.command("create", "memif", "socket", "id", str(number), "filename", path)
        self.command("create", "interface", "memif", "id", "0", "socket-id", str(number), role, *words)
        name = f"memif{number}/0"
        self.command("set", "interface", "state", name, "up")
        return name

    def delete_memif(self, container_id: str, ifname: str) -> None:
        """What is not there is no error; VPP away takes its interfaces with it."""
        if not self.present():
            return
        number = memif_number(container_id, ifname)
        self.command("delete", "interface", "memif", f"memif{number}/0", tolerant=True)
        self.command("delete", "memif", "socket", "id", str(number), tolerant=True)

    def join(self, interface: str, domain: int) -> None:
        self.command("set", "interface", "l2", "bridge", interface, str(domain))

    def address(self, interface: str, cidr: str) -> None:
        self.command("set", "interface", "ip", "address", interface, cidr)

    def add_vhost(self, path: str) -> str:
        name = self.command("create", "vhost-user", "socket", path, "server").strip()
        if not _INTERFACE.fullmatch(name):
            raise CniError(SWITCH_FAILED, f"VPP answered no interface: {name[:200]!r}")
        self.command("set", "interface", "state", name, "up")
        return name

    def delete_vhost(self, name: str, path: str) -> None:
        """By its name, or by its socket where the name was never learnt."""
        if self.present():
            name = name or self._vhost_at(path)
            if name:
                self.command("delete", "vhost-user", name, tolerant=True)

    def _vhost_at(self, path: str) -> str:
        name = ""
        for line in self.command("show", "vhost-user", tolerant=True).splitlines():
            words = line.split()
            if words[:1] == ["Interface:"] and len(words) > 1:
                name = words[1]
            elif words[:2] == ["socket", "filename"] and words[2:3] == [path]:
                return name if _INTERFACE.fullmatch(name) else ""
        return ""

    def mac(self, name: str) -> str:
        found = _MAC.search(self.command("show", "hardware-interfaces", name).lower())
        if found is None:
            raise CniError(SWITCH_FAILED, f"VPP shows no MAC address of {name}")
        return found.group(0)

    def route_to(self, name: str, ip: str, mac: str, prefix: int) -> None:
        """One address behind an interface that has none of its own."""
        self.command("set", "interface", "unnumbered", name, "use", "loop0")
        self.command("ip", "route", "add", f"{ip}/{prefix}", "via", name)
        self.command("set", "ip", "neighbor", name, ip, mac)

    def unroute(self, name: str, ip: str, prefix: int) -> None:
        self.command("ip", "route", "del", f"{ip}/{prefix}", "via", name, tolerant=True)

    def command(self, *words: str, tolerant: bool = False) -> str:
        bad = [word for word in words if not _WORD.fullmatch(word)]
        if bad:
            raise CniError(SWITCH_FAILED, f"not handed over to VPP: {bad[0][:100]!r}")
        said, rc = self._execute(words)
        if not tolerant and (rc != 0 or _WRONG.search(said)):
            raise CniError(SWITCH_FAILED, f"VPP refused {' '.join(words)}: {said.strip()[:300]}")
        return said

    def _execute(self, words: Sequence[str]) -> tuple[str, int]:
        try:
            done = self._run(["vppctl", "-s", self._cli, *words], b"", {}, SECONDS)
        except TimedOut as late:
            raise CniError(TRY_AGAIN_LATER, f"VPP: {late}") from late
        except OSError as error:
            raise CniError(SWITCH_FAILED, f"vppctl cannot be run: {error.strerror}") from error
        return (done.out + done.err).decode("utf-8", "replace"), done.rc


def memif_number(container_id: str, ifname: str) -> int:
    """The socket's number, the same whenever it is asked for; 0 is VPP's own."""
    digest = hashlib.sha256(f"{container_id}@{ifname}".encode()).digest()
    return (int.from_bytes(digest[:4], "big") & 0x7FFFFFFF) or 1
