#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_packages
short_description: Install Open vSwitch with DPDK from the packages of Debian or Ubuntu
version_added: 0.1.0
description:
  - Installs C(openvswitch-switch-dpdk) and the plugins of DPDK that the node's network functions need. Which ones
    follows from their PCI ids. Recommended packages, which would be all plugins, are not installed.
  - Selects the build with DPDK as C(ovs-vswitchd). What was selected before is remembered.
  - Copies the database to C(/var/lib/fastpath/openvswitch) before packages are installed over an Open vSwitch that is
    there already.
  - Takes the place of a build that M(nfv.fastpath.ovs_bundle) brought. Both daemons are then stopped and started again.
  - Otherwise C(ovs-vswitchd) is not restarted for the selection; M(nfv.fastpath.ovs_dpdk) does that together with its
    changes.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  ovs:
    description:
      - The desired state as M(nfv.fastpath.ovs_dpdk) takes it. Virtual devices in it may need further plugins.
    type: raw
  upgrade:
    description:
      - Install newer packages where the node's package sources have them.
    type: bool
    default: false
  remove_packages:
    description:
      - With O(state=absent), remove the packages that were not there before, and C(/etc/openvswitch) with them if that
        was not there either.
    type: bool
    default: false
  state:
    description:
      - V(present) brings the packages about.
      - V(absent) selects the program that was selected before.
  disruption_ok:
    description:
      - Consent to what restarts C(ovs-vswitchd) while it has ports, which are upgrades and the way back.
requirements:
  - Debian or Ubuntu
attributes:
  diff_mode:
    description: Returns packages and the selected program before and after.
seealso:
  - module: nfv.fastpath.ovs_bundle
  - module: nfv.fastpath.ovs_dpdk
"""

EXAMPLES = r"""
- name: Install Open vSwitch with DPDK
  nfv.fastpath.ovs_packages:
    ovs: "{{ fastpath_ovs }}"

- name: Select the former program again, and remove what was installed
  nfv.fastpath.ovs_packages:
    state: absent
    remove_packages: true
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: install_packages
      target: apt
      before: null
      after: {packages: [openvswitch-switch-dpdk, "librte-net-e1000*"], version: null}
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_task import ovs_packages_result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ovs": {"type": "raw"},
            "upgrade": {"type": "bool", "default": False},
            "remove_packages": {"type": "bool", "default": False},
            **STATE_OPTIONS,
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: ovs_packages_result(Host(), module.params, module.check_mode))


if __name__ == "__main__":
    main()
