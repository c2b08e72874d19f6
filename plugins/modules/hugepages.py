#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hugepages
short_description: Bring about a node's pools of hugepages
version_added: 0.1.0
description:
  - Takes all pools of a node at once, by page size and NUMA node, and their mounts.
  - Pages that come from run time are set and read back at once. Where some are short, the kernel compacts its
    memory and tries again; what is still short is reported by size and node, with what is free and how much of it
    is in one piece.
  - Pages of 1 GiB and more are reserved at boot unless C(at) in O(pools) says otherwise, since they can rarely be
    had later. The boot arguments for them are written by M(nfv.fastpath.kernel_args); this module says in
    RV(reboot_required) that they are missing. Pages that are there already, for instance from the node's own boot
    arguments, are counted.
  - Pages of sizes and NUMA nodes that no pool names are left alone. Those of a pool that is no longer named go back
    to the count that was there before.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  pools:
    description:
      - The pools, a list of mappings. They are checked by the module itself, which reports all problems at once.
      - All pools of one size either name a NUMA node or none does.
      - C(size) is the page size with its unit, such as V(2M), V(1G), V(64K); C(count) is how many. Both are
        required.
      - C(numa_node) is where the pages are; without it the kernel spreads them over all nodes.
      - C(default), if V(true), makes this the size that programs get which name none. That is a boot argument.
      - C(at) is where the pages come from, V(boot), V(runtime) or V(auto), which is the default and means V(boot)
        for sizes of 1 GiB and more. Such pages that are wanted at V(runtime) and cannot be had become boot
        arguments as well.
      - C(mount) is a path at which the size is mounted, or a mapping with C(path) and C(options). A mount of that
        size which is there already, such as C(/dev/hugepages), is left as it is.
    type: raw
  state:
    description:
      - V(present) brings O(pools) about.
      - V(absent) gives back the counts that were there before and removes the mounts.
  disruption_ok:
    description:
      - Consent to take pages away which are in use. They go when their users end. Also to a new mount with other
        options.
attributes:
  diff_mode:
    description: Returns counts and mounts before and after.
seealso:
  - module: nfv.fastpath.kernel_args
  - module: nfv.fastpath.boot_engine
"""

EXAMPLES = r"""
- name: One page of 1 GiB at boot, and small ones at once
  nfv.fastpath.hugepages:
    pools:
      - {size: 1G, count: 1, numa_node: 1, default: true}
      - {size: 2M, count: 512, numa_node: 0, mount: /mnt/huge2m}

- name: Give back what was there before
  nfv.fastpath.hugepages:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - {action: set_pages, target: 2M on NUMA node 0, before: 0, after: 512, disruptive: false, reason: ""}
reboot_required:
  description: Whether pages or the default size wait for a boot.
  returned: success
  type: bool
  sample: true
reboot_reason:
  description: What waits for a boot; empty where nothing does.
  returned: success
  type: str
  sample: 0 of 1 pages of 1G on NUMA node 1 are there, the others are reserved at boot
disruptive:
  description: Whether pages in use or a mount are taken away from running users.
  returned: success
  type: bool
  sample: false
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
shortfall:
  description: Which pages could not be had, and what stands in the way.
  returned: when the kernel did not give all pages
  type: list
  elements: dict
  sample:
    - {size_kb: 2048, numa_node: 1, wanted: 512, got: 100, free_kb: 1572864, blocks: 7, unmovable: 37}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    module = AnsibleModule(argument_spec={"pools": {"type": "raw"}, **STATE_OPTIONS}, supports_check_mode=True)
    run_concern(module, HugepagesConcern(Host()), module.params["pools"] or [])


if __name__ == "__main__":
    main()
