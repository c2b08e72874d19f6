#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet
short_description: Bring about the policies of a kubelet
version_added: 0.1.0
description:
  - Writes further configuration for a kubelet, beside the one that it has, as JSON below
    C(/etc/kubernetes/kubelet.conf.d), and a drop-in for its unit.
  - For the memory manager computes how much memory is reserved on which NUMA node. The sum must be, to the byte, that
    of C(kube_reserved), C(system_reserved) and C(eviction_hard), which is made sure of before anything is changed.
  - A change of policy stops the kubelet, removes what it remembers of the former one, and starts it again. So does a
    change of hugepages, which a kubelet counts at its start only. The module knows what the kubelet started with, since
    the drop-in keeps a copy of it.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The desired state, a mapping. It is checked by the module itself, which reports all problems at once.
      - C(cpu_manager) is V(static) or V(none), C(topology_manager) V(none), V(best-effort), V(restricted) or
        V(single-numa-node), C(topology_scope) V(container) or V(pod), C(memory_manager) V(Static) or V(None). Further
        options are C(cpu_manager_options) and C(topology_manager_options).
      - C(reserved_cpus) is a list of CPUs that are left to the node itself, such as V("0-1,16").
      - C(kube_reserved), C(system_reserved) and C(eviction_hard) are amounts by resource, as the kubelet has them.
      - C(reserved_memory) is memory by NUMA node. Without it, it is spread over the NUMA nodes of the reserved CPUs.
      - C(config) is anything else of the kubelet's configuration, by its own names.
    type: raw
  state:
    description:
      - V(present) brings the policies about, V(absent) gives back what was there before.
  disruption_ok:
    description:
      - Consent to another policy while Guaranteed pods run here, whose CPUs and memory the kubelet then forgets.
requirements:
  - a kubelet 1.30 or newer whose unit hands C($KUBELET_CONFIG_ARGS) or C(--config-dir) to it, as that of kubeadm does
attributes:
  diff_mode:
    description: Returns files before and after.
"""

EXAMPLES = r"""
- name: CPUs, memory and devices of a pod from one NUMA node
  nfv.fastpath.kubelet:
    spec:
      cpu_manager: static
      topology_manager: single-numa-node
      memory_manager: Static
      reserved_cpus: "0,16"
      kube_reserved: {memory: 512Mi}
      system_reserved: {memory: 1Gi}

- name: Give back what was there before
  nfv.fastpath.kubelet:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: remove_state
      target: /var/lib/kubelet/cpu_manager_state
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
from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    module = AnsibleModule(argument_spec={"spec": {"type": "raw"}, **STATE_OPTIONS}, supports_check_mode=True)
    # In check mode, what would make the node a member did not.
    run_concern(module, KubeletConcern(Host(), looking_ahead=module.check_mode), module.params["spec"] or {})


if __name__ == "__main__":
    main()
