#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_groups
short_description: Which nodes of a cluster run the node agent with which configuration
version_added: 0.1.0
description:
  - Computes the agent's configuration for each node and puts nodes with the same one into a group, which is named by
    the configuration's checksum. Nodes that are not in O(members) keep the group that they have.
  - With O(assign=true), gives each node the label of its group, puts the ports of its C(ovs) pools on it as an extended
    resource, and waits until the agents answer. With O(state=absent), takes both away and waits until the agents are
    gone.
  - A node whose agent starts anew takes the sockets from the pods that have some. Without O(disruption_ok) that is
    refused, and the pods are named.
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
      - V(present) assigns groups, V(absent) removes them.
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
  only:
    description:
      - The nodes that O(state=absent) is about, by their names in the cluster. By default all.
    type: list
    elements: str
    default: []
  disruption_ok:
    description:
      - Consent to take sockets from pods that have some.
    type: bool
    default: false
  kubelet_dir:
    description:
      - Where the kubelet keeps its state.
    type: path
    default: /var/lib/kubelet
  bin_dir:
    description:
      - Where CNI plugins are.
    type: path
    default: /opt/cni/bin
  wait_timeout:
    description:
      - Seconds until the agents must answer.
    type: int
    default: 300
attributes:
  diff_mode:
    description: Returns the groups of nodes that move, before and after.
"""

EXAMPLES = r"""
- name: Say which groups there are to be
  nfv.fastpath.agent_groups:
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
      description: The value of the node label C(nfv.fastpath/node-agent).
      type: str
      sample: 5b1f0d4f3f
    config:
      description: The text of the agent's configuration file.
      type: str
    needs:
      description: What the pod needs beside it, as JSON.
      type: str
    checksum:
      description: The SHA-256 of both.
      type: str
    devices:
      description: Whether the agent drives devices, for which its pod is privileged.
      type: bool
    ovs:
      description: Whether it makes ports of Open vSwitch.
      type: bool
    hugepages:
      description: The pod's limits of hugepages, by resource.
      type: dict
      sample: {hugepages-2Mi: 256Mi}
    probe:
      description: Where the kubelet asks whether the agent is alive and ready.
      type: dict
      sample: {host: 127.0.0.1, port: 9465}
members:
  description: Nodes by group.
  returned: success
  type: dict
  sample: {5b1f0d4f3f: [node1, node2]}
host_nics:
  description: Addresses of VFs, as M(nfv.fastpath.node_agent) takes them, by node; of nodes that ask for some.
  returned: success
  type: dict
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
  description: Always false. Where pods lose their sockets it is refused, or done with consent and said in a warning.
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
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_cluster import AgentGroupsTask
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_config import Folders
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, connect
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded

OPTIONS: dict[str, Any] = {
    "members": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "assign": {"type": "bool", "default": False},
    "only": {"type": "list", "elements": "str", "default": []},
    "disruption_ok": {"type": "bool", "default": False},
    "kubelet_dir": {"type": "path", "default": "/var/lib/kubelet"},
    "bin_dir": {"type": "path", "default": "/opt/cni/bin"},
    "wait_timeout": {"type": "int", "default": 300},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**OPTIONS, **CONNECTION_OPTIONS}, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        kube = Kube(connect(params["kubeconfig"], params["context"]), params["api_timeout"])
        task = AgentGroupsTask(
            members=params["members"],
            present=params["state"] == "present",
            assign=params["assign"],
            only=tuple(params["only"]),
            consent=params["disruption_ok"],
            wait_timeout=params["wait_timeout"],
            folders=Folders(params["kubelet_dir"], params["bin_dir"]),
        )
        result = task.result(kube, module.check_mode)
        for warning in result.pop("warnings_found"):
            module.warn(warning)
        return result

    run_guarded(module, work)


if __name__ == "__main__":
    main()
