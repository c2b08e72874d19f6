#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: images
short_description: Load images into containerd on a node, by digest
version_added: 0.1.0
description:
  - Imports the images that M(nfv.fastpath.image_bundle) gathered to where the kubelet finds them, if any of them is
    missing or another one.
  - An image by the same name with another content, which this module did not load, is not replaced.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
  - nfv.fastpath.archive
options:
  state:
    description:
      - V(present) loads the images, V(absent) removes those that were loaded.
requirements:
  - containerd on the node
attributes:
  diff_mode:
    description: Returns digests before and after.
"""

EXAMPLES = r"""
- name: Load images
  nfv.fastpath.images:
    bundle: "{{ made.manifest }}"
    archive: "{{ made.archive }}"
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: load_images
      target: localhost/example/agent:1.0
      before: null
      after: sha256:6d1f
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
archive_needed:
  description: Whether nothing was done because the archive is not on the node. Never true after the action plugin.
  returned: success
  type: bool
  sample: false
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import images_result
from ansible_collections.nfv.fastpath.plugins.module_utils._module import ARCHIVE_OPTIONS, STATE_OPTIONS, run_guarded


def main() -> None:
    module = AnsibleModule(argument_spec={**ARCHIVE_OPTIONS, **STATE_OPTIONS}, supports_check_mode=True)
    run_guarded(module, lambda: images_result(Host(), module.params, module.check_mode, module.warn))


if __name__ == "__main__":
    main()
