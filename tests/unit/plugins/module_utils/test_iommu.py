# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_arguments import as_line, parse_line
from ansible_collections.nfv.fastpath.plugins.module_utils._iommu import (
    NodeFacts,
    cpu_vendor,
    firmware_hint,
    iommu_arguments,
    isolation_arguments,
    node_problems,
    node_warnings,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args_spec import KernelArgsSpec


@pytest.mark.parametrize(
    ("cpuinfo", "vendor"),
    [
        ("processor\t: 0\nvendor_id\t: GenuineIntel\n", "intel"),
        ("vendor_id\t: AuthenticAMD\n", "amd"),
        ("vendor_id\t: HygonGenuine\n", "amd"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n", "arm"),
        ("vendor_id       : IBM/S390\n", ""),
        ("processor\t: 0\ncpu\t\t: POWER9\n", ""),
        ("", ""),
    ],
)
def test_vendor(cpuinfo, vendor):
    assert cpu_vendor(cpuinfo) == vendor


@pytest.mark.parametrize(
    ("mode", "vendor", "groups", "ours", "expected"),
    [
        ("passthrough", "intel", 0, "", "intel_iommu=on iommu=pt"),
        ("passthrough", "intel", 12, "", "intel_iommu=on iommu=pt"),
        ("passthrough", "amd", 12, "", "iommu=pt"),
        ("passthrough", "arm", 12, "", "iommu.passthrough=1"),
        ("on", "intel", 0, "", "intel_iommu=on"),
        # The kernel does it by itself, or the user's own argument does: nothing to add.
        ("on", "intel", 12, "", ""),
        # It does so because of us: taking it away would switch the IOMMU off.
        ("on", "intel", 12, "intel_iommu=on iommu=pt", "intel_iommu=on"),
        ("on", "amd", 0, "", ""),
        ("on", "arm", 0, "", ""),
        ("off", "intel", 12, "", "intel_iommu=off"),
        ("off", "intel", 0, "", ""),
        ("off", "intel", 0, "intel_iommu=off", "intel_iommu=off"),
        ("off", "amd", 12, "", "amd_iommu=off"),
        (None, "intel", 0, "intel_iommu=on", ""),
    ],
)
def test_arguments_follow_from_vendor_and_kernel(mode, vendor, groups, ours, expected):
    node = NodeFacts(cpu_vendor=vendor, iommu_groups=groups)
    assert as_line(iommu_arguments(mode, node, parse_line(ours))) == expected


def test_amd_iommu_on_is_never_written():
    for mode in ("on", "passthrough", "off"):
        for groups in (0, 5):
            line = as_line(iommu_arguments(mode, NodeFacts("amd", groups), ()))
            assert "amd_iommu=on" not in line


def test_the_iommu_that_is_there_counts_more_than_the_cpu():
    node = NodeFacts(cpu_vendor="amd", iommu_vendor="intel")
    assert as_line(iommu_arguments("passthrough", node, ())) == "intel_iommu=on iommu=pt"
    assert node_warnings(KernelArgsSpec("on"), node) == ()
    assert "VT-d" in firmware_hint(node)


def test_isolation():
    expected = "isolcpus=managed_irq,domain,2-5,8 nohz_full=2-5,8 rcu_nocbs=2-5,8"
    assert as_line(isolation_arguments((2, 3, 4, 5, 8))) == expected
    assert isolation_arguments(()) == ()


@pytest.mark.parametrize(
    ("spec", "node", "text"),
    [
        (KernelArgsSpec(iommu="on"), NodeFacts(cpu_vendor=""), "none of Intel, AMD, ARM"),
        (KernelArgsSpec(iommu="off"), NodeFacts("arm", 3), "firmware"),
        (KernelArgsSpec(isolated_cpus=(2, 9)), NodeFacts("intel", 0, (0, 1, 2, 3)), "no CPU 9, only 0-3"),
        (KernelArgsSpec(isolated_cpus=(0, 1)), NodeFacts("intel", 0, (0, 1)), "no CPU to the system"),
    ],
)
def test_what_a_node_cannot_do(spec, node, text):
    problems = node_problems(spec, node, "fastpath_kernel_args")
    assert len(problems) == 1
    assert text in problems[0].message


def test_what_a_node_can_do():
    node = NodeFacts("intel", 0, (0, 1, 2, 3))
    assert node_problems(KernelArgsSpec("passthrough", (1, 2, 3)), node, "v") == []
    assert node_problems(KernelArgsSpec(isolated_cpus=(1,)), NodeFacts(), "v") == []


@pytest.mark.parametrize(
    ("spec", "node", "text"),
    [
        (KernelArgsSpec("on"), NodeFacts("amd", 0), "firmware"),
        (KernelArgsSpec("passthrough"), NodeFacts("amd", 3, (), True), "SEV-SNP"),
        (KernelArgsSpec(isolated_cpus=(0, 1)), NodeFacts("intel"), "CPU 0"),
    ],
)
def test_warnings(spec, node, text):
    assert [text in warning for warning in node_warnings(spec, node)] == [True]


def test_no_warning_without_cause():
    assert node_warnings(KernelArgsSpec("passthrough", (1,)), NodeFacts("amd", 3)) == ()
    assert "VT-d" in firmware_hint(NodeFacts("intel"))
