#!/usr/bin/python
# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write down what the roles found or did, for people and for machines
version_added: 0.1.0
description:
  - Collects what the roles of this collection registered on every node of the inventory
    and writes it to files on the controller.
  - Runs on the controller only; no node is asked.
  - Files are written in check mode as well, since they are the result of a plan and no state of a node.
  - This module has a corresponding action plugin.
extends_documentation_fragment:
  - nfv.fastpath.module
  - nfv.fastpath.attributes
options:
  kind:
    description:
      - What is written.
      - V(verify) writes C(report.json) and the page C(index.html), V(plan) writes C(plan.json),
        V(apply) writes C(run.json) and V(teardown) writes C(teardown.json).
    type: str
    choices: [verify, plan, apply, teardown]
    required: true
  folder:
    description:
      - Folder on the controller, made where it is absent.
      - A relative path starts at the working directory of C(ansible-playbook).
    type: path
    required: true
  nodes:
    description:
      - With O(kind=verify) these nodes have to be there, and one without a result becomes a failed check.
        With the other kinds the summary is about these nodes; the file is about all.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in check mode; writes the same files there.
  diff_mode:
    description: The files are written without a look at what was in them before.
    support: none
  idempotent:
    description: Every run writes the files anew, which never counts as a change.
seealso:
  - module: nfv.fastpath.verify
"""

EXAMPLES = r"""
- name: Write the report of a verification
  nfv.fastpath.report:
    kind: verify
    folder: .lab/report
    nodes: "{{ ansible_play_hosts_all }}"
  run_once: true
"""

RETURN = r"""
files:
  description: Absolute paths of the files that were written.
  returned: always
  type: list
  elements: str
  sample: ["/home/user/project/.lab/report/report.json", "/home/user/project/.lab/report/index.html"]
msg:
  description: The summary, one line per fact.
  returned: always
  type: str
  sample: 2 nodes, 48 checks, 0 failed
"""
