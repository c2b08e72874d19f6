#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_packages
short_description: Packages of the distribution that a role needs
version_added: 0.1.0
description:
  - Installs each package whose program is not on the node yet. A program that somebody put there by other means is
    enough.
  - What was installed, with all that came along by dependency, is remembered.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  purpose:
    description:
      - What the packages are for. Each purpose has its own memory.
    type: str
    required: true
    choices:
      - container_runtime
      - kubernetes
  packages:
    description:
      - Packages by the program for whose sake each is wanted. A version may follow after C(=), as apt takes it.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  remove_packages:
    description:
      - With O(state=absent), remove the packages that were not there before.
    type: bool
    default: false
  state:
    description:
      - V(present) installs what is missing, V(absent) forgets what was installed.
      - With O(remove_packages=true) it is removed then.
requirements:
  - apt or dnf, where anything is missing
attributes:
  diff_mode:
    description: Returns packages before and after.
"""

EXAMPLES = r"""
- name: containerd, unless it is there
  nfv.fastpath.node_packages:
    purpose: container_runtime
    packages:
      containerd: containerd
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
      after: [containerd]
      disruptive: false
      reason: ""
reboot_required:
  description: Always false.
  returned: success
  type: bool
  sample: false
reboot_reason:
  description: Always empty.
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
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern
from ansible_collections.nfv.fastpath.plugins.module_utils._node_packages import SETS, PackagesConcern


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "purpose": {"type": "str", "required": True, "choices": list(SETS)},
            "packages": {"type": "raw"},
            "remove_packages": {"type": "bool", "default": False},
            **STATE_OPTIONS,
        },
        supports_check_mode=True,
    )
    concern = PackagesConcern(Host(), module.params["purpose"], module.params["remove_packages"])
    run_concern(module, concern, module.params["packages"] or {})


if __name__ == "__main__":
    main()
