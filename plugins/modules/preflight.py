#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find every reason not to start on a node, before anything is changed
version_added: 0.1.0
description:
  - Reads what the node is and has, meets it with the whole desired state, and fails with every problem at once.
  - O(sriov) and O(vdpa) are compared, also where they name a PF by different words.
  - Changes nothing, with and without check mode.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
  - nfv.fastpath.desired
options:
  variables:
    description:
      - Names of the variables that are set for the node and begin with C(fastpath_).
      - One that this collection does not know is a problem, since it is nearly always a typing error.
    type: list
    elements: str
    default: []
  known_variables:
    description:
      - Further names that are right, for variables of your own with that prefix.
    type: list
    elements: str
    default: []
  disruption_ok:
    description:
      - Consent to changes that running users would notice. Without it such a change is a problem.
    type: bool
    default: false
  drain_first:
    description:
      - Whether users are moved away before anything is changed that they would notice. Then neither they nor missing
        consent is a problem here, and RV(disrupts) says what there is to ask consent for.
    type: bool
    default: false
seealso:
  - module: nfv.fastpath.pci_info
"""

EXAMPLES = r"""
- name: Refuse what cannot work or would cut the node off
  nfv.fastpath.preflight:
    kernel_args: {iommu: passthrough}
    sriov:
      - pf: {netdev: ens1f0}
        num_vfs: 4
        vfs:
          - {indexes: 0-3, driver: vfio-pci, pool: dpdk}
    variables: "{{ query('ansible.builtin.varnames', '^fastpath_') }}"
"""

RETURN = r"""
node_facts:
  description: What the node is, for reports.
  returned: always
  type: dict
  sample: {kernel: 6.12.48+deb13-amd64, numa_nodes: [0, 1], boot_loader: grub}
devices:
  description: All PCI functions that are VFs or can have VFs, as in M(nfv.fastpath.pci_info) but without their users.
  returned: always
  type: list
  elements: dict
problems:
  description: Every problem with its variable, the value that stands there, and what would be right.
  returned: on failure
  type: list
  elements: dict
  sample: [{variable: "fastpath_sriov[0].num_vfs", value: 8, message: "is more than 0000:81:00.0 has"}]
disrupts:
  description: What running users would notice, and why.
  returned: success
  type: list
  elements: str
in_use:
  description: Whether devices that would change are in use. Only ever true with O(drain_first=true).
  returned: success
  type: bool
reboot_reasons:
  description: Why the node would have to reboot, by concern; reasons of former runs that still stand are among them.
  returned: success
  type: dict
needs_reboot_first:
  description: Whether VFs can get their drivers only after a reboot that switches the IOMMU on.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import AHEAD
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import DESIRED_OPTIONS, run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._preflight_node import preflight_node


def main() -> None:
    names = {"type": "list", "elements": "str", "default": []}
    flag = {"type": "bool", "default": False}
    module = AnsibleModule(
        argument_spec={
            **DESIRED_OPTIONS,
            "variables": names,
            "known_variables": names,
            "disruption_ok": flag,
            "drain_first": flag,
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: preflight_node(Host(), module.params, AHEAD))


if __name__ == "__main__":
    main()
