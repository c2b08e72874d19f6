# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a list, pools and sysfs to what is served, and why something is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from fastpath_agent.config import Pool, parse
from fastpath_agent.device_map import listed_by_pools, slots

PF = "0000:83:00.0"
VFS = tuple(f"0000:83:00.{number}" for number in range(1, 5))
VF = PciDevice(VFS[0], "1af4", "1041", class_id="0200", driver="vfio-pci", numa_node=1, iommu_group=7, physfn=PF)
NIC = replace(VF, address="0000:00:05.0", physfn=None, numa_node=None)
DEVICES = (
    NIC,
    PciDevice(PF, "1af4", "1041", class_id="0200", driver="virtio-pci", netdevs=("ens1",), virtfns=VFS),
    *(replace(VF, address=address, vf_index=index) for index, address in enumerate(VFS)),
)
CONFIG = parse(
    {
        "pools": [
            {"name": "a", "selectors": {"pfNames": ["ens1#0-1"]}},
            {"name": "b", "selectors": {"pfNames": ["ens1#2"]}},
            {"name": "cloud", "backend": "translate", "selectors": {"pciAddresses": ["0000:00:05.0"]}},
            {"name": "bridge", "backend": "ovs", "bridge": "br0"},
        ]
    }
)


def served(config=CONFIG, listed=VFS[:3], devices=DEVICES, **more):
    return slots(config, listed, devices, **more)


def test_each_device_has_its_pool():
    found = [(slot.address, slot.pool.name, slot.numa_node, slot.problem) for slot in served()]
    assert found == [
        (VFS[0], "a", 1, ""),
        (VFS[1], "a", 1, ""),
        (VFS[2], "b", 1, ""),
        ("0000:00:05.0", "cloud", None, ""),
    ]


def test_the_order_is_that_of_the_list():
    assert [slot.address for slot in served(listed=(VFS[2], VFS[0]))][:2] == [VFS[2], VFS[0]]


def test_what_pools_would_put_into_the_list_are_vdpa_devices_only():
    """The patched device plugin wrote the devices of all pools."""
    assert listed_by_pools(CONFIG, DEVICES) == VFS[:3]


def test_a_listed_device_without_a_pool():
    """It is served all the same: whoever wrote the list wanted that."""
    (slot, _nic) = served(listed=(VFS[3],))
    assert slot.pool == Pool("")
    open_pool = parse({"pools": [{"name": "all", "devargs": "vdpa=1,sw-live-migration=1"}]})
    (slot,) = served(open_pool, listed=(VFS[3],))
    assert (slot.pool.name, slot.pool.devargs) == ("all", "vdpa=1,sw-live-migration=1")


def test_a_listed_device_of_a_translating_pool_is_translated_once():
    found = served(listed=("0000:00:05.0", VFS[0]))
    assert [(slot.address, slot.pool.name) for slot in found] == [("0000:00:05.0", "cloud"), (VFS[0], "a")]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"driver": "virtio-pci"}, "is bound to the kernel's driver virtio-pci; it has to be bound to vfio-pci."),
        ({"driver": None}, "is bound to no driver"),
        ({"iommu_group": None}, "is in no IOMMU group"),
        ({"driver": "mlx5_core", "iommu_group": None}, ""),
        ({"driver": "igb_uio", "iommu_group": None}, ""),
    ],
)
def test_a_device_that_cannot_be_used(change, problem):
    devices = tuple(replace(device, **change) if device.address == VFS[0] else device for device in DEVICES)
    slot = served(listed=VFS[:1], devices=devices)[0]
    assert problem in slot.problem if problem else not slot.problem
    assert not slot.absent


def test_a_device_without_its_group_in_the_container():
    slot = served(listed=VFS[:1], group_exists=lambda device: False)[0]
    assert slot.problem == f"{VFS[0]}: there is no /dev/vfio/7 in the agent's container."


def test_a_device_that_is_not_there():
    slot = served(listed=("0000:99:00.0",))[0]
    assert (slot.absent, slot.problem) == (True, "0000:99:00.0 is no PCI function of this node.")


def test_a_vf_that_the_kernel_is_about_to_remove():
    """It waits for the process that has the VF open, after it has taken the link to the PF away."""
    devices = tuple(replace(device, physfn=None) if device.address == VFS[0] else device for device in DEVICES)
    slot = served(listed=VFS[:1], devices=devices, former_vfs=VFS)[0]
    assert (slot.absent, slot.problem) == (True, f"{VFS[0]} is being removed.")
    assert not served(listed=("0000:00:05.0",), former_vfs=VFS)[0].problem
