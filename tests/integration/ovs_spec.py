# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests want of Open vSwitch on two nodes: a bridge with a VF and a port for a virtual machine."""

from __future__ import annotations

from nodes import with_spec
from traffic import NIC_PORT, SOCKET, VM_PORT

PF = {"vendor": "8086", "device": "10c9", "numa_node": 1}
# Without one, DPDK gives the VF another random address at each start of the switch.
MAC = "02:fa:57:00:00:{{ '01' if inventory_hostname == 'node1' else '02' }}"
FLOWS = [
    f"priority=10,ip,in_port={NIC_PORT},actions=output:{VM_PORT}",
    f"priority=10,ip,in_port={VM_PORT},actions=output:{NIC_PORT}",
    "priority=0,actions=drop",
]
SPEC = {
    "fastpath_serial": 2,
    "fastpath_disruption_ok": True,
    "fastpath_kernel_args": {},
    "fastpath_hugepages": [{"size": "2M", "count": 192, "numa_node": node} for node in (0, 1)],
    "fastpath_sriov": [
        {"pf": PF, "num_vfs": 2, "vfs": [{"indexes": "0", "driver": "vfio-pci", "mac": MAC}, {"indexes": "1"}]}
    ],
    "fastpath_dpdk": {"provider": "source"},
    "fastpath_dpdk_build": {"drivers": ["net/e1000", "net/null", "net/vhost", "net/virtio"], "examples": ["l2fwd"]},
    "fastpath_ovs": {
        "other_config": {
            "dpdk-init": True,
            "dpdk-socket-mem": {0: 128, 1: 128},
            "dpdk-lcore-mask": "0",
            "pmd-cpu-mask": "1",
            "pmd-sleep-max": 10000,
            "max-idle": 30000,
        },
        "bridges": [
            {
                "name": "br-fp",
                "fail_mode": "secure",
                "flows": FLOWS,
                "ports": [
                    {"name": NIC_PORT, "type": "dpdk", "vf": {"pf": PF, "index": 0}},
                    {"name": VM_PORT, "type": "dpdkvhostuserclient", "socket": SOCKET},
                ],
            }
        ],
    },
}


def spec(**changes):
    return with_spec(**{**SPEC, **changes})
