#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Look at a node and compare it with the desired state
version_added: 0.1.0
description:
  - Checks effects and not what was written, for all concerns in one call.
  - Changes nothing, with and without check mode.
  - What cannot be looked at is a failed check; the module itself fails only with O(fail=true).
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
  - nfv.fastpath.desired
options:
  boot_engine:
    description:
      - The engine on the node, as for M(nfv.fastpath.boot_engine); an empty dictionary takes its defaults.
        It is not checked without it.
    type: raw
  images:
    description:
      - An empty mapping, to look for the images that were loaded last. They are not checked without it.
    type: raw
  cni_plugins:
    description:
      - The CNI plugins that were placed last, a dictionary. With C(multus) V(thick) or V(thin), Multus must answer on
        the node, too. They are not checked without it.
    type: raw
  fail:
    description:
      - Whether a failed check makes the module fail.
    type: bool
    default: false
seealso:
  - module: nfv.fastpath.report
"""

EXAMPLES = r"""
- name: Check boot arguments and pools
  nfv.fastpath.verify:
    kernel_args: {iommu: passthrough}
    hugepages:
      - {size: 1G, count: 1, numa_node: 1, default: true}
    fail: true
"""

RETURN = r"""
checks:
  description: Every check, passed and failed.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Stable dotted name of the check.
      type: str
      sample: sriov.numvfs
    layer:
      description: The concern that it belongs to.
      type: str
      sample: sriov
    target:
      description: The object that was looked at.
      type: str
      sample: "0000:81:00.0"
    expected:
      description: What the desired state says.
      type: raw
      sample: 7
    seen:
      description: What the node has.
      type: raw
      sample: 7
    ok:
      description: Whether the two are equal.
      type: bool
    remedy:
      description: What to do where they are not.
      type: str
failed_checks:
  description: How many checks failed.
  returned: always
  type: int
  sample: 0
node_facts:
  description: What the node is, for the report.
  returned: always
  type: dict
socket_map:
  description: Devices and sockets of the node agent, as RV(nfv.fastpath.socket_map#module:entries).
  returned: always
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._concerns import CONCERNS
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import DESIRED_OPTIONS, run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._verification import verification


def main() -> None:
    more = {name: {"type": "raw"} for name in ("boot_engine", "cni_plugins", "images")}
    module = AnsibleModule(
        argument_spec={**DESIRED_OPTIONS, **more, "fail": {"type": "bool", "default": False}}, supports_check_mode=True
    )
    run_guarded(module, lambda: verification(Host(), module.params, CONCERNS))


if __name__ == "__main__":
    main()
