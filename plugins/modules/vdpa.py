#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: vdpa
short_description: Bring about vDPA devices of the kernel
version_added: 0.1.0
description:
  - Takes all vDPA devices of a node in one structure, makes what is missing through the tool C(vdpa), gives each its
    bus driver, and removes devices that it made and that are no longer listed.
  - The VFs below and their PCI drivers belong to M(nfv.fastpath.sriov), which is to run before. This module never binds
    a PCI function.
  - Devices that somebody uses are never removed nor taken from their bus driver, whatever the consent. The module then
    fails and says who uses them.
  - Devices that others made are left alone. One that is named in O(spec) and fits is taken as it is; at most its bus
    driver is set, and given back later.
  - Nothing is changed unless everything that is asked for can be done as far as can be known before; all reasons
    against it are told at once.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The devices, a list of mappings.
      - C(pf) says on which PF, as for M(nfv.fastpath.sriov), and C(indexes) on which of its VFs, such as V(3), V(0-3)
        or V("0,4-6"). Without C(indexes) the device is made on the function itself.
      - C(mgmtdev) names, in place of C(pf), a management device that is no PCI function, such as V(vduse); C(name) is
        then needed. With V(vduse) it is the name under which a program offers the device.
      - C(bus) is V(vhost_vdpa), the default, for a device file that programs open, or V(virtio_vdpa) for a network
        interface.
      - C(mac), or C(macs) with one for each VF, C(mtu), C(max_vqp) (pairs of queues) and C(features) are what devices
        are made with, as far as their hardware takes it; C(vp-vdpa) takes features only. What is not given is left
        alone.
      - C(features) is a list of names as C(vdpa mgmtdev show) prints them, or a mask such as V("0x300000020").
      - C(name) is the name of one device. By default it follows from the address of the PF and the index of the VF.
      - C(pool) names the resource of the SR-IOV device plugin that the devices go to. The node does not need it. Only
        devices on VFs can have one.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  sriov:
    description:
      - What M(nfv.fastpath.sriov) is given in the same run, as its O(nfv.fastpath.sriov#module:spec) takes it. Only
        check mode looks at it, to foresee which VFs there will be, with which drivers, and which devices go before.
    type: raw
  disruption_ok:
    description:
      - Consent to make a device anew that has other attributes, since the kernel cannot change them, and to give a
        device another bus driver. Nobody has it open then, but a pod may be about to.
requirements:
  - iproute2 with the tool vdpa
  - kmod
attributes:
  check_mode:
    description: Can run in check mode and return what would be changed. VFs may be missing then, or still have another
      driver, since M(nfv.fastpath.sriov) has its turn before; a warning says so. With O(sriov) it is known what becomes
      of them.
  diff_mode:
    description: Returns the devices before and after.
seealso:
  - module: nfv.fastpath.sriov
"""

EXAMPLES = r"""
- name: Two devices for pods, on VFs that the role sriov gave the driver vp-vdpa
  nfv.fastpath.vdpa:
    spec:
      - {pf: {address: "0000:02:00.0"}, indexes: 0-1, bus: vhost_vdpa, pool: vdpa_vhost}

- name: A network interface with an address, an MTU and four pairs of queues on a ConnectX VF
  nfv.fastpath.vdpa:
    spec:
      - {pf: {netdev: ens1f0np0}, indexes: 2, bus: virtio_vdpa, mac: "02:00:00:00:00:02", mtu: 9000, max_vqp: 4}

- name: A device that a program on the node offers
  nfv.fastpath.vdpa:
    spec:
      - {mgmtdev: vduse, name: vduse0}

- name: Remove what was made
  nfv.fastpath.vdpa:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: add_device
      target: vdpa-0000-02-00.0-vf0
      before:
      after: {mgmtdev: "pci/0000:02:00.1"}
      disruptive: false
      reason: ""
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
    - variable: fastpath_vdpa[0].mac
      value: "02:00:00:00:00:02"
      message: "cannot be set by vp-vdpa of 0000:02:00.0 vf 0, whose hardware decides on it: leave it out"
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern


def main() -> None:
    options = {"spec": {"type": "raw"}, "sriov": {"type": "raw"}, **STATE_OPTIONS}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    connection = os.environ.get("SSH_CONNECTION", "")
    concern = VdpaConcern(Host(), ssh_connection=connection, looking_ahead=module.check_mode)
    run_concern(module, concern, {"devices": module.params["spec"], "sriov": module.params["sriov"]})


if __name__ == "__main__":
    main()
