#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kube_tools
short_description: Place kubelet, kubeadm and kubectl out of an archive
version_added: 0.1.0
description:
  - Places the programs of a bundle that M(nfv.fastpath.cni_bundle) made. Each is checked and then takes its name in one
    step.
  - A file that was there before is kept and given back.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
  - nfv.fastpath.archive
options:
  bin_dir:
    description:
      - Where the programs go.
    type: path
    default: /usr/local/bin
  state:
    description:
      - V(present) places the programs, V(absent) gives back what was there before.
attributes:
  diff_mode:
    description: Returns checksums before and after.
"""

EXAMPLES = r"""
- name: Place the programs
  nfv.fastpath.kube_tools:
    bundle: "{{ made.manifest }}"
    archive: "{{ made.archive }}"
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: place_plugin
      target: /usr/local/bin/kubelet
      before: null
      after: 6d1f
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
archive_needed:
  description: Whether nothing was done because the archive is not on the node. Never true after the action plugin.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_tools_node import kube_tools_result
from ansible_collections.nfv.fastpath.plugins.module_utils._module import ARCHIVE_OPTIONS, STATE_OPTIONS, run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARCHIVE_OPTIONS,
            "bin_dir": {"type": "path", "default": "/usr/local/bin"},
            **STATE_OPTIONS,
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: kube_tools_result(Host(), module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
