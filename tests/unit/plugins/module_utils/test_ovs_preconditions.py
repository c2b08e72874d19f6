# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to hold on a node before Open vSwitch is changed: refused or warned of, and nothing was touched."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _uses_discovery
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._pci_discovery import read_pci
from ansible_collections.nfv.fastpath.tests.unit.ovs_node import (
    OTHER,
    PF,
    PORT,
    VF0,
    VF1,
    OvsNode,
    apply,
    spec,
)


@pytest.fixture
def node(tmp_path, monkeypatch):
    # Without a look at this machine's processes and routes.
    monkeypatch.setattr(_uses_discovery, "discover_pci", read_pci)
    return OvsNode(tmp_path)


def refused(node, wanted):
    before = node.database.state()
    with pytest.raises(Refused) as raised:
        apply(node, wanted)
    assert node.database.state() == before
    assert not (node.tree / "etc/fastpath").exists()
    return {problem.variable: problem.message for problem in raised.value.problems}


def test_memory_beyond_the_pages_is_refused(node):
    node.pages(1, 100)
    found = refused(node, spec(PORT))
    assert (
        "512 MiB on NUMA node 1, where free hugepages have 200 MiB"
        in found["fastpath_ovs.other_config.dpdk-socket-mem"]
    )


def test_memory_of_a_node_that_is_not_there_is_refused(node):
    found = refused(node, spec(**{"dpdk-socket-mem": {2: 64}}))
    assert "NUMA node 2, and there are: 0, 1" in found["fastpath_ovs.other_config.dpdk-socket-mem"]


def test_what_it_holds_itself_counts_as_free(node):
    apply(node, spec(PORT))
    for number in (0, 1):
        node.pages(number, 768)
    assert not apply(node, spec(PORT)).changed
    with pytest.raises(Refused, match="2049 MiB on NUMA node 0, where free hugepages have 2048 MiB"):
        apply(node, spec(PORT, **{"dpdk-socket-mem": {0: 2049}}), disruption_ok=True)


def test_no_pages_at_all_are_refused_unless_none_are_wanted(node):
    for number in (0, 1):
        node.pages(number, 0)
    config = {"dpdk-socket-mem": None}
    assert "needs hugepages" in refused(node, spec(**config))["fastpath_ovs.other_config.dpdk-init"]
    assert apply(node, spec(**config, **{"dpdk-extra": "--no-huge --legacy-mem"})).changed


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        ({"pmd-cpu-mask": "5,9"}, "pmd-cpu-mask", "names CPU 9, which is not there; CPUs in use are 0-7"),
        ({"dpdk-lcore-mask": "8-9"}, "dpdk-lcore-mask", "names CPU 8-9"),
        ({"pmd-cpu-mask": "0-7"}, "pmd-cpu-mask", "takes every CPU of the node"),
    ],
)
def test_cpus_that_cannot_be_are_refused(node, config, key, said):
    assert said in refused(node, spec(**config))[f"fastpath_ovs.other_config.{key}"]


def test_an_affinity_outside_of_the_mask_is_refused(node):
    found = refused(node, spec({**PORT, "pmd_rxq_affinity": {0: 2}}))
    assert (
        "names CPU 2, which is not in pmd-cpu-mask (5-6)" in found["fastpath_ovs.bridges[0].ports[0].pmd_rxq_affinity"]
    )


def test_a_device_of_the_kernel_is_refused(node):
    found = refused(node, spec({"name": "d1", "type": "dpdk", "pci": OTHER}))
    assert "is bound to the kernel's driver igb" in found["fastpath_ovs.bridges[0].ports[0].pci"]


def test_a_device_without_a_driver_is_refused(node):
    node.put(f"sys/bus/pci/devices/{VF1}/uevent", "PCI_CLASS=20000\nPCI_ID=8086:10CA\n")
    found = refused(node, spec({"name": "d1", "type": "dpdk", "pci": VF1}))
    assert "is bound to no driver" in found["fastpath_ovs.bridges[0].ports[0].pci"]


def test_a_device_that_is_not_there_is_refused(node):
    found = refused(node, spec({"name": "d1", "type": "dpdk", "pci": "0000:99:00.0"}))
    assert "is no PCI function of this node" in found["fastpath_ovs.bridges[0].ports[0].pci"]


@pytest.mark.parametrize(
    ("vf", "said"),
    [
        ({"pf": {"address": PF}, "index": 6}, f"PF {PF} has 2 VFs, so there is no VF 6"),
        ({"pf": {"vendor": "15b3"}, "index": 0}, "fits no PF with SR-IOV (vendor 15b3)"),
    ],
)
def test_a_vf_that_is_not_there_is_refused_and_in_check_mode_a_warning(node, vf, said):
    wanted = spec({"name": "d1", "type": "dpdk", "vf": vf})
    assert said in refused(node, wanted)["fastpath_ovs.bridges[0].ports[0].vf"]
    plan = converge(OvsDpdkConcern(node, looking_ahead=True), Request(spec=wanted, dry_run=True))
    assert plan.changed
    assert [warning for warning in plan.warnings if said in warning]


def test_a_device_in_other_hands_is_refused(node, monkeypatch):
    def held(host):
        return tuple(
            replace(device, uses=("vfio:99 (qemu)",) if device.address == VF0 else ("vfio:4711 (ovs-vswitchd)",))
            for device in read_pci(host)
        )

    monkeypatch.setattr(_uses_discovery, "discover_pci", held)
    found = refused(node, spec(PORT, {"name": "dpdk1", "type": "dpdk", "pci": VF1}))
    assert found == {"fastpath_ovs.bridges[0].ports[0].pci": "is in use by vfio:99 (qemu)"}


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ("ovs-vswitchd (Open vSwitch) 3.5.0\nDPDK 23.11.2\n", "does not belong together: it is made for DPDK 24.11"),
        ("ovs-vswitchd (Open vSwitch) 3.5.0\n", "needs a build with DPDK"),
    ],
)
def test_a_wrong_pair_is_refused(node, versions, said):
    node.versions = versions
    assert said in refused(node, spec())["fastpath_ovs.other_config.dpdk-init"]


def test_a_release_that_is_not_known_is_a_warning(node):
    node.versions = "ovs-vswitchd (Open vSwitch) 9.1.0\nDPDK 30.11.0\n"
    assert "no release that is known here" in " ".join(apply(node, spec()).warnings)


def test_a_socket_below_a_file_is_refused(node):
    node.put("run/vhost", "")
    found = refused(node, spec({"name": "v0", "type": "dpdkvhostuserclient", "socket": "/run/vhost/v0.sock"}))
    assert found == {"fastpath_ovs.bridges[0].ports[0].socket": "/run/vhost is no directory"}


@pytest.mark.parametrize(
    ("folder", "kind"), [("/sys/kernel", "sysfs"), ("/sys/fs/cgroup", "cgroup2"), ("/run/vhost", None), ("/srv", None)]
)
def test_a_file_system_that_takes_no_sockets_is_refused(node, folder, kind):
    mounts = ("sysfs /sys sysfs", "cgroup2 /sys/fs/cgroup cgroup2", "/dev/vda1 / ext4", "tmpfs /run tmpfs")
    node.put("proc/self/mounts", "".join(f"{mount} rw 0 0\n" for mount in mounts))
    for path in ("sys/kernel/x", "sys/fs/cgroup/x"):
        node.put(path, "")
    wanted = spec({"name": "v0", "type": "dpdkvhostuserclient", "socket": f"{folder}/v0.sock"})
    if kind is None:
        assert apply(node, wanted).changed
        return
    ((variable, message),) = refused(node, wanted).items()
    assert variable == "fastpath_ovs.bridges[0].ports[0].socket"
    assert message.startswith(f"{folder} cannot be written to: it is part of {kind}")


def test_a_folder_that_cannot_be_written_to_is_refused(node, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = refused(node, spec({"name": "v0", "type": "dpdkvhostuserclient", "socket": "/run/vhost/v0.sock"}))
    assert found == {"fastpath_ovs.bridges[0].ports[0].socket": "/run cannot be written to"}


def test_dpdk_ports_without_dpdk_are_refused(node):
    found = refused(node, {"bridges": [{"name": "br0", "ports": [PORT]}]})
    assert "there are ports that need DPDK" in found["fastpath_ovs.other_config.dpdk-init"]


def test_all_refusals_at_once(node):
    node.pages(0, 0)
    found = refused(node, spec({"name": "d1", "type": "dpdk", "pci": OTHER}, **{"pmd-cpu-mask": "99"}))
    assert len(found) == 3


def test_warnings_of_placement(node):
    node.put("sys/devices/system/cpu/isolated", "1-2\n")
    warnings = " ".join(apply(node, spec(PORT, **{"pmd-cpu-mask": "1,3", "dpdk-lcore-mask": "1"})).warnings)
    assert f"{VF0} is on NUMA node 1, and no CPU of pmd-cpu-mask is" in warnings
    assert "CPU 3 of pmd-cpu-mask is not isolated (isolated: 1-2)" in warnings
    assert "CPU 1 is in pmd-cpu-mask and in dpdk-lcore-mask" in warnings
    assert "CPU 1 of dpdk-lcore-mask is isolated" in warnings
