# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Open vSwitch asks for that the other variables will not bring: refused before anything is done."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_pages import Pages
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight_ovs import ovs_problems
from ansible_collections.nfv.fastpath.plugins.module_utils._wanted import parse_wanted

PF = {"vendor": "8086", "device": "10c9", "numa_node": 1}
VFS = [
    {"indexes": "0", "driver": "vfio-pci"},
    {"indexes": "1", "driver": "igbvf"},
    {"indexes": "2", "driver": "kernel"},
]
SRIOV = [{"pf": PF, "num_vfs": 4, "vfs": [*VFS, {"indexes": "3", "driver": None}]}]
SMALL, LARGE = 2048, 1024 * 1024


def problems(config=None, ports=(), hugepages=(), pages=(), devices=()):
    ovs = {"other_config": {"dpdk-init": True, **(config or {})}, "bridges": [{"name": "br0", "ports": list(ports)}]}
    wanted, wrong = parse_wanted({"hugepages": list(hugepages), "sriov": SRIOV, "ovs": ovs})
    assert not wrong
    counters = {place: Pages(total=count, free=0) for place, count in dict(pages).items()}
    found = ovs_problems(wanted.ovs, wanted.pools, wanted.pfs, counters, {device.address: device for device in devices})
    return [(problem.variable, problem.message) for problem in found]


def memory(size, **facts):
    return problems({"dpdk-socket-mem": {0: 0, 1: size}}, **facts)


def pool(count, node=1, size="2M"):
    return {"size": size, "count": count, "numa_node": node}


@pytest.mark.parametrize(
    ("size", "hugepages", "pages", "has"),
    [
        (384, [pool(192)], {}, None),
        (385, [pool(192)], {}, 384),
        (385, [pool(192)], {(LARGE, 1): 1}, None),
        (100, [pool(10)], {(SMALL, 1): 512}, 20),
        (100, [], {(SMALL, 1): 512}, None),
        (100, [], {(SMALL, 0): 512}, None),
        (100, [pool(192, 0)], {}, 0),
        (100, [{"size": "2M", "count": 4}], {}, None),
        (0, [], {}, None),
    ],
)
def test_memory_against_all_pages_that_will_be_there(size, hugepages, pages, has):
    found = memory(size, hugepages=hugepages, pages=pages)
    if has is None:
        assert found == []
        return
    ((variable, message),) = found
    assert variable == "fastpath_ovs.other_config.dpdk-socket-mem"
    assert f"{size} MiB on NUMA node 1" in message and f"will have {has} MiB" in message


def test_no_pages_are_needed_without_them():
    assert problems({"dpdk-socket-mem": {0: 4096}, "dpdk-extra": "--no-huge -m 64"}) == []


def vf(index, **selector):
    return {"name": "dpdk0", "type": "dpdk", "vf": {"pf": selector or PF, "index": index}}


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (0, None),
        (1, "driver igbvf in fastpath_sriov[0].vfs[1]"),
        # What the kernel's own driver is, and whether DPDK works beside it, only the node knows.
        (2, None),
        (3, "no driver in fastpath_sriov[0].vfs[3]"),
        (4, "not among the 4 VFs of fastpath_sriov[0]"),
    ],
)
def test_a_vf_against_what_it_will_be(index, says):
    found = problems(ports=[vf(index)])
    if says is None:
        assert found == []
        return
    ((variable, message),) = found
    assert variable == "fastpath_ovs.bridges[0].ports[0].vf" and says in message


def test_a_vf_of_a_pf_that_is_named_otherwise_is_left_to_the_node():
    assert problems(ports=[vf(1, netdev="ens1f0")]) == []


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"driver": "igb"}, True),
        ({"driver": "igbvf", "physfn": "0000:81:00.0"}, False),
        ({"driver": "mlx5_core"}, False),
        ({"driver": "vfio-pci"}, False),
        ({"driver": None}, False),
    ],
)
def test_a_function_that_the_kernel_drives(facts, refused):
    port = {"name": "dpdk0", "type": "dpdk", "pci": "0000:81:10.2"}
    found = problems(ports=[port], devices=[PciDevice("0000:81:10.2", **facts)])
    assert bool(found) == refused
    if refused:
        assert found[0][0] == "fastpath_ovs.bridges[0].ports[0].pci"
        assert "driver igb" in found[0][1] and "vfio-pci" in found[0][1]


def test_a_function_that_is_not_there_yet():
    assert problems(ports=[{"name": "dpdk0", "type": "dpdk", "pci": "0000:81:10.2"}]) == []
