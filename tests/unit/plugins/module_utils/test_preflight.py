# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every refusal that is not a planner's, as tables: facts, spec, and the variable and words of the message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._node_facts import NodeFacts
from ansible_collections.nfv.fastpath.plugins.module_utils._node_iommu import Iommu
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight import needs_reboot_first, preflight
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import Wanted, parse_wanted

ON = Iommu(table="DMAR", groups=12, units=("dmar0",), interrupt_remapping=True)
OFF = Iommu(table="DMAR", units=("dmar0",), interrupt_remapping=True)
NONE = Iommu()
GOOD = NodeFacts("node1", os={"ID": "debian"}, boot_loader="grub", cpu_vendor="intel", iommu=ON)
AMD = replace(GOOD, cpu_vendor="amd")


def wanted(driver="vfio-pci", **kernel_args) -> Wanted:
    group = {"indexes": "0-1", "driver": driver, "pool": "dpdk"}
    spec = {"sriov": [{"pf": {"netdev": "ens1"}, "num_vfs": 2, "vfs": [group]}], "kernel_args": kernel_args}
    found, problems = parse_wanted(spec)
    assert problems == []
    return found


def test_a_good_node_is_not_refused():
    assert preflight(GOOD, wanted(iommu="passthrough")) == []
    assert preflight(GOOD, Wanted()) == []


@pytest.mark.parametrize(
    ("change", "variable", "words"),
    [
        ({"user_id": 1000}, "ansible_user", ["1000", "root", "ansible_become"]),
        ({"python": (3, 8, 10)}, "ansible_python_interpreter", ["3.8.10", "3.9"]),
        ({"boot_loader": None}, "node.os", ["debian", "update-grub", "grubby"]),
        ({"boot_loader": None, "os": {"PRETTY_NAME": "Alpine"}}, "node.os", ["Alpine"]),
        ({"boot_loader": None, "os": {}}, "node.os", ["unknown"]),
        ({"missing_tools": ("ip", "modprobe")}, "node.tools", ["ip, modprobe", "iproute2"]),
    ],
)
def test_the_node_itself(change, variable, words):
    (problem,) = preflight(replace(GOOD, **change), Wanted())
    assert problem.variable == variable
    assert all(word in str(problem) for word in words), str(problem)


VFS = "fastpath_sriov[0].vfs[0].driver"
TRANSLATING = replace(GOOD, iommu=replace(ON, translates=True))


@pytest.mark.parametrize("driver", ["igb_uio", "uio_pci_generic"])
def test_uio_needs_an_iommu_that_does_not_translate(driver):
    (problem,) = preflight(TRANSLATING, wanted(driver))
    assert problem.variable == VFS and problem.value == driver
    assert "physical addresses" in str(problem) and "passthrough" in str(problem)
    assert preflight(GOOD, wanted(driver)) == []
    assert preflight(TRANSLATING, wanted(driver, iommu="passthrough")) == []
    assert preflight(TRANSLATING, wanted()) == []
    assert needs_reboot_first(TRANSLATING, wanted(driver, iommu="passthrough"))
    assert not needs_reboot_first(GOOD, wanted(driver, iommu="passthrough"))
    assert not needs_reboot_first(TRANSLATING, wanted(iommu="passthrough"))


@pytest.mark.parametrize(
    ("facts", "spec", "words"),
    [
        (replace(GOOD, iommu=NONE), wanted(), ["firmware announces none", "VT-d"]),
        (replace(GOOD, iommu=NONE), wanted(iommu="passthrough"), ["firmware announces none"]),
        (replace(GOOD, iommu=OFF), wanted(), ["is off", "DMAR", "{iommu: passthrough}"]),
        (replace(GOOD, iommu=replace(OFF, switched_off="intel_iommu=off")), wanted(), ["kept off", "intel_iommu=off"]),
        (replace(GOOD, iommu=replace(OFF, table=None)), wanted(), ["the hardware has it"]),
        (
            replace(AMD, iommu=Iommu(table="IVRS", interrupt_remapping=True, switched_off="amd_iommu=off")),
            wanted(iommu="passthrough"),
            ['remove: ["amd_iommu=off"]'],
        ),
        (replace(AMD, iommu=Iommu(table="IVRS", interrupt_remapping=True)), wanted(iommu="on"), ["by itself", "dmesg"]),
        (GOOD, wanted(iommu="off"), ["switches it off", "passthrough"]),
        (replace(GOOD, iommu=OFF), wanted(iommu="off"), ["switches it off"]),
        (
            replace(GOOD, iommu=replace(ON, interrupt_remapping=False)),
            wanted(),
            ["interrupt remapping", "x2APIC", "allow_unsafe_interrupts"],
        ),
        (
            replace(GOOD, iommu=replace(ON, interrupt_remapping=False), arguments=("ro", "intremap=off")),
            wanted(),
            ["Remove the boot argument intremap=off"],
        ),
        (
            replace(GOOD, iommu=replace(OFF, interrupt_remapping=False)),
            wanted(iommu="passthrough"),
            ["interrupt remapping"],
        ),
    ],
)
def test_vfio_needs_an_iommu_with_interrupt_remapping(facts, spec, words):
    (problem,) = preflight(facts, spec)
    assert (problem.variable, problem.value) == (VFS, "vfio-pci")
    assert all(word in problem.message for word in words), problem.message


@pytest.mark.parametrize(
    ("facts", "spec"),
    [
        (GOOD, wanted()),
        (replace(GOOD, iommu=replace(ON, interrupt_remapping=None)), wanted()),
        (replace(GOOD, iommu=replace(ON, interrupt_remapping=False, unsafe_interrupts_ok=True)), wanted()),
        (replace(GOOD, iommu=OFF), wanted(iommu="passthrough")),
        (replace(GOOD, iommu=OFF), wanted(iommu="on")),
        (replace(GOOD, iommu=NONE), wanted("kernel")),
        (replace(GOOD, iommu=NONE), wanted(None)),
        (replace(GOOD, iommu=NONE), wanted("kernel", iommu="off")),
        (
            replace(AMD, iommu=Iommu(table="IVRS", interrupt_remapping=True, switched_off="amd_iommu=off")),
            wanted(remove=["amd_iommu=off"]),
        ),
    ],
)
def test_what_is_enough_for_vfio_and_what_needs_none(facts, spec):
    assert preflight(facts, spec) == []


def test_consent_to_work_without_an_iommu():
    assert preflight(replace(GOOD, iommu=NONE), wanted(), noiommu_ok=True) == []


def test_every_place_that_asks_for_vfio_is_named():
    group = {"driver": "vfio-pci", "pool": None}
    vfs = [{"indexes": 0, **group}, {"indexes": 1, **group}]
    spec, _problems = parse_wanted({"sriov": [{"pf": {"netdev": "ens1"}, "num_vfs": 2, "vfs": vfs}]})
    (problem,) = preflight(replace(GOOD, iommu=NONE), spec)
    assert problem.variable == "fastpath_sriov[0].vfs[0].driver, fastpath_sriov[0].vfs[1].driver"


LOCKED = replace(GOOD, lockdown="integrity")


@pytest.mark.parametrize(
    ("facts", "spec", "noiommu_ok", "words"),
    [
        (
            replace(LOCKED, unsigned_drivers=("igb_uio",)),
            wanted("igb_uio"),
            False,
            ["unsigned", "lockdown (integrity)"],
        ),
        (
            replace(GOOD, secure_boot=True, unsigned_drivers=("igb_uio",)),
            wanted("igb_uio"),
            False,
            ["unsigned", "Secure Boot", "vfio-pci"],
        ),
        (LOCKED, wanted("igb_uio"), False, ["without an IOMMU"]),
        (replace(LOCKED, lockdown="confidentiality"), wanted("uio_pci_generic"), False, ["confidentiality"]),
        (replace(LOCKED, iommu=NONE), wanted(), True, ["fastpath_noiommu_ok", "forbids"]),
    ],
)
def test_lockdown_and_secure_boot(facts, spec, noiommu_ok, words):
    (problem,) = preflight(facts, spec, noiommu_ok)
    assert all(word in str(problem) for word in words), str(problem)


@pytest.mark.parametrize(
    ("facts", "spec"),
    [
        (LOCKED, wanted()),
        (replace(GOOD, secure_boot=True), wanted("uio_pci_generic")),
        (replace(GOOD, secure_boot=True), wanted("igb_uio")),
        (replace(GOOD, lockdown="none", unsigned_drivers=("igb_uio",)), wanted("igb_uio")),
    ],
)
def test_what_lockdown_and_secure_boot_allow(facts, spec):
    assert preflight(facts, spec) == []


def test_all_at_once():
    bad = replace(GOOD, user_id=1, boot_loader=None, missing_tools=("ip",), iommu=NONE)
    assert len(preflight(bad, wanted())) == 4


@pytest.mark.parametrize(
    ("facts", "spec", "expected"),
    [
        (replace(GOOD, iommu=OFF), wanted(iommu="passthrough"), True),
        (replace(GOOD, iommu=OFF), wanted("kernel", iommu="passthrough"), False),
        (GOOD, wanted(iommu="passthrough"), False),
        (replace(GOOD, iommu=OFF), wanted(), False),
    ],
)
def test_vfs_that_wait_for_the_reboot(facts, spec, expected):
    assert needs_reboot_first(facts, spec) is expected


VHOST = ["fastpath_vdpa[0].bus"]


@pytest.mark.parametrize(
    ("facts", "spec", "words"),
    [
        (replace(GOOD, iommu=NONE), wanted("vp-vdpa"), ["vhost_vdpa", "firmware announces none"]),
        (replace(GOOD, iommu=OFF), wanted("vp-vdpa"), ["is off", "{iommu: passthrough}"]),
        (GOOD, wanted("vp-vdpa", iommu="off"), ["switches it off"]),
    ],
)
@pytest.mark.parametrize("consent", [True, False])
def test_vdpa_devices_for_programs_need_the_iommu_whatever_the_consent(facts, spec, words, consent):
    (problem,) = preflight(facts, spec, consent, VHOST)
    assert problem.variable == "fastpath_vdpa[0].bus"
    assert all(word in str(problem) for word in words), str(problem)


def test_vdpa_devices_that_will_have_it():
    assert preflight(replace(GOOD, iommu=OFF), wanted("vp-vdpa", iommu="on"), vhost=VHOST) == []


def test_vdpa_devices_do_not_need_interrupts_to_be_remapped():
    assert preflight(replace(GOOD, iommu=replace(ON, interrupt_remapping=False)), wanted("vp-vdpa"), vhost=VHOST) == []


def test_vdpa_devices_may_have_to_wait_for_a_reboot_too():
    on = wanted("vp-vdpa", iommu="on")
    assert needs_reboot_first(replace(GOOD, iommu=OFF), on, VHOST)
    assert not needs_reboot_first(replace(GOOD, iommu=OFF), on)
    assert not needs_reboot_first(GOOD, on, VHOST)
