#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cni_bundle
short_description: One checked archive of CNI plugins, made once on the controller
version_added: 0.1.0
description:
  - Gathers the named plugins. They come from archives of one's own, else from the upstream release of the standard
    plugins, else from source, built by Go on the controller (V(sriov), V(whereabouts)).
  - The programs V(kubelet), V(kubeadm) and V(kubectl) can be had in the same way, from archives or from the artefact
    C(kubernetes-node).
  - Where the release cannot be had, the standard plugins are built from the same version of their Go module.
  - The same plugins from the same sources are made once and kept in a cache.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  names:
    description:
      - The plugins.
    type: list
    elements: str
    required: true
  archives:
    description:
      - Archives on the controller that have plugins, as paths or as mappings with C(path) and C(sha256). They come
        before all other sources, in their order.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  mirror:
    description:
      - A folder with the archives of the collection's list, tried first.
    type: path
  overrides:
    description:
      - As O(nfv.fastpath.artefact#module:overrides).
    type: raw
  variable:
    description:
      - The name by which problems call O(archives).
    type: str
    default: fastpath_cni_archives
  cache:
    description:
      - The folder of the cache. By default C(fastpath/cni) in the user's cache folder.
    type: path
requirements:
  - Go on the controller, for what is built from source
attributes:
  check_mode:
    description: Can run in check mode. The manifest then has no checksums of plugins that were not gathered yet.
  diff_mode:
    description: Returns whether the bundle is made, before and after.
  idempotent:
    description: What is made is not made again.
"""

EXAMPLES = r"""
- name: Gather what the networks need
  nfv.fastpath.cni_bundle:
    names: [bridge, host-local, sriov]
    archives:
      - /srv/fastpath/sriov-cni.tar.xz
  delegate_to: localhost
  run_once: true
  register: made
"""

RETURN = r"""
manifest:
  description: The plugins with their checksums, the archive's checksum, and where each plugin came from.
  returned: success
  type: dict
  sample:
    schema: nfv.fastpath/cni/1
    key: 5b1f0d4f3f0a7c11
    plugins: {bridge: 1f0c0f3d7a5be1f9f9a2c6f0f6f2f1d3e5b7c9a1b3d5f7e9c1a3b5d7f9e1c3aa}
archive:
  description: The archive; empty in check mode where it is not made yet.
  returned: success
  type: str
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._cni_bundle import CniBundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "archives": {"type": "raw"},
            "mirror": {"type": "path"},
            "overrides": {"type": "raw"},
            "variable": {"type": "str", "default": "fastpath_cni_archives"},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    task = CniBundleTask(**module.params)
    run_guarded(module, lambda: task.result(module.check_mode))


if __name__ == "__main__":
    main()
