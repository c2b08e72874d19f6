#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_args
short_description: Bring about a node's boot arguments
version_added: 0.1.0
description:
  - Takes everything that a node's kernel is to be started with, hugepage pools included, works out the arguments from
    the CPU's vendor and from what the kernel does anyway, and writes them through the node's own boot loader.
  - GRUB on Debian and Ubuntu gets one drop-in file of its own, C(/etc/default/grub.d/zz-fastpath.cfg); on the RHEL
    family C(grubby) is used, on image-based systems C(rpm-ostree).
  - After writing, every normal boot entry is read back. Where another file overrides the arguments the change is undone
    and the module fails naming the file, before any reboot.
  - The module never reboots. RV(reboot_required) says that the running kernel differs from what is configured.
  - What was asked for is remembered with the boot's identifier. If a reboot did not bring it, the module fails and
    names what overrides it, so that no further reboot is tried.
  - Arguments that the node's own configuration has already are neither added twice nor removed.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The boot arguments, a mapping. All keys are optional; one that is no longer given is taken back.
      - C(iommu) is V(on), V(passthrough), V(off) or V(null). V(on) asks for nothing where the kernel has switched its
        IOMMU on by itself.
      - C(isolated_cpus) is a list of CPUs such as V(2-5,8). It sets C(isolcpus), C(nohz_full) and C(rcu_nocbs).
      - C(extra) is a mapping from name to value, to V(null) for a bare name, or to a list for a name that is given
        repeatedly.
      - C(remove) is a list of names, or of C(name=value), that the node's own configuration has and that shall go.
        They come back when they are no longer listed.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  hugepages:
    description:
      - The pools of hugepages as P(nfv.fastpath.hugepages#module) takes them. Those that come from boot arguments are
        added here, since one owner has to keep their order.
    type: raw
attributes:
  diff_mode:
    description: Returns the arguments before and after.
"""

EXAMPLES = r"""
- name: Let VFIO use the IOMMU, and keep CPUs for packet processing
  nfv.fastpath.kernel_args:
    spec:
      iommu: passthrough
      isolated_cpus: "2-5"
      extra:
        transparent_hugepage: never
        nosmt: null
    hugepages:
      - {size: 1G, count: 4, numa_node: 0, default: true}

- name: Take out what the image came with
  nfv.fastpath.kernel_args:
    spec:
      remove:
        - quiet
        - intel_iommu=off

- name: Give back what was there before
  nfv.fastpath.kernel_args:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: set_boot_arguments
      target: /boot/grub/grub.cfg
      before: {arguments: [], removed: []}
      after: {own: ["intel_iommu=on", "iommu=pt"], removes: [], delete: [], append: ["intel_iommu=on", "iommu=pt"]}
      disruptive: false
      reason: ""
reboot_required:
  description: Whether the running kernel differs from what is configured.
  returned: success
  type: bool
  sample: true
reboot_reason:
  description: What the running kernel lacks or still has; empty where no reboot is needed.
  returned: success
  type: str
  sample: the running kernel is without intel_iommu=on iommu=pt
disruptive:
  description: Whether an operation disrupts running users; always false here.
  returned: success
  type: bool
  sample: false
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
suspects:
  description: Files that override the boot arguments, each with the reason.
  returned: when arguments do not arrive
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import KernelArgsConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    module = AnsibleModule(
        argument_spec={"spec": {"type": "raw"}, "hugepages": {"type": "raw"}, **STATE_OPTIONS},
        supports_check_mode=True,
    )
    spec = {"arguments": module.params["spec"], "hugepages": module.params["hugepages"]}
    run_concern(module, KernelArgsConcern(Host()), spec)


if __name__ == "__main__":
    main()
