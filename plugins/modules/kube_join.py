#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kube_join
short_description: Make a node a member of a cluster
version_added: 0.1.0
description:
  - Lets a node join a cluster, by kubeadm or by a kubeconfig for its kubelet, or makes it the first of a new one by
    kubeadm.
  - A node that is a member already, and was not made one by this module, is left alone.
  - What a kubeadm of this module left that failed or was cut off is taken back (C(kubeadm reset)) before the next
    attempt; where it was to make a control plane, only with O(disruption_ok).
  - With O(state=absent) a node that this module made a member leaves. Its object in the cluster is removed by others.
  - Tokens are on the node only while it joins.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The desired state, a mapping. It is checked by the module itself, which reports all problems at once.
      - C(join) is V(none), V(kubeadm), V(kubeconfig), or V(init) for a new cluster. With V(none) only versions are
        compared.
      - C(version) is that of the kubelet, such as V("1.36") or V("1.36.3"). The module upgrades nothing.
      - C(endpoint) is host and port of the API server, C(ca_hash) the hash of its CA as kubeadm prints it, or
        C(unsafe_skip_ca) V(true).
      - C(node_name) and C(node_ip) say as what the node joins.
      - C(cluster_dns) and C(cluster_domain) are for the kubelet, C(pod_subnet), C(service_subnet) and
        C(image_repository) for a new cluster.
      - C(swap_ok) lets a kubelet start while swap is in use.
    type: raw
  token:
    description:
      - A bootstrap token, for kubeadm. Needed until the node has joined.
    type: str
  kubeconfig:
    description:
      - The text of a kubeconfig for this kubelet.
    type: str
  bootstrap_kubeconfig:
    description:
      - The text of a kubeconfig with a bootstrap token, by which the kubelet asks for one of its own.
    type: str
  ca:
    description:
      - The certificate of the cluster's CA as PEM, for V(kubeconfig).
    type: str
  taint:
    description:
      - Whether the node joins with the taint C(nfv.fastpath/not-ready:NoSchedule), so that no pod comes before
        M(nfv.fastpath.node_service) with O(nfv.fastpath.node_service#module:state=back) brings the node into service
        and removes it. A control plane gets that of kubeadm as well.
      - Matters only while the node joins.
    type: bool
    default: false
  state:
    description:
      - V(present) makes the node a member, V(absent) lets it leave.
      - V(left) lets it leave, too, and keeps the record of how it became a member. So a run that was cut off before the
        node's object was removed from the cluster is followed by one that knows of it. V(absent) then forgets.
    type: str
    choices: [present, left, absent]
    default: present
  disruption_ok:
    description:
      - Consent to leave while pods run here, and to take back a control plane whose making did not end well.
requirements:
  - kubelet on the node, kubeadm 1.22 or newer unless the node joins by a kubeconfig
attributes:
  diff_mode:
    description: >-
      Returns whether the node is a member before and after; where it leaves, also the C(way) in which it became one.
"""

EXAMPLES = r"""
- name: Join
  nfv.fastpath.kube_join:
    spec:
      join: kubeadm
      endpoint: 192.0.2.1:6443
      ca_hash: sha256:5f6c0f3d7a5be1f9f9a2c6f0f6f2f1d3e5b7c9a1b3d5f7e9c1a3b5d7f9e1c3aa
    token: "{{ join_token }}"

- name: Leave
  nfv.fastpath.kube_join:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: join_cluster
      target: 192.0.2.1:6443
      before: null
      after: kubeadm
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
joins:
  description: Whether the node is no member and becomes one, or would in check mode.
  returned: success
  type: bool
  sample: true
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join import Secrets, joins
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KubeJoinConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    secret = {"type": "str", "no_log": True}
    names = ("token", "kubeconfig", "bootstrap_kubeconfig")
    module = AnsibleModule(
        argument_spec={
            "spec": {"type": "raw"},
            **dict.fromkeys(names, secret),
            "ca": {"type": "str"},
            "taint": {"type": "bool", "default": False},
            **STATE_OPTIONS,
            "state": {"type": "str", "choices": ["present", "left", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    secrets = Secrets(**{name: module.params[name] or "" for name in (*names, "ca")})
    # In check mode, what would install programs did not.
    concern = KubeJoinConcern(Host(), secrets, module.check_mode, module.params["taint"])
    run_concern(module, concern, module.params["spec"] or {}, lambda plan: {"joins": joins(plan)})


if __name__ == "__main__":
    main()
