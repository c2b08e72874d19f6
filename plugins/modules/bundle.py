#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Build DPDK and Open vSwitch once, on a builder, for a group of nodes
version_added: 0.1.0
description:
  - Runs on the builder. Fetches the checked sources, builds them in a root of the nodes' release and for the oldest CPU
    of the nodes, and packs each with a manifest. Nodes never compile.
  - The same inputs are never built twice. The build runs in namespaces of its own without network and leaves nothing
    but the bundle, its log and the root's archive in the cache.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  spec:
    description:
      - How to build, a mapping. All keys are optional.
      - C(baseline) is V(auto) for the oldest CPU among the nodes, or V(x86-64-v2), V(x86-64-v3), V(x86-64-v4).
      - C(release) is V(auto) for the release of the nodes, or the code name of one.
      - C(drivers), C(apps), C(examples) are lists of names as DPDK has them. C(options) are further meson options.
      - C(patches) are files on the builder that are applied to DPDK in order.
      - C(openvswitch) is whether Open vSwitch is built, too, with this DPDK inside.
      - C(apt_mirror) is the package archive that the root is made from. C(jobs) is the number of parallel compilers.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  nodes:
    description:
      - The nodes that the bundles are for, each as P(nfv.fastpath.abi_info#module) returns it.
    type: list
    elements: raw
    required: true
  mirror:
    description:
      - A folder with the sources, tried first.
    type: path
  overrides:
    description:
      - As O(nfv.fastpath.artefact#module:overrides).
    type: raw
  cache:
    description:
      - The folder of the cache. By default C(fastpath/build) in the user's cache folder.
    type: path
requirements:
  - mmdebstrap, unshare, mount, tar and xz on the builder, and root there
attributes:
  check_mode:
    details: What is not built yet has a short manifest.
  diff_mode:
    description: Returns which bundles are built before and after.
  idempotent:
    description: What is built is not built again.
"""

EXAMPLES = r"""
- name: Build DPDK with two drivers, and Open vSwitch
  nfv.fastpath.bundle:
    spec:
      drivers: [net/ice, net/iavf]
      examples: [vdpa, l3fwd]
      openvswitch: true
    nodes: "{{ groups['fastpath_nodes'] | map('extract', hostvars, ['abi', 'abi']) }}"
  delegate_to: "{{ groups['fastpath_builder'] | first }}"
  run_once: true
"""

RETURN = r"""
bundles:
  description: By name, the manifest, the archive on the builder, the seconds of each step, and the source.
  returned: success
  type: dict
  sample:
    dpdk:
      archive: /root/.cache/fastpath/build/bundles/dpdk-24.11.6-5b1f0d4f3f0a7c11/bundle.tar.xz
      artefact: {kind: mirror, source: /srv/fastpath-mirror/dpdk-24.11.6.tar.xz}
      manifest: {name: dpdk, version: 24.11.6, key: 5b1f0d4f3f0a7c11, baseline: x86-64-v2, glibc: "2.38"}
      seconds: {ninja: 280.1, pack: 9.5}
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
log:
  description: The file on the builder that has the whole output.
  returned: when a build fails
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._bundle_task import BundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "spec": {"type": "raw"},
            "nodes": {"type": "list", "elements": "raw", "required": True},
            "mirror": {"type": "path"},
            "overrides": {"type": "raw"},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    task = BundleTask(**module.params)
    run_guarded(module, lambda: task.result(module.check_mode))


if __name__ == "__main__":
    main()
