#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: container_runtime
short_description: Bring about the configuration of containerd
version_added: 0.1.0
description:
  - Sets single keys in C(/etc/containerd/config.toml), and leaves the rest of it, comments included, as it is. Writes a
    C(hosts.toml) below C(/etc/containerd/certs.d) for each registry that is named.
  - Compares the version of containerd with what the kubelet needs, before anything is changed.
  - containerd is restarted only if its own configuration or its limit of locked memory changed. Containers live on
    meanwhile. Files below C(certs.d) need no restart.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
  - nfv.fastpath.state
options:
  spec:
    description:
      - The desired state, a mapping. It is checked by the module itself, which reports all problems at once.
      - C(systemd_cgroup), by default V(true), lets systemd manage control groups, as the kubelet expects it.
      - C(sandbox_image) is the image of the pause container. Without it containerd's own is used.
      - C(registries) is a list of mappings. C(name) is the registry as references of images have it, or V(_default);
        C(mirrors) are URLs, or mappings with C(url), C(capabilities), C(ca), C(skip_verify) and C(override_path);
        C(server) is where the registry itself is, if not at its name.
      - C(cni_bin_dir) and C(cni_config_dir) are where containerd looks for CNI plugins and networks.
      - C(locked_memory), V(unlimited) or a size such as V(64G), is how much memory each process in a container may
        lock. A program that has a vDPA device by C(vhost_vdpa) locks all that the device reaches. Kubernetes has no
        such limit, so containers have containerd's own, which a drop-in for its unit sets. It counts for pods that
        are made from then on.
      - C(kubernetes_version) is what containerd is compared with before a kubelet is on the node.
    type: raw
  state:
    description:
      - V(present) brings the configuration about, V(absent) gives back what was there before.
  disruption_ok:
    description:
      - Consent to another driver of control groups while containers run, which the kubelet can no longer manage.
requirements:
  - containerd 1.6 or newer
attributes:
  diff_mode:
    description: >-
      Returns, before and after, checksums of files that change and the keys of the configuration that are set here.
      What else stands in files is not shown.
"""

EXAMPLES = r"""
- name: containerd as the kubelet needs it
  nfv.fastpath.container_runtime:
    spec:
      sandbox_image: registry.example.com/pause:3.10
      registries:
        - {name: docker.io, mirrors: ["https://mirror.example.com"]}

- name: Give back what was there before
  nfv.fastpath.container_runtime:
    state: absent
"""

RETURN = r"""
operations:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - action: write_file
      target: /etc/containerd/config.toml
      before: null
      after: 9f2c
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import ContainerRuntimeConcern
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._module import STATE_OPTIONS, run_concern


def main() -> None:
    module = AnsibleModule(argument_spec={"spec": {"type": "raw"}, **STATE_OPTIONS}, supports_check_mode=True)
    # In check mode, what would install containerd did not.
    concern = ContainerRuntimeConcern(Host(), looking_ahead=module.check_mode)
    run_concern(module, concern, module.params["spec"] or {})


if __name__ == "__main__":
    main()
