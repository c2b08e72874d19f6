# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools mean the devices that the SR-IOV device plugin would take for the same words."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._pci import PciDevice
from fastpath_agent.selectors import parse_selectors, select

PF, OTHER_PF = "0000:83:00.0", "0000:84:00.0"
VFS = tuple(f"0000:83:00.{number}" for number in range(1, 5))
DEVICES = (
    PciDevice(PF, "1af4", "1041", class_id="0200", driver="virtio-pci", netdevs=("ens1",), virtfns=VFS),
    *(
        PciDevice(address, "1af4", "1041", class_id="0200", driver="vfio-pci", physfn=PF, vf_index=index)
        for index, address in enumerate(VFS)
    ),
    PciDevice(OTHER_PF, "8086", "10c9", class_id="0200", driver="igb", netdevs=("ens2",)),
    PciDevice("0000:00:1f.2", "8086", "2922", class_id="0106", driver="ahci"),
)


def parsed(given):
    problems: list = []
    found = parse_selectors(given, "selectors", problems)
    assert not problems
    return found


def chosen(given) -> list[str]:
    return list(select(DEVICES, [("a", parsed(given))]))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"vendors": ["1af4"], "devices": ["1041"], "drivers": ["vfio-pci"]}, list(VFS)),
        ({"pfNames": ["ens1#0-1,3"]}, [VFS[0], VFS[1], VFS[3]]),
        ({"pfNames": ["ENS1#2"]}, [VFS[2]]),
        ({"pfNames": "ens1"}, list(VFS)),
        ({"rootDevices": [f"{PF}#1-2"]}, [VFS[1], VFS[2]]),
        ({"pfNames": ["ens1#0", "ens2"]}, [VFS[0], OTHER_PF]),
        ({"pciAddresses": [VFS[3], OTHER_PF]}, [VFS[3], OTHER_PF]),
        ({"pfNames": ["ens1"], "drivers": ["igb"]}, []),
        ([{"pfNames": ["ens1#0"]}, {"vendors": ["8086"]}], [VFS[0], OTHER_PF]),
        ({"drivers": ["ahci"]}, []),
        ({"pciAddresses": [PF]}, []),
        ({"vendors": [8086]}, [OTHER_PF]),
    ],
)
def test_what_is_selected(given, expected):
    assert chosen(given) == expected


def test_a_device_belongs_to_the_first_pool_that_takes_it():
    pools = [("a", parsed({"pfNames": ["ens1#0-1"]})), ("b", parsed({"pfNames": ["ens1"]}))]
    assert select(DEVICES, pools) == {VFS[0]: "a", VFS[1]: "a", VFS[2]: "b", VFS[3]: "b"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pfNames": ["ens1#0, 2"]}, None),
        ({"pfNames": ["ens1#"]}, "VF indexes"),
        ({"pfNames": ["#1"]}, "name of a network interface"),
        ({"pfNames": [7]}, "name of a network interface"),
        ({"rootDevices": ["83:00.0"]}, 'write "0000:83:00.0"'),
        ({"linkTypes": ["ether"]}, "is no known key"),
        ("ens1", "must be a list of selectors"),
        ([{}], "must be a mapping with at least one of"),
    ],
)
def test_what_is_refused(given, said):
    problems: list = []
    parse_selectors(given, "selectors", problems)
    assert ([said in str(problem) for problem in problems] == [True]) if said else not problems


def test_nothing_is_no_selector():
    assert parsed(None) == ()
