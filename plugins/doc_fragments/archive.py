# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # A module whose action plugin is a ShippingAction of plugins/plugin_utils/_ship.py.
    # ARCHIVE_OPTIONS of plugins/module_utils/_module.py.
    DOCUMENTATION = r"""
options:
  bundle:
    description:
      - The manifest of the bundle.
    type: raw
  archive:
    description:
      - The bundle's archive on the controller. It is copied to the node only if something of it is missing there.
    type: path
attributes:
  action:
    description: An action plugin copies the archive where it is needed.
    support: full
"""
