# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node shows to those who work on it."""

from __future__ import annotations

import time

import pytest

pytestmark = pytest.mark.lab

DEVICES = "for d in /sys/bus/pci/devices/*; do [ -e $d/sriov_totalvfs ] && echo \
${d##*/} $(cat $d/vendor $d/device $d/sriov_totalvfs $d/numa_node) \
$(basename $(readlink $d/driver)); done; true"


def test_physical_functions(shared):
    rows = shared.ssh("node1", DEVICES).stdout.split("\n")
    assert [row for row in rows if row] == [
        "0000:01:00.0 0x8086 0x10c9 7 -1 igb",
        "0000:02:00.0 0x1af4 0x1041 4 -1 virtio-pci",
        "0000:81:00.0 0x8086 0x10c9 7 1 igb",
    ]


def test_virtual_functions_have_groups_and_the_virtio_ones_stable_addresses(shared):
    made = shared.ssh(
        "node1",
        "cd /sys/bus/pci/devices; for d in 0000:81:00.0:7 0000:02:00.0:4; do"
        " echo ${d##*:} > ${d%:*}/sriov_numvfs; done; udevadm settle;"
        " for d in */physfn; do basename $(readlink ${d%/*}/iommu_group); done; cat 0000:02:00.*/virtio*/net/*/address",
        timeout=120,
    ).stdout.split()
    groups, addresses = made[:11], made[11:]
    assert len(set(groups)) == 11
    assert addresses == [f"52:54:00:01:03:0{function}" for function in range(5)]


def test_pages_of_1_gib_and_numa_nodes(shared):
    command = "ls -d /sys/devices/system/node/node[0-9]/hugepages/*1048576kB"
    assert len(shared.ssh("node1", command).stdout.split()) == 2


def test_vdpa_module_loads(shared):
    shared.ssh("node1", "modprobe vp_vdpa && modprobe vhost_vdpa")


def test_names_and_identities_differ(shared):
    seen = [shared.ssh(name, "hostname; cat /etc/machine-id").stdout.split() for name in ("node1", "node2")]
    assert [values[0] for values in seen] == ["node1", "node2"]
    assert seen[0][1] != seen[1][1]


def test_clock_is_right_after_a_restore(shared):
    shared.restore(["node1"])
    before = time.time()
    guest = float(shared.ssh("node1", "date +%s.%N").stdout)
    assert before - 2 <= guest <= time.time() + 2


def test_nodes_reach_each_other_and_the_packages(shared):
    shared.ssh("node1", "ping -c 1 -W 5 10.77.0.12")
    shared.ssh("node1", "apt-get -q update", timeout=180)


def test_boot_argument_is_there_after_a_reboot_and_a_power_cut(shared):
    shared.ssh(
        "node2",
        "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lab.test=1\"' > /etc/default/grub.d/zz.cfg; update-grub",
        timeout=180,
    )
    before = shared.ssh("node2", "cat /proc/sys/kernel/random/boot_id").stdout
    # Written and flushed, so a power cut must not lose it.
    shared.ssh("node2", "echo kept > /root/kept; sync")
    shared.reset(["node2"])
    assert shared.ssh("node2", "cat /proc/sys/kernel/random/boot_id").stdout != before
    assert "lab.test=1" in shared.ssh("node2", "cat /proc/cmdline").stdout
    assert shared.ssh("node2", "cat /root/kept").stdout == "kept\n"


def test_restore_takes_everything_back(shared):
    shared.ssh("node1", "touch /root/mark; sync")
    shared.restore(["node1"])
    assert shared.ssh("node1", "ls /root/mark", check=False).returncode != 0
    assert shared.ssh("node1", "ls -d /sys/bus/pci/devices/*/physfn", check=False).returncode != 0


def test_named_state_is_what_it_was(shared):
    shared.ssh("node1", "echo first > /root/mark; sync")
    shared.snapshot("one", ["node1"])
    shared.ssh("node1", "echo second > /root/mark; sync")
    shared.restore(["node1"], snapshot="one")
    assert shared.ssh("node1", "cat /root/mark").stdout == "first\n"
