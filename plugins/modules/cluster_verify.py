#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_verify
short_description: Look at a cluster and compare it with the desired state of its nodes
version_added: 0.1.0
description:
  - Checks that nodes are ready and in service, offer the devices of their pools, and have the daemons that pods need;
    that networks are as wanted; and that every running pod has the networks that it asked for.
  - Changes nothing. What cannot be looked at is a failed check.
  - The number of requests does not depend on the number of nodes.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
  - nfv.fastpath.cluster
options:
  hosts:
    description:
      - Variables of all nodes, by inventory name. Only those that begin with C(fastpath_) are looked at.
    type: dict
    required: true
  nodes:
    description:
      - Inventory names of the nodes to be looked at.
    type: list
    elements: str
    required: true
  names:
    description:
      - Names of nodes in the cluster by inventory name, where they differ.
    type: dict
    default: {}
  multus:
    description:
      - Whether Multus of this collection must be ready on these nodes. The device plugin must be where a node has
        pools, whereabouts where a network takes its addresses from it.
    type: bool
    default: true
seealso:
  - module: nfv.fastpath.verify
"""

EXAMPLES = r"""
- name: Look at the cluster
  nfv.fastpath.cluster_verify:
    kubeconfig: /etc/kubernetes/admin.conf
    hosts: "{{ dict(nodes | zip(nodes | map('extract', hostvars))) | nfv.fastpath.cluster_variables }}"
    nodes: "{{ nodes }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
checks:
  description: Every check, passed and failed, as in M(nfv.fastpath.verify).
  returned: always
  type: list
  elements: dict
  sample:
    - id: cluster.allocatable
      layer: cluster
      target: node1 nfv.fastpath/igb_dpdk
      expected: 2
      seen: 2
      ok: true
      remedy: ""
failed_checks:
  description: How many checks failed.
  returned: always
  type: int
  sample: 0
node_facts:
  description: Number of nodes and versions of kubelets, for the report.
  returned: always
  type: dict
report_as:
  description: What the report calls it.
  returned: always
  type: str
  sample: cluster
scope:
  description: Always V(cluster).
  returned: always
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_verification import cluster_verification
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, connect
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    options: dict[str, Any] = {
        "hosts": {"type": "dict", "required": True},
        "nodes": {"type": "list", "elements": "str", "required": True},
        "names": {"type": "dict", "default": {}},
        "multus": {"type": "bool", "default": True},
    }
    module = AnsibleModule(argument_spec={**options, **CONNECTION_OPTIONS}, supports_check_mode=True)
    params = module.params

    def make() -> Kube:
        return Kube(connect(params["kubeconfig"], params["context"]), params["api_timeout"])

    run_guarded(module, lambda: cluster_verification(make, params))


if __name__ == "__main__":
    main()
