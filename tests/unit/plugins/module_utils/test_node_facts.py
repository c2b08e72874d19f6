# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node's facts from a tree, and from a tree in which nearly everything is missing."""

from __future__ import annotations

import json

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import SECURE_BOOT, discover_node, has_program

FILES = {
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\n# remark\nVERSION_ID="13"\n',
    "proc/cmdline": "BOOT_IMAGE=/vmlinuz ro iommu=pt\n",
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A CPU @ 2 GHz\n\nprocessor\t: 1\n",
    "proc/meminfo": "MemTotal:        4005252 kB\nMemFree:          100 kB\n",
    "proc/sys/kernel/osrelease": "6.12.48\n",
    "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
    "sys/devices/system/node/online": "0-1\n",
    "sys/devices/system/node/node0/x": "",
    "sys/devices/system/node/node1/x": "",
    "sys/kernel/iommu_groups/0/type": "",
    "usr/sbin/update-grub": "",
    "usr/sbin/ip": "",
    "sbin/modprobe": "",
    "usr/bin/systemctl": "",
}


@pytest.fixture
def node(tmp_path):
    for path, text in FILES.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path


def test_everything_is_there(node):
    facts = discover_node(Host(str(node)))
    assert facts.os["ID"] == "debian"
    assert facts.os["VERSION_ID"] == "13"
    assert facts.kernel == "6.12.48"
    assert facts.arguments == ("BOOT_IMAGE=/vmlinuz", "ro", "iommu=pt")
    assert (facts.cpu_vendor, facts.cpu) == ("intel", "A CPU @ 2 GHz")
    assert facts.memory_mib == 3911
    assert facts.numa_nodes == (0, 1)
    assert facts.iommu.groups == 1
    assert facts.lockdown == "integrity"
    assert facts.boot_loader
    assert facts.missing_tools == ()
    assert facts.python >= (3, 9)


def test_nothing_is_there(tmp_path):
    facts = discover_node(Host(str(tmp_path)))
    assert facts.boot_loader is None
    assert facts.missing_tools == ("ip", "modprobe", "systemctl")
    assert facts.numa_nodes == (0,)
    assert (facts.cpu, facts.cpu_vendor, facts.memory_mib, facts.lockdown) == ("", "", 0, "")
    assert facts.secure_boot is None


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (b"\x06", None)]
)
def test_secure_boot(tmp_path, content, expected):
    target = tmp_path / SECURE_BOOT[1:]
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    assert discover_node(Host(str(tmp_path))).secure_boot is expected


def test_the_vendor_file_of_the_os_will_do(node):
    (node / "usr/lib").mkdir()
    (node / "etc/os-release").rename(node / "usr/lib/os-release")
    assert discover_node(Host(str(node))).os["ID"] == "debian"


def test_the_summary_can_be_sent(node):
    summary = discover_node(Host(str(node))).summary()
    assert json.loads(json.dumps(summary)) == {**summary, "iommu": {**summary["iommu"], "units": []}}
    assert summary["os"] == "Debian GNU/Linux 13 (trixie)"
    assert summary["cmdline"].endswith("iommu=pt")


def test_programs_are_found_where_they_may_be(node):
    host = Host(str(node))
    assert has_program(host, "modprobe")
    assert not has_program(host, "grubby")
