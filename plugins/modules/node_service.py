#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_service
short_description: Take a node of a cluster out of service and bring it back
version_added: 0.1.0
description:
  - With O(state=out), cordons the node, gives it the taint C(nfv.fastpath/not-ready), writes down why, and evicts pods.
    All evictions are asked for at once, and again where a disruption budget holds one back, until none is left.
  - With O(state=back), waits until the node is ready, its kubelet knows of the present boot, all devices are
    offered and the daemons that pods need are ready. Then pods may come again. A node that somebody else had
    cordoned before stays cordoned.
  - Where either fails, and with O(state=failed), the reason stands in the annotation C(nfv.fastpath/rollout-reason) and
    the node stays out. A later run goes on from there.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.cluster
options:
  node:
    description:
      - Its name in the cluster.
    type: str
    required: true
  state:
    description:
      - Where the node is to be. V(failed) only writes down why it stays out, and nothing where it is in service.
    type: str
    choices:
      - out
      - back
      - failed
    required: true
  reason:
    description:
      - Why, for people who look at the node.
    type: str
    default: ""
  consent:
    description:
      - Whether pods may be moved away. Without, O(state=out) changes nothing and fails with their names. Pods of
        daemons and of the kubelet stay where they are and need none.
    type: bool
    default: true
  disruptive:
    description:
      - Whether others than pods may notice what comes. It needs O(consent) even where no pod would have to leave.
    type: bool
    default: true
  if_needed:
    description:
      - Whether O(state=out) leaves the node in service where no pod would have to leave.
    type: bool
    default: false
  scope:
    description:
      - V(node) moves all pods away, V(devices) only those that hold O(resources).
    type: str
    choices:
      - node
      - devices
    default: node
  resources:
    description:
      - Names of resources that pods may hold, beside all that the collection's device plugin offers.
    type: list
    elements: str
    default: []
  unmanaged_ok:
    description:
      - Consent to lose pods that no controller would make anew.
    type: bool
    default: false
  local_data_ok:
    description:
      - Consent to lose files that pods have in folders of their own (C(emptyDir)). Those in memory do not count.
    type: bool
    default: false
  drain_timeout:
    description:
      - Seconds until the node must be empty.
    type: int
    default: 300
  expected:
    description:
      - How many devices of each resource the node must offer before it is back.
    type: dict
    default: {}
  boot_id:
    description:
      - Identifier of the boot that the cluster must know of, since the API server still tells of the former one for a
        while.
    type: str
  wait_timeout:
    description:
      - Seconds until the node must be able to serve.
    type: int
    default: 300
  joins:
    description:
      - Whether the node joins in this run. In check mode it did not, and the cluster need not know it.
    type: bool
    default: false
  gone_ok:
    description:
      - Whether there is nothing to do, with a warning, for a node that the cluster does not know. Otherwise it is
        refused.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and return what would be changed. It waits for nothing then.
  diff_mode:
    description: The operations say what changes.
    support: none
seealso:
  - module: kubernetes.core.k8s_drain
"""

EXAMPLES = r"""
- name: Take a node out of service
  nfv.fastpath.node_service:
    kubeconfig: /etc/kubernetes/admin.conf
    node: worker1
    state: out
    reason: other VFs
    resources: [nfv.fastpath/igb_dpdk]
  delegate_to: localhost

- name: Bring it back when it offers its devices
  nfv.fastpath.node_service:
    kubeconfig: /etc/kubernetes/admin.conf
    node: worker1
    state: back
    expected: {nfv.fastpath/igb_dpdk: 4}
  delegate_to: localhost
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: evict
      target: apps/l2fwd-7d4b9
      before: null
      after: null
      disruptive: false
      reason: ""
holders:
  description: Pods that hold devices, with how many and, as far as their networks tell, which.
  returned: always
  type: list
  elements: str
  sample: ["apps/l2fwd-7d4b9 (2 x nfv.fastpath/igb_dpdk: 0000:81:10.0, 0000:81:10.2)"]
waits:
  description: Pods whose disruption budget allows no eviction just now.
  returned: success
  type: list
  elements: str
emptied:
  description: Whether all pods that can leave have left, or in check mode would.
  returned: with O(state=out)
  type: bool
dry_run:
  description: Whether this was check mode.
  returned: success
  type: bool
reboot_required:
  description: Always false.
  returned: success
  type: bool
reboot_reason:
  description: Always empty.
  returned: success
  type: str
disruptive:
  description: Always false. Moving pods is what keeps the changes after it from disrupting them.
  returned: success
  type: bool
unmet:
  description: What is missing.
  returned: when waiting was in vain
  type: list
  elements: str
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, connect
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._node_service import service_result

OPTIONS: dict[str, Any] = {
    "node": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["out", "back", "failed"], "required": True},
    "reason": {"type": "str", "default": ""},
    "consent": {"type": "bool", "default": True},
    "disruptive": {"type": "bool", "default": True},
    "if_needed": {"type": "bool", "default": False},
    "scope": {"type": "str", "choices": ["node", "devices"], "default": "node"},
    "resources": {"type": "list", "elements": "str", "default": []},
    "unmanaged_ok": {"type": "bool", "default": False},
    "local_data_ok": {"type": "bool", "default": False},
    "drain_timeout": {"type": "int", "default": 300},
    "expected": {"type": "dict", "default": {}},
    "boot_id": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 300},
    "joins": {"type": "bool", "default": False},
    "gone_ok": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(argument_spec={**OPTIONS, **CONNECTION_OPTIONS}, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        kube = Kube(connect(params["kubeconfig"], params["context"]), params["api_timeout"])
        result = service_result(kube, params, module.check_mode)
        for warning in result.pop("warnings_found"):
            module.warn(warning)
        return result

    run_guarded(module, work)


if __name__ == "__main__":
    main()
