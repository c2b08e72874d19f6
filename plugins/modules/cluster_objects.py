#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_objects
short_description: Objects of one component in a cluster, applied where they differ, removed when not asked for
version_added: 0.1.0
description:
  - Compares the objects of one component with those in the cluster, then applies what differs in one call of
    M(kubernetes.core.k8s), server-side, and removes what was made before and is no longer asked for.
  - Objects carry labels that say whose they are. One that others made is never changed or removed; where it has the
    name of one of ours, all is refused before anything is changed. Definitions of kinds are the exception, since
    they are standards. They are used as they are.
  - Where nothing differs nothing is written, and the number of requests does not depend on the number of nodes.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.cluster
options:
  component:
    description:
      - Name of what the objects belong to, such as V(multus).
    type: str
    required: true
  objects:
    description:
      - The objects, whole.
    type: list
    elements: dict
    default: []
  state:
    description:
      - V(present) brings O(objects) about, V(absent) removes all objects of O(component).
      - The definition of a kind of which others have made objects stays.
    type: str
    choices:
      - present
      - absent
    default: present
  beside:
    description:
      - Part of the name of an image. A DaemonSet of others that runs such an image is a reason to refuse.
    type: str
    default: ""
  wait:
    description:
      - Whether to wait until the pods of all DaemonSets are ready. Nodes that are down are not waited for.
    type: bool
    default: true
  wait_timeout:
    description:
      - Seconds that each of these steps may take.
    type: int
    default: 300
  only_wait:
    description:
      - Neither plan nor apply; only wait. Used by the action plugin.
    type: bool
    default: false
attributes:
  action:
    description: An action plugin carries out what the module has planned.
    support: full
  check_mode:
    description: Can run in check mode and return what would be changed. Nothing is sent to the cluster then.
  diff_mode:
    description: Returns the fields that are asked for, before and after.
seealso:
  - module: kubernetes.core.k8s
"""

EXAMPLES = r"""
- name: Two networks
  nfv.fastpath.cluster_objects:
    kubeconfig: /etc/kubernetes/admin.conf
    component: networks
    objects: "{{ networks_hosts | nfv.fastpath.network_definitions }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: apply_object
      target: NetworkAttachmentDefinition apps/fast
      before: null
      after: null
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
scope:
  description: Always V(cluster), which tells reports that the result belongs to no single node.
  returned: success
  type: str
  sample: cluster
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import OBJECTS_OPTIONS, objects_result
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, connect
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    only_wait = {"type": "bool", "default": False}
    options = {**OBJECTS_OPTIONS, "only_wait": only_wait, **CONNECTION_OPTIONS}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    params = module.params

    def work() -> dict[str, Any]:
        kube = Kube(connect(params["kubeconfig"], params["context"]), params["api_timeout"])
        return objects_result(kube, params, module.check_mode)

    run_guarded(module, work)


if __name__ == "__main__":
    main()
