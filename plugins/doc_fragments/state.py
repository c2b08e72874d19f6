# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # STATE_OPTIONS of plugins/module_utils/_module.py.
    DOCUMENTATION = r"""
options:
  state:
    description:
      - V(present) brings about what is asked for.
      - V(absent) gives back what was there before.
    type: str
    choices:
      - present
      - absent
    default: present
  disruption_ok:
    description:
      - Consent to disrupt running users. Nothing here ever does; all modules that change a node have the option.
    type: bool
    default: false
"""
