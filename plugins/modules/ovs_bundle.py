#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_bundle
short_description: Open vSwitch with DPDK on a node, from a bundle
version_added: 0.1.0
description:
  - Unpacks a bundle that M(nfv.fastpath.bundle) built below C(/opt/fastpath/openvswitch), and makes it current by one
    symbolic link. Going back to the bundle before is the same step, without copying anything.
  - Units with the distribution's names, in C(/etc/systemd/system), start the built daemons in place of packaged ones.
    Packages stay where they are. Commands are linked into C(/usr/local/bin).
  - A node whose CPU or C library does not fit the bundle, and a bundle whose Open vSwitch is not made for its DPDK, are
    refused before anything is copied. A bundle that does not start on the node never becomes current.
  - Daemons that run are stopped before the switch and started after it. The database is copied to
    C(/var/lib/fastpath/openvswitch) in between, since a daemon converts it to its own schema. Where none runs,
    M(nfv.fastpath.ovs_dpdk) starts them.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
  - nfv.fastpath.archive
options:
  bundle:
    description:
      - The manifest of the bundle. Needed for O(state=present).
  state:
    description:
      - V(present) brings the bundle about.
      - V(absent) removes it, and gives way to the packaged Open vSwitch where there is one.
  disruption_ok:
    description:
      - Consent to stop C(ovs-vswitchd) while it has ports, which takes their traffic away for some seconds.
attributes:
  diff_mode:
    description: Returns the bundle, files and links before and after.
  idempotent:
    description: A second run copies nothing, changes nothing and starts nothing.
seealso:
  - module: nfv.fastpath.bundle
  - module: nfv.fastpath.ovs_packages
"""

EXAMPLES = r"""
- name: Bring the Open vSwitch that was built on the builder
  nfv.fastpath.ovs_bundle:
    bundle: "{{ built.bundles.openvswitch.manifest }}"
    archive: "{{ brought.dest }}"

- name: Give way to the packaged one
  nfv.fastpath.ovs_bundle:
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
    - action: switch_bundle
      target: openvswitch
      before: null
      after: 3.6.3-5b1f0d4f3f0a7c11
      disruptive: false
      reason: ""
archive_needed:
  description: Whether the archive has to be brought first; never true at the end of a task.
  returned: success
  type: bool
  sample: false
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
from ansible_collections.nfv.fastpath.plugins.module_utils._module import ARCHIVE_OPTIONS, STATE_OPTIONS, run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_task import ovs_bundle_result


def main() -> None:
    module = AnsibleModule(argument_spec={**ARCHIVE_OPTIONS, **STATE_OPTIONS}, supports_check_mode=True)
    run_guarded(module, lambda: ovs_bundle_result(Host(), module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
