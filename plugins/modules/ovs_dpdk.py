#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_dpdk
short_description: Bring about Open vSwitch with DPDK, its bridges and ports
version_added: 0.1.0
description:
  - Takes the whole state of Open vSwitch on a node in one structure, reads the database once and commits what differs
    in one transaction.
  - Nothing is changed unless everything that is asked for fits the node. All reasons against it are told at once. What
    is checked is that the memory for DPDK fits the free hugepages of each NUMA node, that CPUs exist, that devices are
    bound to a driver that DPDK can use and are not in use elsewhere, and that Open vSwitch and DPDK belong together.
  - Then it waits until C(ovs-vswitchd) took the change over, and fails with what its log says where it could not. The
    former configuration is then restored.
  - Bridges and ports that the module makes carry a mark. Others stay. Of those that others made, and that are named in
    O(spec), only what is given is changed, and given back once it is no longer given.
  - A drop-in for C(ovs-vswitchd.service) orders it after the units that bring VFs and hugepages at boot.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The desired state, a mapping with the keys C(other_config), C(raw_other_config) and C(bridges).
      - Keys of C(other_config) have the names that Open vSwitch gives them. C(pmd-cpu-mask) and C(dpdk-lcore-mask) take
        lists of CPUs such as V(2-3,6); C(dpdk-socket-mem) takes MiB by NUMA node, a mapping or a
        list such as V([1024, 0]).
        A key without a value is removed. All keys are in the collection's guide.
      - C(raw_other_config) takes keys that are not in that table, with texts as values.
      - C(bridges) is a list with C(name), C(datapath_type) (V(netdev)), C(fail_mode), C(protocols), C(controllers),
        C(mac), C(mtu), C(flows), C(other_config), C(external_ids) and C(ports).
      - C(ports) is a list with C(name), C(type), and as the type needs it C(pci) or C(vf) (C(pf) and C(index)),
        C(socket) or C(peer); further C(n_rxq), C(pmd_rxq_affinity), C(mtu_request), C(ofport_request), C(tag),
        C(trunks), C(vlan_mode), C(options), C(other_config) and C(external_ids).
      - A port of the type V(bond) has C(members), C(bond_mode), C(lacp) and C(port_other_config).
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  disruption_ok:
    description:
      - Consent to restart C(ovs-vswitchd) while it has ports, which takes their traffic away for some seconds, and to
        remove a bridge on which others put ports.
  timeout:
    description:
      - Seconds that C(ovs-vswitchd) has to take a change over.
    type: int
    default: 60
requirements:
  - Open vSwitch >= 2.11
attributes:
  check_mode:
    details: Hugepages, VFs and drivers that other roles would bring about are then asked for by warnings.
  diff_mode:
    description: Returns each cell of the database before and after.
seealso:
  - module: nfv.fastpath.ovs_packages
  - module: nfv.fastpath.sriov
"""

EXAMPLES = r"""
- name: A bridge with a VF and a vhost-user port
  nfv.fastpath.ovs_dpdk:
    spec:
      other_config:
        dpdk-init: true
        dpdk-socket-mem: {0: 1024, 1: 1024}
        pmd-cpu-mask: "2-3"
        max-idle: 30000
      bridges:
        - name: br0
          ports:
            - name: dpdk0
              type: dpdk
              vf: {pf: {netdev: ens1f0}, index: 6}
              n_rxq: 2
            - name: vhost0
              type: dpdkvhostuserclient
              socket: /run/vhost/vhost0.sock

- name: Give back what was there before
  nfv.fastpath.ovs_dpdk:
    state: absent
    disruption_ok: true
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: set
      target: "Open_vSwitch/./other_config:max-idle"
      before: null
      after: "30000"
      disruptive: false
      reason: ""
reboot_required:
  description: Whether a reboot is needed; never for this module.
  returned: success
  type: bool
  sample: false
reboot_reason:
  description: Always empty for this module.
  returned: success
  type: str
  sample: ""
disruptive:
  description: Whether an operation disrupts running users.
  returned: success
  type: bool
  sample: false
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
interface_errors:
  description: What C(ovs-vswitchd) says of interfaces that it could not make, by name.
  returned: when interfaces could not be made
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern


def main() -> None:
    module = AnsibleModule(
        argument_spec={"spec": {"type": "raw"}, "timeout": {"type": "int", "default": 60}, **STATE_OPTIONS},
        supports_check_mode=True,
    )
    concern = OvsDpdkConcern(Host(), timeout=module.params["timeout"], looking_ahead=module.check_mode)
    run_concern(module, concern, module.params["spec"])


if __name__ == "__main__":
    main()
