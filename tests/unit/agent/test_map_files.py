# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""pciList.dat and socketList.dat: as the programs were recorded that wrote and read them, and as people may write."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from fastpath_agent.map_files import (
    MAX_BYTES,
    MAX_PROBLEMS,
    PciList,
    format_pci_list,
    format_socket_list,
    is_of_former_boot,
    parse_pci_list,
    parse_socket_list,
)
from hypothesis import given
from hypothesis import strategies as st

# As DPDK's patched example wrote it, to the byte.
RECORDED_SOCKETS = """\
[{
    "pciAddress": "0000:82:00.2",
    "socketpath": "/var/run/vdpa/vhost/vdpa-0"
}, {
    "pciAddress": "0000:82:00.3",
    "socketpath": "/var/run/vdpa/vhost/vdpa-1"
}, {
    "pciAddress": "0000:82:00.4",
    "socketpath": "/var/run/vdpa/vhost/vdpa-2"
}]
"""
# As it was shipped as an example: with an empty line at its end.
RECORDED_ADDRESSES = "0000:83:00.2\n0000:83:00.3\n0000:83:00.4\n\n"

addresses = st.builds(
    "{:04x}:{:02x}:{:02x}.{}".format,
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 0x1F),
    st.integers(0, 7),
)
paths = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=90).map("/var/run/vdpa/{}".format)


def test_the_recorded_list_of_sockets_is_written_to_the_byte():
    sockets = [(f"0000:82:00.{number + 2}", f"/var/run/vdpa/vhost/vdpa-{number}") for number in range(3)]
    assert format_socket_list(sockets) == RECORDED_SOCKETS
    assert list(parse_socket_list(RECORDED_SOCKETS).items()) == sockets


def test_no_sockets_are_a_list_all_the_same():
    """The patched example wrote a lone bracket, which no reader of JSON takes."""
    assert format_socket_list([]) == "[]\n"
    assert parse_socket_list("[]\n") == {}


def test_the_recorded_list_of_devices():
    assert parse_pci_list(RECORDED_ADDRESSES).addresses == ("0000:83:00.2", "0000:83:00.3", "0000:83:00.4")
    assert parse_pci_list(RECORDED_ADDRESSES).problems == ()


def test_a_list_of_devices_is_one_address_in_each_line():
    assert format_pci_list(["0000:83:00.2", "0000:83:00.3"]) == "0000:83:00.2\n0000:83:00.3\n"
    assert format_pci_list([]) == ""


@given(st.lists(addresses, unique=True))
def test_a_list_of_devices_comes_back(wanted):
    assert parse_pci_list(format_pci_list(wanted)) == PciList(tuple(wanted))


@given(st.lists(st.tuples(addresses, paths), unique_by=lambda pair: pair[0]))
def test_a_list_of_sockets_comes_back(wanted):
    text = format_socket_list(wanted)
    assert list(parse_socket_list(text).items()) == wanted
    assert [(entry["pciAddress"], entry["socketpath"]) for entry in json.loads(text)] == wanted


@given(st.lists(addresses, unique=True, min_size=1), st.data())
def test_a_half_written_list_never_names_another_device(wanted, data):
    """Cut off anywhere, it has some of the devices and no other; what is half an address is a problem."""
    text = format_pci_list(wanted)
    cut = text[: data.draw(st.integers(0, len(text)))]
    found = parse_pci_list(cut)
    assert list(found.addresses) == wanted[: len(found.addresses)]
    assert bool(found.problems) == bool(cut and not cut.endswith("\n") and cut.split("\n")[-1] not in wanted)


@given(st.text(max_size=400))
def test_no_text_is_too_odd_for_a_list_of_devices(text):
    found = parse_pci_list(text)
    assert len(set(found.addresses)) == len(found.addresses)
    assert all(":" in address for address in found.addresses)
    assert len(found.problems) <= MAX_PROBLEMS


@given(st.binary(max_size=400))
def test_no_bytes_are_too_odd_for_a_list_of_sockets(content):
    try:
        found = parse_socket_list(content.decode("utf-8", "replace"))
    except ValueError:
        return
    assert all(isinstance(part, str) for pair in found.items() for part in pair)


@pytest.mark.parametrize(
    ("text", "expected", "problems"),
    [
        ("0000:83:00.2\r\n0000:83:00.3\r\n", ("0000:83:00.2", "0000:83:00.3"), ()),
        ("  0000:83:00.2  \n", ("0000:83:00.2",), ()),
        ("0000:83:1F.2\n", ("0000:83:1f.2",), ()),
        ("0000:83:00.2\n0000:83:00.2\n", ("0000:83:00.2",), ("line 2: 0000:83:00.2 stands there twice",)),
        ("83:00.2\n", (), ("line 1: '83:00.2' is no PCI address such as 0000:81:00.2",)),
        (
            "0000:83:00.8\n0000:83:20.0\n",
            (),
            (
                "line 1: '0000:83:00.8' is no PCI address such as 0000:81:00.2",
                "line 2: '0000:83:20.0' is no PCI address such as 0000:81:00.2",
            ),
        ),
        ("# none\n", (), ("line 1: '# none' is no PCI address such as 0000:81:00.2",)),
        (
            "0000:83:00.2,vdpa=1\n../../etc\n",
            (),
            (
                "line 1: '0000:83:00.2,vdpa=1' is no PCI address such as 0000:81:00.2",
                "line 2: '../../etc' is no PCI address such as 0000:81:00.2",
            ),
        ),
        ("\0\n", (), ("line 1: '\\x00' is no PCI address such as 0000:81:00.2",)),
        ("\n\n\n", (), ()),
        ("", (), ()),
    ],
)
def test_what_people_write(text, expected, problems):
    found = parse_pci_list(text)
    assert (found.addresses, found.problems) == (expected, problems)


def test_a_huge_list_is_not_read():
    assert parse_pci_list("0000:83:00.2\n" * (MAX_BYTES // 12)).addresses == ()


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '[{"pciAddress": "x"}]', '[{"pciAddress": 1, "socketpath": "y"}]', "]"]
)
def test_what_is_no_list_of_sockets(text):
    with pytest.raises(ValueError):
        parse_socket_list(text)


@pytest.fixture
def node(tmp_path):
    """A node that booted at second 1000000, with one file."""
    file = tmp_path / "var/run/vdpa/pciList.dat"
    file.parent.mkdir(parents=True)
    file.write_text("0000:83:00.2\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/stat").write_text("cpu 1 2 3\nbtime 1000000\nprocesses 7\n")
    device = os.stat(file).st_dev

    def mounted(kind: str) -> None:
        line = f"36 35 {os.major(device)}:{os.minor(device)} / /var/run rw shared:1 - {kind} none rw\n"
        (tmp_path / "proc/self/mountinfo").write_text(f"1 2 0:5 / / rw - ext4 /dev/x rw\n{line}")

    mounted("ext4")
    return Host(str(tmp_path)), file, mounted


@pytest.mark.parametrize(
    ("kind", "written", "stale"),
    [("ext4", 999_999, True), ("ext4", 1_000_001, False), ("tmpfs", 999_999, False), ("xfs", 10, True)],
)
def test_a_file_of_a_former_boot(node, kind, written, stale):
    """On a file system in memory nothing is older than the boot, whatever a clock that was wrong then may say."""
    host, file, mounted = node
    mounted(kind)
    os.utime(file, (written, written))
    assert is_of_former_boot(host, "/var/run/vdpa/pciList.dat") is stale


def test_no_file_is_of_no_boot(node):
    host, file, _mounted = node
    file.unlink()
    assert not is_of_former_boot(host, "/var/run/vdpa/pciList.dat")


def test_without_a_boot_time_nothing_is_thrown_away(node, tmp_path):
    host, file, _mounted = node
    (tmp_path / "proc/stat").write_text("cpu 1\n")
    os.utime(file, (1, 1))
    assert not is_of_former_boot(host, "/var/run/vdpa/pciList.dat")
