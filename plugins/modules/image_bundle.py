#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: image_bundle
short_description: Build images once on the controller, and push them or gather them for nodes
version_added: 0.1.0
description:
  - Builds images with buildah or podman. The same context with the same arguments is built once and kept in a cache.
  - With a registry they are pushed, each only if the registry has another content by that tag. Without one they are put
    into one archive, which M(nfv.fastpath.images) loads on nodes.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  builds:
    description:
      - The images, a list of mappings with C(name), C(tag), and either C(context), a folder on the controller with a
        C(file) (C(Containerfile)) and C(args), or C(archive), an OCI archive that somebody else made.
      - With C(own) instead of these two it is an image of the collection. V(node-agent) has the node agent, and DPDK's
        C(dpdk-vdpa) and C(dpdk-testpmd), which are compiled from source as it is built.
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  registry:
    description:
      - A registry, with a path if need be. One that says nothing without a login is asked by C(skopeo), which has the
        same login as C(buildah) and C(podman). Where that is not there, what was pushed from this controller counts as
        there.
    type: str
  way:
    description:
      - Whether to V(push) or to V(load). By default V(push) with a O(registry), else V(load).
    type: str
    choices:
      - push
      - load
  plain_http:
    description:
      - The registry speaks HTTP without TLS.
    type: bool
    default: false
  cache:
    description:
      - The folder of the cache. By default C(fastpath/images) in the user's cache folder.
    type: path
  mirror:
    description:
      - A folder with sources, which is looked at first, for images of the collection.
    type: path
  artefacts:
    description:
      - Other versions and checksums than those of the collection's list, as P(nfv.fastpath.artefact#module) takes them.
    type: raw
requirements:
  - buildah or podman on the controller, for what is built or pushed
attributes:
  check_mode:
    description: Can run in check mode. Digests of images that are not built yet are then empty.
  diff_mode:
    description: Returns what is built and pushed.
  idempotent:
    description: What is built or pushed is not built or pushed again.
"""

EXAMPLES = r"""
- name: Build an image for nodes without a registry
  nfv.fastpath.image_bundle:
    builds:
      - {name: example/agent, tag: "1.0", context: /srv/agent}
  delegate_to: localhost
  run_once: true
  register: made
"""

RETURN = r"""
images:
  description: References by name.
  returned: success
  type: dict
  sample: {example/agent: "localhost/example/agent:1.0"}
pull_policy:
  description: The C(imagePullPolicy) that fits the way.
  returned: success
  type: str
  sample: Never
way:
  description: Whether images were pushed or are to be loaded.
  returned: success
  type: str
  sample: load
manifest:
  description: What M(nfv.fastpath.images) takes, digests by reference.
  returned: success
  type: dict
archive:
  description: The archive with all images; empty where they are pushed, and in check mode where it is not made yet.
  returned: success
  type: str
problems:
  description: Everything that is wrong with the request.
  returned: when the request is refused
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._image_bundle import ImageBundleTask
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "builds": {"type": "raw"},
            "registry": {"type": "str"},
            "way": {"type": "str", "choices": ["push", "load"]},
            "plain_http": {"type": "bool", "default": False},
            "cache": {"type": "path"},
            "mirror": {"type": "path"},
            "artefacts": {"type": "raw"},
        },
        supports_check_mode=True,
    )
    names = ("builds", "registry", "way", "plain_http", "cache")
    task = ImageBundleTask(**{name: module.params[name] for name in names})
    run_guarded(module, lambda: task.result(module.check_mode))


if __name__ == "__main__":
    main()
