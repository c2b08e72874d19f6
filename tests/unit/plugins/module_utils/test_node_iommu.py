# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What firmware and kernel say about IOMMU and interrupt remapping, on trees of many kinds of machine."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._node_iommu import Iommu, discover_iommu

TABLES = "sys/firmware/acpi/tables"
ECAP = "sys/class/iommu/dmar{}/intel-iommu/ecap"


def dmar(flags: int) -> bytes:
    """A DMAR table as far as its flags: 36 bytes of header, the address width, the flags."""
    return b"DMAR" + bytes(32) + b"\x26" + bytes([flags]) + bytes(10)


def put(root, path, content):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def look(root, arguments="", groups=0) -> Iommu:
    return discover_iommu(Host(str(root)), tuple(arguments.split()), groups)


def test_a_machine_without_any(tmp_path):
    assert look(tmp_path) == Iommu()
    assert not look(tmp_path).announced


@pytest.mark.parametrize("table", ["DMAR", "IVRS", "IORT"])
def test_firmware_announces_it(tmp_path, table):
    put(tmp_path, f"{TABLES}/{table}", b"")
    assert look(tmp_path).table == table
    assert look(tmp_path).announced


@pytest.mark.parametrize(("kind", "expected"), [("DMA", True), ("DMA-FQ", True), ("identity", False)])
def test_whether_it_translates(tmp_path, kind, expected):
    put(tmp_path, "sys/kernel/iommu_groups/0/type", "identity\n")
    put(tmp_path, "sys/kernel/iommu_groups/1/type", f"{kind}\n")
    assert look(tmp_path, groups=2).translates is expected


def test_a_unit_without_a_table_as_with_a_device_tree(tmp_path):
    (tmp_path / "sys/class/iommu/smmu3.0x0000000009050000").mkdir(parents=True)
    seen = look(tmp_path, groups=4)
    assert seen.announced
    assert (seen.table, seen.interrupt_remapping) == (None, True)


@pytest.mark.parametrize(
    ("flags", "ecaps", "arguments", "expected"),
    [
        (0x01, ["f00f5e"], "", True),
        (0x01, ["f00f5e", "f00f5a"], "", True),
        (0x01, ["f00f56"], "", False),
        (0x01, ["f00f5e", "f00f56"], "", False),
        (0x00, ["f00f5e"], "", False),
        (0x05, [], "", True),
        (0x04, [], "", False),
        (0x01, ["f00f5e"], "quiet intremap=off", False),
        (0x01, ["f00f5e"], "nointremap", False),
    ],
)
def test_interrupt_remapping_of_intel(tmp_path, flags, ecaps, arguments, expected):
    put(tmp_path, f"{TABLES}/DMAR", dmar(flags))
    for number, ecap in enumerate(ecaps):
        put(tmp_path, ECAP.format(number), f"{ecap}\n")
    assert look(tmp_path, arguments).interrupt_remapping is expected


def test_a_table_that_is_cut_off_says_nothing(tmp_path):
    put(tmp_path, f"{TABLES}/DMAR", b"DMAR")
    assert look(tmp_path).interrupt_remapping is None


@pytest.mark.parametrize(("arguments", "expected"), [("", True), ("intremap=off", False)])
def test_interrupt_remapping_of_amd(tmp_path, arguments, expected):
    put(tmp_path, f"{TABLES}/IVRS", b"IVRS")
    assert look(tmp_path, arguments).interrupt_remapping is expected


@pytest.mark.parametrize("argument", ["intel_iommu=off", "amd_iommu=off", "iommu=off"])
def test_the_argument_that_keeps_it_off(tmp_path, argument):
    assert look(tmp_path, f"quiet {argument} ro").switched_off == argument
    assert look(tmp_path, "quiet iommu=pt").switched_off is None


@pytest.mark.parametrize(
    ("path", "content", "arguments", "expected"),
    [
        ("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n", "", True),
        ("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n", "", False),
        ("etc/modprobe.d/vfio.conf", "# why\noptions vfio_iommu_type1 allow_unsafe_interrupts=1\n", "", True),
        ("etc/modprobe.d/vfio.conf", "options vfio_iommu_type1 allow_unsafe_interrupts=0\n", "", False),
        ("etc/modprobe.d/vfio.conf", "options vfio allow_unsafe_interrupts=1\n", "", False),
        ("etc/empty", "", "vfio_iommu_type1.allow_unsafe_interrupts=1", True),
        ("etc/empty", "", "", False),
    ],
)
def test_consent_to_unsafe_interrupts(tmp_path, path, content, arguments, expected):
    put(tmp_path, path, content)
    assert look(tmp_path, arguments).unsafe_interrupts_ok is expected


def test_the_module_that_runs_outweighs_what_is_written_for_it(tmp_path):
    put(tmp_path, "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N")
    put(tmp_path, "etc/modprobe.d/vfio.conf", "options vfio_iommu_type1 allow_unsafe_interrupts=1")
    assert not look(tmp_path).unsafe_interrupts_ok
