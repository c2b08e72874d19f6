#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dpdk
short_description: DPDK on a node, from packages or from a bundle
version_added: 0.1.0
description:
  - With provider V(packages), installs the distribution's DPDK with the driver packages that the node's own NICs need.
  - With provider V(source), unpacks a bundle that P(nfv.fastpath.bundle#module) built below C(/opt/fastpath/dpdk), and
    makes it current by one symbolic link. Going back to the bundle before is the same step, without copying anything.
  - A node whose CPU or C library does not fit the bundle is refused before anything is copied. A bundle that does not
    start on the node never becomes current.
  - Kernel modules are loaded now and at every boot. Commands are linked into C(/usr/local/bin), and for a bundle a
    profile file makes C(pkg-config) find it.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
  - nfv.fastpath.archive
options:
  spec:
    description:
      - The wishes, a mapping. All keys are optional.
      - C(provider) is V(packages) or V(source). C(modules) is a list of V(vfio-pci), V(uio_pci_generic), V(igb_uio).
      - C(plugins) is a list of further driver packages such as V(net-bond), C(vdpa) adds the vDPA drivers of the NICs,
        C(tools) is whether testpmd and the files to compile against are installed.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  bundle:
    description:
      - The manifest of the bundle, for provider V(source).
  remove_packages:
    description:
      - Whether O(state=absent) removes the packages that were installed, those that came along included. Packages that
        others have come to need stay.
    type: bool
    default: true
attributes:
  check_mode:
    details: The lists of package archives may be read anew.
  diff_mode:
    description: Returns bundle, files, links and modules before and after.
"""

EXAMPLES = r"""
- name: DPDK from packages, with the drivers for the NICs that are there
  nfv.fastpath.dpdk:
    spec:
      modules: [vfio-pci]
      plugins: [net-bond]

- name: DPDK as it was built on the builder
  nfv.fastpath.dpdk:
    spec:
      provider: source
    bundle: "{{ built.bundles.dpdk.manifest }}"
    archive: "{{ built.bundles.dpdk.archive }}"

- name: Give back what was there before
  nfv.fastpath.dpdk:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: install_packages
      target: apt
      before: []
      after: [dpdk, dpdk-dev, librte-net-e1000-25]
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
archive_needed:
  description: Whether nothing was done because the archive is not on the node. Never true after the action plugin.
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
from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_task import dpdk_result
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import ARCHIVE_OPTIONS, STATE_OPTIONS, run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "spec": {"type": "raw"},
            **ARCHIVE_OPTIONS,
            "remove_packages": {"type": "bool", "default": True},
            **STATE_OPTIONS,
        },
        supports_check_mode=True,
    )
    run_guarded(module, lambda: dpdk_result(Host(), module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
