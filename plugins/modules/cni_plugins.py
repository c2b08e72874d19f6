#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cni_plugins
short_description: CNI plugins on a node, each of them whole, checked, and given back
version_added: 0.1.0
description:
  - Places the plugins of a bundle that P(nfv.fastpath.cni_bundle#module) made. Each is checked and then takes its name
    in one step, so that nobody ever runs half of it, and a plugin that runs meanwhile is not disturbed.
  - A file that was there before is kept and given back, by O(state=absent) or when its plugin is no longer wanted. One
    that somebody changed since is left alone.
  - With O(state=absent), what O(daemons) left on the node goes, too. Their pods must be gone by then.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
  - nfv.fastpath.archive
options:
  bin_dir:
    description:
      - Where CNI plugins are.
    type: path
    default: /opt/cni/bin
  config_dir:
    description:
      - Where the configuration of networks is.
    type: path
    default: /etc/cni/net.d
  daemons:
    description:
      - What the collection runs on the node beside. This is kept on the node, so that O(state=absent) knows whose files
        they are; those of a Multus that others brought stay.
    type: list
    elements: str
    choices:
      - multus
      - whereabouts
    default: []
  state:
    description:
      - V(present) places the plugins, V(absent) gives back what was there before.
attributes:
  diff_mode:
    description: Returns checksums before and after.
"""

EXAMPLES = r"""
- name: Place CNI plugins
  nfv.fastpath.cni_plugins:
    bundle: "{{ made.manifest }}"
    archive: "{{ made.archive }}"

- name: Give back what was there before
  nfv.fastpath.cni_plugins:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: place_plugin
      target: /opt/cni/bin/sriov
      before: null
      after: 6d1f0c0f3d7a5be1f9f9a2c6f0f6f2f1d3e5b7c9a1b3d5f7e9c1a3b5d7f9e1c3
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
  description: Always false.
  returned: success
  type: bool
  sample: false
archive_needed:
  description: Whether nothing was done because the archive is not on the node. Never true after the action plugin.
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
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins_node import cni_result
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import ARCHIVE_OPTIONS, STATE_OPTIONS, run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARCHIVE_OPTIONS,
            "bin_dir": {"type": "path", "default": "/opt/cni/bin"},
            "config_dir": {"type": "path", "default": "/etc/cni/net.d"},
            "daemons": {"type": "list", "elements": "str", "choices": ["multus", "whereabouts"], "default": []},
            **STATE_OPTIONS,
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: cni_result(Host(), module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
