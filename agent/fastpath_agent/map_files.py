# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two files of the socket map: their text, and whether a file is of this boot.

``pciList.dat``: one PCI address in each line; whoever knows which VFs are for vDPA writes it.
``socketList.dat``: a JSON array of PCI address and socket, laid out to the byte as DPDK's patched example wrote it, so
that programs which know that file read it unchanged.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

PCI_LIST, SOCKET_LIST = "pciList.dat", "socketList.dat"
MAX_BYTES = 1024 * 1024
# Problems are for people: the first few say it all.
MAX_PROBLEMS = 20
# File systems in memory: nothing on them is older than the boot.
IN_MEMORY = ("tmpfs", "ramfs")

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")


@dataclass(frozen=True)
class PciList:
    """``addresses``: in the file's order, each once. ``problems``: what in the file was left aside, and why."""

    addresses: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def parse_pci_list(text: str) -> PciList:
    """Blank lines count for nothing; a line that is no address is left aside, also one that is only half written."""
    if len(text) > MAX_BYTES:
        return PciList(problems=(f"{PCI_LIST} is longer than {MAX_BYTES} bytes and was not read",))
    addresses: dict[str, None] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        word = line.strip().lower()
        if not word:
            continue
        if not _ADDRESS.fullmatch(word):
            problems.append(f"line {number}: {line[:40]!r} is no PCI address such as 0000:81:00.2")
        elif word in addresses:
            problems.append(f"line {number}: {word} stands there twice")
        else:
            addresses[word] = None
    return PciList(tuple(addresses), tuple(problems[:MAX_PROBLEMS]))


def format_pci_list(addresses: Iterable[str]) -> str:
    return "".join(f"{address}\n" for address in addresses)


def parse_socket_list(text: str) -> dict[str, str]:
    """Socket by address, the first entry of an address. Raises ValueError where it is no such list."""
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError(f"{SOCKET_LIST} has no list")
    found: dict[str, str] = {}
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {}
        address, path = fields.get("pciAddress"), fields.get("socketpath")
        if not isinstance(address, str) or not isinstance(path, str):
            raise ValueError(f"{SOCKET_LIST} has an entry without pciAddress and socketpath: {entry!r}")
        found.setdefault(address, path)
    return found


def format_socket_list(sockets: Iterable[tuple[str, str]]) -> str:
    """Four blanks before each key, one blank between two entries, a line feed at the end."""
    entries = (
        f'{{\n    "pciAddress": {json.dumps(address)},\n    "socketpath": {json.dumps(path, ensure_ascii=False)}\n}}'
        for address, path in sockets
    )
    return f"[{', '.join(entries)}]\n"


def is_of_former_boot(host: Host, path: str) -> bool:
    """Whether a file was written before this boot. False where there is none, and where nothing outlives a boot."""
    try:
        status = os.stat(host.path(path))
    except OSError:
        return False
    if _file_system(host, status.st_dev) in IN_MEMORY:
        return False
    booted = _boot_time(host)
    return booted is not None and status.st_mtime < booted


def _file_system(host: Host, device: int) -> str:
    """The type of the file system with this number, from lines such as ``36 35 8:1 / /b rw shared:1 - ext4 /dev/x``."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        left, _dash, right = line.partition(" - ")
        if right and left.split()[2] == number:
            return right.split()[0]
    return ""


def _boot_time(host: Host) -> int | None:
    match = re.search(r"^btime ([0-9]+)$", host.read("/proc/stat") or "", re.MULTILINE)
    return int(match.group(1)) if match else None
