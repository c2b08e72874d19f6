# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile lists of devices and of sockets: what is right in them is used, and nothing else ever is.

The short form is in the normal run; ``make fuzz`` is the long one.
"""

from __future__ import annotations

import os
import random
import re

from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from fastpath_agent.map_files import (
    MAX_PROBLEMS,
    format_pci_list,
    format_socket_list,
    parse_pci_list,
    parse_socket_list,
)
from fastpath_agent.pci_list import PciListFile
from fastpath_agent.wire import MAX_MESSAGE, decode, encode

ROUNDS = int(os.environ.get("FASTPATH_FUZZ", "600"))
ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
RIGHT = ["0000:83:00.2", "0000:83:00.3", "00010000:02:1f.7", "0000:FF:00.0"]
WRONG = [
    *("", " ", "\t", "\r", "\0", "0000:83:00.8", "0000:83:20.0", "83:00.2", "0000:83:00.2,vdpa=1", "-a 0000:83:00.2"),
    *(
        "../0000:83:00.2",
        "0000:83:00.2\0",
        "0000:83:00.2 0000:83:00.3",
        "\ufeff0000:83:00.2",
        "٠٠٠٠:83:00.2",
        "x" * 5000,
    ),
    *("\udcff", "\u2028", "$(reboot)", "; reboot", "%n", "0000:83:00.2#", "{}", "[]", "null"),
]


def test_lists_of_devices(tmp_path):
    chance = random.Random(11)
    for _number in range(ROUNDS):
        lines = chance.choices([*RIGHT, *WRONG], k=chance.randrange(12))
        if chance.random() < 0.3 and lines:
            place = chance.randrange(len(lines))
            lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
        text = chance.choice(["\n", "\r\n"]).join(lines) + chance.choice(["", "\n", "\n\n"])
        found = parse_pci_list(text)
        assert all(ADDRESS.fullmatch(address) for address in found.addresses), text
        assert len(set(found.addresses)) == len(found.addresses)
        assert set(found.addresses) >= {line.lower() for line in lines if line in RIGHT and "\n" not in line}, text
        assert len(found.problems) <= MAX_PROBLEMS and all(problem.isprintable() for problem in found.problems)
        assert parse_pci_list(format_pci_list(found.addresses)).addresses == found.addresses
        (tmp_path / "pciList.dat").write_bytes(text.encode("utf-8", "surrogateescape"))
        assert PciListFile(Host(), str(tmp_path), follow=True).read().addresses == found.addresses


def test_bytes_that_are_no_text(tmp_path):
    chance = random.Random(12)
    for _number in range(ROUNDS // 3):
        content = bytearray("\n".join(RIGHT).encode())
        for _place in range(chance.randrange(1, 6)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "pciList.dat").write_bytes(content)
        found = PciListFile(Host(), str(tmp_path), follow=True).read()
        assert all(ADDRESS.fullmatch(address) for address in found.addresses)


def test_lists_of_sockets():
    chance = random.Random(13)
    for _number in range(ROUNDS):
        pairs = [(address.lower(), f"/var/run/vdpa/vhost/{chance.choice(WRONG)[:50]}") for address in RIGHT]
        pairs = [(address, path) for address, path in pairs if "\udcff" not in path]
        text = format_socket_list(pairs)
        assert parse_socket_list(text) == dict(pairs)
        place = chance.randrange(len(text))
        broken = text[:place] + chance.choice(WRONG)[:20] + text[place + chance.randrange(5) :]
        try:
            found = parse_socket_list(broken)
        except ValueError:
            continue
        assert all(isinstance(item, str) for pair in found.items() for item in pair)


def test_messages_of_grpc():
    chance = random.Random(14)
    for _number in range(ROUNDS):
        content = bytearray(encode(chance.choice([*RIGHT, "x" * 200, "ü"])))
        for _place in range(chance.randrange(4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        content += bytes(chance.randrange(256) for _place in range(chance.choice([0, 0, 1, 7, MAX_MESSAGE])))
        try:
            assert isinstance(decode(bytes(content)), str)
        except ValueError:
            continue
