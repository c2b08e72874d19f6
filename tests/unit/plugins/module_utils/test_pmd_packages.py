# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The driver packages that a node's NICs need."""

from __future__ import annotations

import re

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_ids import NET_DRIVER_IDS
from ansible_collections.nfv.fastpath.plugins.module_utils._pmd_packages import (
    COMMON_PLUGINS,
    VDPA_PLUGINS,
    abi_of,
    debian_package,
    debian_packages,
    driver_of,
    nic_plugins,
    plugins_for,
)


def nic(vendor: str, device: str, class_id: str = "020000") -> PciDevice:
    return PciDevice("0000:81:00.0", vendor_id=vendor, device_id=device, class_id=class_id)


@pytest.mark.parametrize(
    ("vendor", "device", "driver"),
    [
        ("8086", "10c9", "e1000"),
        ("8086", "10ca", "e1000"),
        ("8086", "10d3", "e1000"),
        ("8086", "1572", "i40e"),
        ("8086", "154c", "iavf"),
        ("8086", "1889", "iavf"),
        ("8086", "1592", "ice"),
        ("8086", "10fb", "ixgbe"),
        ("8086", "15f3", "igc"),
        ("1af4", "1000", "virtio"),
        ("1af4", "1041", "virtio"),
        ("15b3", "1017", "mlx5"),
        ("15b3", "1003", "mlx4"),
        ("14e4", "16d7", "bnxt"),
        ("1d0f", "ec20", "ena"),
        ("1414", "00ba", "mana"),
        ("15ad", "07b0", "vmxnet3"),
        ("ffff", "0000", None),
        (None, None, None),
    ],
)
def test_driver_of_known_nics(vendor, device, driver):
    assert driver_of(vendor, device) == driver


def test_no_id_belongs_to_two_drivers():
    seen = {}
    for driver, ids in NET_DRIVER_IDS.items():
        vendor = ""
        for word in ids.split():
            if word.endswith(":"):
                vendor = word
            else:
                assert seen.setdefault(vendor + word, driver) == driver
                assert re.fullmatch(r"[0-9a-f]{4}", word)
    assert len(seen) > 600


def test_no_nic_needs_only_the_common_plugins():
    assert plugins_for([]) == COMMON_PLUGINS


def test_plugins_follow_the_nics():
    plugins = plugins_for([nic("8086", "10c9"), nic("15b3", "1017")])
    assert set(plugins) - set(COMMON_PLUGINS) == {"net-e1000", "net-mlx5"}


@pytest.mark.parametrize("device", ["1572", "1592"])
def test_a_pf_speaks_for_vfs_that_are_not_there_yet(device):
    assert "net-iavf" in nic_plugins([nic("8086", device)])


def test_only_network_devices_count():
    assert plugins_for([nic("8086", "10c9", "010000"), PciDevice("0000:00:01.0")]) == COMMON_PLUGINS
    assert "net-e1000" in plugins_for([nic("8086", "10c9", "0x020000")])


def test_unknown_nic_is_no_error():
    assert plugins_for([nic("ffff", "0001")]) == COMMON_PLUGINS


def test_vdpa_drivers_only_on_request():
    devices = [nic("15b3", "101d"), nic("1af4", "1041")]
    assert not set(plugins_for(devices)) & set(VDPA_PLUGINS.values())
    assert {"vdpa-mlx5", "vdpa-ifc"} <= set(plugins_for(devices, vdpa=True))


@pytest.mark.parametrize(
    ("plugin", "abi", "package"),
    [
        ("net-e1000", "25", "librte-net-e1000-25"),
        ("net-mlx5", "23", "librte-net-mlx5-23"),
        ("net-i40e", "25", "librte-net-i40e25"),
        ("bus-pci", "25", "librte-bus-pci25"),
        ("mempool-ring", "25", "librte-mempool-ring25"),
    ],
)
def test_package_names(plugin, abi, package):
    assert debian_package(plugin, abi) == package


@pytest.mark.parametrize(
    ("depends", "abi"),
    [
        ("dpdk, libc6 (>= 2.38), librte-eal25 (>= 23.11), librte-ethdev25 (>= 23.11)", "25"),
        ("librte-eal23 (>= 22.11)", "23"),
        ("librte-eal20.0 (>= 19.11)", "20.0"),
        ("libc6, librte-ethdev25", None),
        ("", None),
    ],
)
def test_abi_out_of_dependencies(depends, abi):
    assert abi_of(depends) == abi


def test_packages_of_a_lab_node():
    packages = debian_packages([nic("8086", "10c9"), nic("8086", "10ca")], "25", extra=["net-bond"])
    assert packages == tuple(sorted(packages))
    assert {"librte-net-e1000-25", "librte-bus-pci25", "librte-net-bond25"} <= set(packages)
