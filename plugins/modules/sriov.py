#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: sriov
short_description: Bring about SR-IOV VFs, their drivers and attributes
version_added: 0.1.0
description:
  - Takes all PFs and VFs of a node in one structure and does the least that brings them about.
  - VFs are made while C(sriov_drivers_autoprobe) is off, so that no driver is bound only to be unbound again;
    afterwards it is as it was.
  - What was there before the first change is remembered on the node, and O(state=absent) gives back exactly that. The
    same goes for a PF that is no longer listed.
  - VFs that somebody uses are never removed nor taken from their driver, whatever the consent. The module then fails
    and says who uses them. A vDPA device that M(nfv.fastpath.vdpa) made is no use by itself; it goes with its VF.
  - Nothing is changed unless everything that is asked for can be done as far as can be known before; all reasons
    against it are told at once.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The PFs, a list of mappings with the keys C(pf), C(num_vfs), C(mtu), C(vfs) and C(in_use_ok).
      - C(pf) says which one, by C(address), C(netdev), C(mac), C(vendor), C(device) and C(numa_node); all that are
        given must match, and exactly one PF must. PCI and MAC addresses have to be quoted, since YAML reads some as
        numbers.
      - C(num_vfs) is how many VFs it has; a PF with any is set up administratively.
      - C(mtu) is the MTU of the PF.
      - C(in_use_ok) is consent to change a PF through which the node itself talks. Its link may be lost for a moment.
      - C(vfs) is a list of groups of VFs. Each has C(indexes), such as V(3), V(0-3), V("0,4-6") or a list of these.
      - C(driver) of a group is the name of a PCI driver, such as V(vfio-pci), V(uio_pci_generic), V(igb_uio) or
        V(igbvf); V(kernel), the default, for whichever the kernel has; V(null) to leave the VFs unbound.
      - C(pool) of a group names the resource of the SR-IOV device plugin that the VFs go to. The node does not need it.
      - C(mac) or C(macs), C(vlan) with C(qos), C(trust), C(spoofchk), C(min_rate), C(max_rate) in Mbit/s and
        C(link_state) of a group are set through the PF. What is not given is left alone; C(vlan=0) removes a VLAN.
      - VFs in no group have the kernel's driver.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  noiommu_ok:
    description:
      - Consent to V(vfio-pci) without an IOMMU, by VFIO's unsafe mode. A program with such a VF can read and write all
        memory of the node.
    type: bool
    default: false
  disruption_ok:
    description:
      - Consent to remove VFs that nobody uses where their number changes, since the kernel can only remove all of them
        and make others, to load a driver anew that takes C(max_vfs) only then, and to change attributes of VFs in use.
  coming_drivers:
    description:
      - Drivers that something else in the same run installs before this, such as C(igb_uio) by M(nfv.fastpath.dpdk). In
        check mode they need not be there yet. Has no meaning otherwise.
    type: list
    elements: str
    default: []
requirements:
  - iproute2
  - kmod
attributes:
  diff_mode:
    description: Returns the PFs before and after.
"""

EXAMPLES = r"""
- name: Seven VFs, two of them for DPDK, four with a VLAN, one left unbound
  nfv.fastpath.sriov:
    spec:
      - pf: {vendor: "8086", device: "10c9", numa_node: 1}
        num_vfs: 7
        vfs:
          - {indexes: 0-1, driver: vfio-pci, pool: igb_dpdk}
          - {indexes: 2-5, driver: igbvf, pool: igb_kernel, vlan: 100, trust: true}
          - {indexes: 6, driver: null}

- name: Another number of VFs, now that nobody uses them
  nfv.fastpath.sriov:
    spec:
      - pf: {address: "0000:81:00.0"}
        num_vfs: 4
    disruption_ok: true

- name: Give back what was there before
  nfv.fastpath.sriov:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - {action: set_numvfs, target: "0000:81:00.0", before: 0, after: 7, disruptive: false, reason: ""}
reboot_required:
  description: Whether the node has to reboot; always false here.
  returned: success
  type: bool
  sample: false
reboot_reason:
  description: Always empty here.
  returned: success
  type: str
  sample: ""
disruptive:
  description: Whether an operation disrupts running users.
  returned: success
  type: bool
  sample: false
problems:
  description: Everything that is wrong with the request, each with variable, value and message.
  returned: when the request is refused
  type: list
  elements: dict
  sample:
    - variable: fastpath_sriov[0].num_vfs
      value: 8
      message: 0000:81:00.0 (8086:10c9, ens1, NUMA node 1) supports 7 VFs (sriov_totalvfs)
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern


def main() -> None:
    options = {
        "spec": {"type": "raw"},
        "noiommu_ok": {"type": "bool", "default": False},
        "coming_drivers": {"type": "list", "elements": "str", "default": []},
        **STATE_OPTIONS,
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    concern = SriovConcern(Host(), ssh_connection=os.environ.get("SSH_CONNECTION", ""))
    spec = {"pfs": module.params["spec"], "noiommu_ok": module.params["noiommu_ok"]}
    ahead = {"coming_drivers": module.params["coming_drivers"]} if module.check_mode else {}
    run_concern(module, concern, {**spec, **ahead})


if __name__ == "__main__":
    main()
