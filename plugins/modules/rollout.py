#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Decide whether a node has to reboot, and confirm what a reboot was for
version_added: 0.1.0
description:
  - Collects the reasons to reboot, those on the node's disk and those that modules returned in this run.
  - Reasons stay on disk until a reboot, so none is lost when a run is cut off.
  - Does not reboot by itself.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  results:
    description:
      - What the modules of this run returned, by concern. A result is newer than the reason on disk;
        in check mode there is nothing on disk yet.
      - A concern whose module did not run has an empty dictionary here.
    type: dict
    default: {}
  reboot_ok:
    description:
      - Consent to a reboot.
    type: bool
    default: false
  after_reboot:
    description:
      - Confirm a reboot that has just happened. Reasons that it settled are removed, and the module fails where
        boot arguments are not in effect, so that nobody reboots for them again.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode; decides the same there.
  diff_mode:
    description: Deciding changes nothing. Reasons that a reboot has settled are removed without being shown.
    support: none
"""

EXAMPLES = r"""
- name: Decide whether to reboot
  nfv.fastpath.rollout:
    results:
      kernel_args: "{{ __kernel_args_result | default({}) }}"
    reboot_ok: true
"""

RETURN = r"""
decision:
  description: V(none), V(reboot), or V(postponed) where a reboot is needed and O(reboot_ok) is false.
  returned: always
  type: str
  sample: reboot
reasons:
  description: Why, by concern.
  returned: always
  type: dict
  sample: {kernel_args: "boot arguments wait for a reboot: intel_iommu=on"}
dry_run:
  description: Whether this was check mode.
  returned: always
  type: bool
operations:
  description: The reboot as an operation, or nothing.
  returned: always
  type: list
  elements: dict
reboot_required:
  description: Whether there is a reason to reboot.
  returned: always
  type: bool
reboot_reason:
  description: All reasons as one text.
  returned: always
  type: str
disruptive:
  description: Whether running users of the node notice.
  returned: always
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._rollout_node import decide_node


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "results": {"type": "dict", "default": {}},
            "reboot_ok": {"type": "bool", "default": False},
            "after_reboot": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )

    def work() -> dict[str, object]:
        result = decide_node(Host(), module.params, module.check_mode)
        if result["decision"] == "postponed":
            module.warn(f"Reboot pending, and rollout_reboot_ok is false: {result['reboot_reason']}")
        return result

    run_guarded(module, work)


if __name__ == "__main__":
    main()
