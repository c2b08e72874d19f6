#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: artefact
short_description: Fetch what the collection needs from outside, checked, with or without the internet
version_added: 0.1.0
description:
  - Everything that the collection fetches is in one list, with version, checksums and sources that are tried in order.
    These are a mirror folder, the upstream release, the Go module and the package of the distribution.
  - A file gets into the cache whole and with the right checksum, or not at all. A source whose checksum is wrong is
    thrown away and the next one is tried.
  - With O(export) the artefacts are copied into a folder that serves as O(mirror) on a site without internet.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  names:
    description:
      - What to fetch. Empty means the whole list.
    type: list
    elements: str
    default: []
  mirror:
    description:
      - A folder with the archives, tried first.
    type: path
  overrides:
    description:
      - Other versions, checksums and URLs than the list has, by name. Keys are C(version), C(file), C(sha256), C(url).
      - It is checked by the module itself, which reports all problems at once.
    type: raw
  packages_ok:
    description:
      - Whether the package of the distribution may stand in where no source gives the artefact.
    type: bool
    default: false
  export:
    description:
      - A folder to be filled with the archives and their C(SHA256SUMS).
    type: path
  cache:
    description:
      - The folder of the cache. By default C(fastpath/artefacts) in the user's cache folder.
    type: path
attributes:
  check_mode:
    details: It looks into the cache only.
  diff_mode:
    description: Returns the names of the files before and after.
  idempotent:
    description: What is in the cache is not fetched again.
"""

EXAMPLES = r"""
- name: Fetch the source of DPDK
  nfv.fastpath.artefact:
    names:
      - dpdk
    mirror: /srv/fastpath-mirror

- name: Fill a mirror for a site without internet
  nfv.fastpath.artefact:
    export: /srv/fastpath-mirror
"""

RETURN = r"""
artefacts:
  description: What was fetched, by name. In check mode only what the cache has already.
  returned: success
  type: dict
  sample:
    dpdk:
      name: dpdk
      version: 24.11.6
      path: /root/.cache/fastpath/artefacts/sha256/81ee541b83883a8e95a5a8130b292f2e2dffdb2705248a063f1d38ba07c9330c
      sha256: 81ee541b83883a8e95a5a8130b292f2e2dffdb2705248a063f1d38ba07c9330c
      kind: mirror
      source: /srv/fastpath-mirror/dpdk-24.11.6.tar.xz
      replaces: ""
      tried: []
      cached: false
tried:
  description: The sources that were tried and why each did not do.
  returned: when an artefact cannot be had
  type: list
  elements: str
exported:
  description: Files of O(export) that are new.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_task import ArtefactTask
from ansible_collections.nfv.fastpath.plugins.module_utils._module import run_guarded


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "default": []},
            "mirror": {"type": "path"},
            "overrides": {"type": "raw"},
            "packages_ok": {"type": "bool", "default": False},
            "export": {"type": "path"},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    task = ArtefactTask(**module.params)
    run_guarded(module, lambda: task.result(module.check_mode))


if __name__ == "__main__":
    main()
