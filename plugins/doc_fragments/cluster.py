# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # CONNECTION_OPTIONS of plugins/module_utils/_kube.py.
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The file that says where the cluster is and who asks.
    type: path
    required: true
  context:
    description:
      - Which context of O(kubeconfig); by default its current one.
    type: str
  api_timeout:
    description:
      - Seconds for which an API server that does not answer is asked again.
    type: int
    default: 120
requirements:
  - kubernetes >= 24.2.0, on the machine that talks to the cluster
"""
