#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: abi_info
short_description: What of a node decides which binaries it can run
version_added: 0.1.0
description:
  - Returns architecture, CPU flags, C library and release of a node, for P(nfv.fastpath.bundle#module).
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes.read_only
"""

EXAMPLES = r"""
- name: Read what the node can run
  nfv.fastpath.abi_info:
  register: abi
"""

RETURN = r"""
abi:
  description: The node's ABI.
  returned: success
  type: dict
  sample:
    node: node1
    architecture: x86_64
    cpu_flags: [avx2, sse4_2]
    glibc: "2.41"
    os_id: debian
    release: trixie
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded
from ansible_collections.nfv.fastpath.plugins.module_utils._node_abi import discover_abi


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    run_guarded(module, lambda: {"changed": False, "abi": asdict(discover_abi(Host()))})


if __name__ == "__main__":
    main()
