#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: socket_map
short_description: Which device of a node is behind which socket, and who has it
version_added: 0.1.0
description:
  - Reads what the node agent of a node writes down, meets it with sysfs and with the kubelet's pods, and says where
    they disagree.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
options:
  pools:
    description:
      - Names of the agent's pools of VFs. Each must have as many devices as O(sriov) gives it.
    type: list
    elements: str
    default: []
  sriov:
    description:
      - The PFs and their VFs, as O(nfv.fastpath.sriov#module:spec) takes them.
    type: raw
  vdpa:
    description:
      - The vDPA devices of the kernel, as in C(fastpath_vdpa).
    type: raw
  kubelet_dir:
    description:
      - Where the kubelet keeps its state.
    type: path
    default: /var/lib/kubelet
"""

EXAMPLES = r"""
- name: Look who has which VF
  nfv.fastpath.socket_map:
    pools: [vdpa_a]
    sriov: "{{ fastpath_sriov }}"
  register: found

- name: Say it in one line each
  ansible.builtin.debug:
    msg: "{{ item.device }} {{ item.state }} {{ item.socket }} {{ item.pod }}"
  loop: "{{ found.entries }}"
"""

RETURN = r"""
entries:
  description: Devices by address, then ports of Open vSwitch by name.
  returned: success
  type: list
  elements: dict
  contains:
    device:
      description: PCI address, or pool and port.
      type: str
      sample: "0000:02:00.3"
    pool:
      description: The pool.
      type: str
      sample: vdpa_a
    backend:
      description: What is behind the socket, V(vdpa), V(translate) or V(ovs).
      type: str
      sample: vdpa
    state:
      description: What the agent says of it, such as V(ready), V(leased) or V(failed).
      type: str
      sample: leased
    reason:
      description: Why it is neither ready nor leased; empty where it is.
      type: str
    socket:
      description: Where it can be reached at this moment; empty where it cannot.
      type: str
      sample: /var/run/vdpa/pods/0f9b3b0e-4d1c-4d4b-8f5e-1a2b3c4d5e6f/0000-02-00.3
    connected:
      description: Whether somebody is connected; null where the kernel does not tell.
      type: bool
    pod:
      description: Who has it, as namespace and name.
      type: str
      sample: default/app
    interface:
      description: By which name the pod knows it.
      type: str
      sample: net1
    mode:
      description: The pod's side of the socket.
      type: str
      sample: client
    pf:
      description: The PF of a VF.
      type: str
      sample: "0000:02:00.0"
    vf_index:
      description: The number of a VF.
      type: int
      sample: 2
    driver:
      description: What it is bound to.
      type: str
      sample: vfio-pci
    numa_node:
      description: Its NUMA node.
      type: int
checks:
  description: What was compared, each with what was expected, what was seen, and what to do where they differ.
  returned: success
  type: list
  elements: dict
failed_checks:
  description: How many checks failed.
  returned: success
  type: int
  sample: 0
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._socket_map_node import map_result


def main() -> None:
    options: dict[str, Any] = {
        "pools": {"type": "list", "elements": "str", "default": []},
        "sriov": {"type": "raw"},
        "vdpa": {"type": "raw"},
        "kubelet_dir": {"type": "path", "default": "/var/lib/kubelet"},
    }
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    run_guarded(module, lambda: map_result(Host(), module.params))


if __name__ == "__main__":
    main()
