# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # A module that brings something about. What it has to say of its own stands in the module and goes before.
    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and return what would be changed.
    support: full
  diff_mode:
    description: Returns what differs, before and after.
    support: full
  idempotent:
    description: A second run changes nothing and writes nothing.
    support: full
"""

    # A module that only looks. Instead of the former, not beside it.
    READ_ONLY = r"""
attributes:
  check_mode:
    description: Can run in check mode and return the same, since nothing is changed.
    support: full
  diff_mode:
    description: Nothing is changed, so there is never a difference to show.
    support: N/A
  idempotent:
    description: Nothing is ever changed.
    support: full
"""
