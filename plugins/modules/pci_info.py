#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pci_info
short_description: List the PCI functions of a node and who uses them
version_added: 0.1.0
description:
  - Reads all PCI functions in one pass of sysfs, with their drivers, NUMA nodes, IOMMU groups, SR-IOV state, network
    interfaces and vDPA devices.
  - Says who uses each of them, also through bridges, bonds, VLANs and the like, other network namespaces, and device
    files that are open.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
options:
  sysfs_root:
    description:
      - Where sysfs is mounted. Interfaces, routes and processes are those of the running system all the same.
    type: path
    default: /sys
  vendor:
    description:
      - Return only functions of this vendor, four hex digits.
    type: str
  class_id:
    description:
      - Return only functions of this class, two hex digits, or class and subclass, four. Network functions have V(02).
    type: str
requirements:
  - iproute2
  - util-linux, where network interfaces are in other network namespaces
"""

EXAMPLES = r"""
- name: Look at all network functions
  nfv.fastpath.pci_info:
    class_id: "02"
  register: result

- name: Show PFs that could have VFs and that nobody uses
  ansible.builtin.debug:
    msg: "{{ result.devices | selectattr('sriov_totalvfs') | rejectattr('uses') | map(attribute='address') }}"
"""

RETURN = r"""
devices:
  description: The PCI functions, in the order of their addresses.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Domain, bus, device and function.
      type: str
      sample: "0000:81:00.0"
    vendor_id:
      description: Vendor, four lower-case hex digits, as are all ids.
      type: str
      sample: "8086"
    device_id:
      description: Device.
      type: str
      sample: "10c9"
    subsystem_vendor_id:
      description: Vendor of the board.
      type: str
      sample: "8086"
    subsystem_device_id:
      description: The board.
      type: str
      sample: "a03c"
    class_id:
      description: Class and subclass, four hex digits. Ethernet is V(0200).
      type: str
      sample: "0200"
    driver:
      description: The driver that is bound; null if none.
      type: str
      sample: igb
    driver_override:
      description: The only driver that may be bound; null if any may.
      type: str
      sample: vfio-pci
    numa_node:
      description: NUMA node; null where the kernel does not know.
      type: int
      sample: 1
    iommu_group:
      description: IOMMU group; null where no IOMMU is at work.
      type: int
      sample: 13
    sriov_totalvfs:
      description: How many VFs the function can have; null if it is no PF.
      type: int
      sample: 7
    sriov_numvfs:
      description: How many VFs it has; null if it is no PF.
      type: int
      sample: 2
    physfn:
      description: The PF of a VF; null if the function is no VF.
      type: str
      sample: "0000:81:00.0"
    vf_index:
      description: The index of a VF on its PF, from 0; null if the function is no VF.
      type: int
      sample: 0
    virtfns:
      description: Addresses of the VFs, in the order of their indexes.
      type: list
      elements: str
      sample: ["0000:81:10.0", "0000:81:10.2"]
    netdevs:
      description: Its network interfaces in this network namespace, those of virtio devices included.
      type: list
      elements: str
      sample: [ens1]
    vdpa_devices:
      description: vDPA devices that were made on it.
      type: list
      elements: str
      sample: [vdpa0]
    uses:
      description:
        - Who uses it. Empty if nobody does.
        - V(default-route), V(ssh) and V(address:IP) say that the node itself talks through it, also through interfaces
          that are stacked on it.
        - V(bridge:NAME), V(bond:NAME), V(team:NAME), V(vlan:NAME), V(macvlan:NAME), V(ipvlan:NAME), V(vrf:NAME),
          V(ovs:NAME) or another kind say what is stacked on one of its interfaces, at any height.
        - V(vfio:PID (COMMAND)), V(uio:PID (COMMAND)) and V(vhost-vdpa:PID (COMMAND)) name processes that have its
          device file open.
        - V(vdpa:NAME) is a vDPA device on it, V(netns:NAME) the network namespace that its interface is in,
          V(vf:ADDRESS) one of its VFs that is in use.
      type: list
      elements: str
      sample: ["default-route", "address:192.0.2.10", "bond:bond0"]
"""

import os
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._uses_discovery import discover_pci


def main() -> None:
    options = {
        "sysfs_root": {"type": "path", "default": "/sys"},
        "vendor": {"type": "str"},
        "class_id": {"type": "str"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    vendor = (module.params["vendor"] or "").lower()
    class_id = (module.params["class_id"] or "").lower()

    def devices() -> dict[str, object]:
        host = Host(sysfs_root=module.params["sysfs_root"])
        found = discover_pci(host, os.environ.get("SSH_CONNECTION", ""))
        wanted = [
            asdict(device)
            for device in found
            if vendor in ("", device.vendor_id) and (device.class_id or "").startswith(class_id)
        ]
        return {"changed": False, "devices": wanted}

    run_guarded(module, devices)


if __name__ == "__main__":
    main()
