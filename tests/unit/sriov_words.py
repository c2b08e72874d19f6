# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake node with igb PFs, and the words in which tests of the SR-IOV concern speak of it."""

from __future__ import annotations

from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern
from ansible_collections.nfv.fastpath.tests.unit.fake_node import DEVICES, FakeNode

PF, SECOND = "0000:81:00.0", "0000:01:00.0"
SPEC = [
    {
        "pf": {"netdev": "ens1"},
        "num_vfs": 7,
        "mtu": 9000,
        "vfs": [
            {"indexes": "0-1", "driver": "vfio-pci", "pool": "dpdk"},
            {"indexes": 2, "driver": "igbvf", "vlan": 100, "qos": 3, "trust": True},
            {"indexes": 3, "driver": None},
            {"indexes": "4-5", "macs": ["02:00:00:00:00:04", "02:00:00:00:00:05"], "max_rate": 100},
        ],
    }
]


def apply(node: FakeNode, spec: Any, **more: Any) -> Plan:
    return converge(SriovConcern(node), Request(spec=spec, **more))


def tear_down(node: FakeNode, **more: Any) -> Plan:
    return converge(SriovConcern(node), Request(present=False, **more))


def actions(plan: Plan) -> list[str]:
    return [operation.action for operation in plan.operations]


def vf(node: FakeNode, index: int, pf: str = PF) -> tuple[str | None, str]:
    """Driver and override."""
    address = node.link_name(f"{DEVICES}/{pf}/virtfn{index}")
    return node.link_name(f"{DEVICES}/{address}/driver"), node.read_value(f"{DEVICES}/{address}/driver_override")


def use(node: FakeNode, index: int, pf: str = PF) -> str:
    """Give a VF's interface an address, so that it is in use."""
    name = node.functions[node.functions[pf].vfs[index]].netdev
    node.links[name]["addr_info"].append({"local": "192.0.2.7", "scope": "global"})
    return node.functions[pf].vfs[index]


def foreign_vfs(node: FakeNode) -> dict[str, Any]:
    """Three VFs that somebody else made, one of them bound and set otherwise; the node as it then is."""
    node.write_attribute(f"{DEVICES}/{PF}/sriov_drivers_autoprobe", "0")
    node.write_attribute(f"{DEVICES}/{PF}/sriov_numvfs", "3")
    node.load("vfio_pci")
    node.write_attribute(f"{DEVICES}/0000:81:10.1/driver_override", "vfio-pci")
    node.write_attribute("/sys/bus/pci/drivers/vfio-pci/bind", "0000:81:10.1")
    node.functions[PF].attributes[1].update(vlan=7, trust=True)
    return node.snapshot()
