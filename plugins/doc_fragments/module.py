# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # What all modules have in common. The version that a module came with is its own: a later one has another.
    DOCUMENTATION = r"""
options: {}
author:
  - nfv.fastpath contributors (@nfv-fastpath)
requirements:
  - python >= 3.9
"""
