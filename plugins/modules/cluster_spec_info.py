#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_spec_info
short_description: What the variables of nodes mean for their cluster
version_added: 0.1.0
description:
  - Joins what all nodes say of pools and networks, and fails with every problem at once where it cannot be, such as a
    network whose pool no node has, two pools that claim one VF, two nodes of one name, or a key that nobody would read.
  - Asks neither nodes nor the cluster.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
options:
  hosts:
    description:
      - Variables of all nodes by inventory name, as P(nfv.fastpath.cluster_variables#filter) gives them.
    type: dict
    required: true
  seen:
    description:
      - Variables by inventory name as the task itself sees them, in the form of O(hosts).
      - One that differs from O(hosts) is set where other nodes do not see it, such as in a play, and is refused.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look at what the cluster is to have
  nfv.fastpath.cluster_spec_info:
    hosts: "{{ dict(nodes | zip(nodes | map('extract', hostvars))) | nfv.fastpath.cluster_variables }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
resources:
  description: The Kubernetes resource by pool.
  returned: success
  type: dict
  sample: {igb_dpdk: nfv.fastpath/igb_dpdk}
allocatable:
  description: How many devices of each resource nodes shall have, by node, where the number is known.
  returned: success
  type: dict
  sample: {node1: {nfv.fastpath/igb_dpdk: 2}}
definitions:
  description: The NetworkAttachmentDefinitions.
  returned: success
  type: list
  elements: dict
plugins:
  description: Names of the CNI plugins that the networks need.
  returned: success
  type: list
  elements: str
  sample: [sriov, whereabouts]
problems:
  description: Every problem with its variable, the value that stands there, and what would be right.
  returned: on failure
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_spec import ClusterSpec
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    options: dict[str, Any] = {"hosts": {"type": "dict", "required": True}, "seen": {"type": "dict", "default": {}}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)

    def work() -> dict[str, Any]:
        spec = ClusterSpec(module.params["hosts"], module.params["seen"])
        result = spec.result()
        for warning in spec.warnings:
            module.warn(warning)
        return result

    run_guarded(module, work)


if __name__ == "__main__":
    main()
