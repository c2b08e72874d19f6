#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: device_plugin
short_description: Which nodes of a cluster run the SR-IOV device plugin with which configuration
version_added: 0.1.0
description:
  - Computes the plugin's configuration for each node and puts nodes with the same one into a group, which is named by
    the configuration's checksum. Nodes that are not in O(members) keep the group that they have.
  - With O(assign=true), gives each node the label of its group, starts the plugin anew where it has to look again
    because devices changed, or because it started while devices were away that are back now, and waits until the nodes
    offer what it should have found. A plugin that has just started has a minute to register first.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.cluster
options:
  members:
    description:
      - What was found on nodes, by their names in the cluster, as P(nfv.fastpath.cluster_members#filter) gives it.
    type: dict
    default: {}
  state:
    description:
      - V(present) assigns groups, V(absent) removes them from all nodes.
    type: str
    choices:
      - present
      - absent
    default: present
  assign:
    description:
      - Whether to change nodes. Without, the module only says which groups there are to be.
    type: bool
    default: false
  wait_timeout:
    description:
      - Seconds until the nodes must offer their devices.
    type: int
    default: 300
attributes:
  diff_mode:
    description: Returns the groups of nodes that move, before and after.
"""

EXAMPLES = r"""
- name: Say which groups there are to be
  nfv.fastpath.device_plugin:
    kubeconfig: /etc/kubernetes/admin.conf
    members: "{{ dict(nodes | zip(nodes | map('extract', hostvars))) | nfv.fastpath.cluster_members('seen') }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
groups:
  description: Every group that has a node, with its configuration.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The value of the node label C(nfv.fastpath/device-plugin).
      type: str
      sample: 5b1f0d4f3f
    config:
      description: The text of the plugin's configuration file.
      type: str
    checksum:
      description: Its SHA-256.
      type: str
members:
  description: Nodes by group.
  returned: success
  type: dict
  sample: {5b1f0d4f3f: [node1, node2]}
operations:
  description: What was done to nodes, or in check mode would be done.
  returned: success
  type: list
  elements: dict
reboot_required:
  description: Always false.
  returned: success
  type: bool
reboot_reason:
  description: Always empty.
  returned: success
  type: str
disruptive:
  description: Always false. Pods that have devices keep them while the plugin starts anew.
  returned: success
  type: bool
scope:
  description: Always V(cluster).
  returned: success
  type: str
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_cluster import DevicePluginTask
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, connect
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    options: dict[str, Any] = {
        "members": {"type": "dict", "default": {}},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "assign": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": 300},
    }
    module = AnsibleModule(argument_spec={**options, **CONNECTION_OPTIONS}, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        kube = Kube(connect(params["kubeconfig"], params["context"]), params["api_timeout"])
        present = params["state"] == "present"
        task = DevicePluginTask(params["members"], present, params["assign"], params["wait_timeout"])
        result = task.result(kube, module.check_mode)
        for warning in result.pop("warnings_found"):
            module.warn(warning)
        return result

    run_guarded(module, work)


if __name__ == "__main__":
    main()
