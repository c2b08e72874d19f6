#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: member_info
short_description: What a node brings to its cluster
version_added: 0.1.0
description:
  - Finds the devices of each pool on a node, with all that a device plugin would find out about them.
  - Waits until Multus answers, where that is asked for.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
options:
  sriov:
    description:
      - The PFs and their VFs, as O(nfv.fastpath.sriov#module:spec) takes them.
    type: raw
  vdpa:
    description:
      - The vDPA devices, as in C(fastpath_vdpa).
    type: raw
  multus:
    description:
      - Which Multus the node must have before the module ends. V(any) is one that others brought, thick or thin. With
        V(none) nobody looks.
    type: str
    choices:
      - none
      - thick
      - thin
      - any
    default: none
  cni_bin_dir:
    description:
      - Where CNI plugins are.
    type: path
    default: /opt/cni/bin
  cni_config_dir:
    description:
      - Where the configuration of networks is.
    type: path
    default: /etc/cni/net.d
  wait_timeout:
    description:
      - Seconds that Multus may take.
    type: int
    default: 120
requirements:
  - iproute2
attributes:
  check_mode:
    description: Can run in check mode and return the same. It does not wait for Multus then, since nobody brings it.
"""

EXAMPLES = r"""
- name: Look at the devices of all pools
  nfv.fastpath.member_info:
    sriov: "{{ fastpath_sriov }}"
  register: member

- name: Show the configuration that a device plugin gets
  ansible.builtin.debug:
    msg: "{{ member.devices | nfv.fastpath.device_plugin_config }}"
"""

RETURN = r"""
devices:
  description: Parts of pools, each with the VFs of one PF.
  returned: success
  type: list
  elements: dict
  contains:
    pool:
      description: The pool.
      type: str
      sample: igb_dpdk
    pf:
      description: The PF's address.
      type: str
      sample: "0000:81:00.0"
    indexes:
      description: Indexes of the VFs.
      type: list
      elements: int
      sample: [0, 1]
    driver:
      description: Their driver as the spec has it; V(kernel) for the device's own.
      type: str
      sample: vfio-pci
    vdpa:
      description: V(vhost) or V(virtio) for vDPA devices, null for plain VFs.
      type: str
    variable:
      description: Where it stands in the spec.
      type: str
      sample: "fastpath_sriov[0].vfs[0]"
    state:
      description: The VFs as they are, with driver, NUMA node, IOMMU group and vDPA devices.
      type: list
      elements: dict
fingerprint:
  description: Changes with anything that a device plugin finds out at its start.
  returned: success
  type: str
  sample: 5b1f0d4f3f0a7c11
boot_id:
  description: The kernel's identifier of this boot.
  returned: success
  type: str
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._member import member
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "sriov": {"type": "raw"},
            "vdpa": {"type": "raw"},
            "multus": {"type": "str", "choices": ["none", "thick", "thin", "any"], "default": "none"},
            "cni_bin_dir": {"type": "path", "default": "/opt/cni/bin"},
            "cni_config_dir": {"type": "path", "default": "/etc/cni/net.d"},
            "wait_timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: member(Host(), module.params, module.check_mode))


if __name__ == "__main__":
    main()
