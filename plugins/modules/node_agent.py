#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_agent
short_description: What the node agent needs on its node, and what it leaves there
version_added: 0.1.0
description:
  - Mounts C(/run/vdpa), where all sockets lie, now and at every boot before the kubelet, so that nothing on it follows
    a symbolic link. Writes C(/etc/fastpath/hostNic.json), where addresses are given to VFs.
  - With O(state=absent), also takes away the CNI plugins that the agent installed, and gives back those that they
    replaced; its records, and the folders that its pod made. The pod must be gone by then.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The agent's pools and programs, as in C(fastpath_node_agent). CPUs that the node has not are refused.
    type: raw
  bin_dir:
    description:
      - Where CNI plugins are.
    type: path
    default: /opt/cni/bin
  host_nic:
    description:
      - Addresses of VFs, a list of mappings with C(pciAddress), C(ipAddr), C(ipMask), and C(mac). Without it a file
        that the module wrote is removed, and one that somebody else wrote is left alone.
    type: list
    elements: dict
attributes:
  diff_mode:
    description: Returns the unit, the mount and the file of addresses before and after.
"""

EXAMPLES = r"""
- name: Prepare the node for its agent
  nfv.fastpath.node_agent:
    spec:
      pools:
        - {name: vdpa_a}

- name: Give back what was there before
  nfv.fastpath.node_agent:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: mount
      target: /run/vdpa
      before: {enabled: false, mounted: false}
      after: {enabled: true, mounted: true}
reboot_required:
  description: Always false.
  returned: success
  type: bool
reboot_reason:
  description: Always empty.
  returned: success
  type: str
disruptive:
  description: Always false.
  returned: success
  type: bool
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_node import AgentNodeConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    options: dict[str, Any] = {
        "spec": {"type": "raw"},
        "bin_dir": {"type": "path", "default": "/opt/cni/bin"},
        "host_nic": {"type": "list", "elements": "dict"},
    }
    module = AnsibleModule(argument_spec={**options, **STATE_OPTIONS}, supports_check_mode=True)
    params = module.params
    spec = {"agent": params["spec"], "bin_dir": params["bin_dir"], "host_nic": params["host_nic"]}
    run_concern(module, AgentNodeConcern(Host(), params["bin_dir"]), spec)


if __name__ == "__main__":
    main()
