#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_engine
short_description: Install what brings hugepages and VFs back at boot
version_added: 0.1.0
description:
  - Installs one file, C(/usr/libexec/fastpath/fastpath-node), which is this collection's own engine without
    Ansible, and the units C(fastpath-hugepages.service), C(fastpath-sriov.service) and C(fastpath-vdpa.service)
    that run it at boot.
  - The units do nothing on a node where the modules have not written a desired state to C(/etc/fastpath).
  - They are enabled, not started. What they bring back was just brought about by the modules.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  interpreter:
    description:
      - The Python that runs the engine, 3.9 or newer. Nothing but its standard library is used.
    type: path
    default: /usr/bin/python3
  state:
    description:
      - V(present) installs the engine.
      - V(absent) removes it, once no other concern has a desired state on the node. Until then nothing is changed,
        so the engine is the last to go, whatever the order of the roles.
attributes:
  diff_mode:
    description: Returns files by checksum and mode, and the enabled units, before and after.
seealso:
  - module: nfv.fastpath.hugepages
  - module: nfv.fastpath.sriov
"""

EXAMPLES = r"""
- name: Bring pages and VFs back at every boot
  nfv.fastpath.boot_engine:

- name: Remove the engine from a node that is given back
  nfv.fastpath.boot_engine:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - {action: enable_unit, target: fastpath-sriov.service, before: false, after: true, disruptive: false, reason: ""}
reboot_required:
  description: Whether a reboot is needed; always false here.
  returned: success
  type: bool
  sample: false
reboot_reason:
  description: Always empty here.
  returned: success
  type: str
  sample: ""
disruptive:
  description: Whether an operation disrupts running users; always false here.
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
from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine import BootEngineConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Plan


def main() -> None:
    module = AnsibleModule(
        argument_spec={"interpreter": {"type": "path", "default": "/usr/bin/python3"}, **STATE_OPTIONS},
        supports_check_mode=True,
    )
    concern = BootEngineConcern(Host())
    if module.params["state"] == "absent" and concern.needed_by():
        module.exit_json(**Plan().result())
    run_concern(module, concern, {"interpreter": module.params["interpreter"]})


if __name__ == "__main__":
    main()
