# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: mirror
short_description: The folder of the artefacts' mirror on the controller
version_added: 0.1.0
author:
  - nfv.fastpath contributors (@nfv-fastpath)
description:
  - Returns the folder that the environment variable E(FASTPATH_MIRROR) names. Without it, the folder C(shared/mirror)
    beside the checkout of the collection, where there is one. Otherwise an empty text.
"""

EXAMPLES = r"""
- name: Say which mirror is used
  ansible.builtin.debug:
    msg: "{{ lookup('nfv.fastpath.mirror') or 'no mirror' }}"
"""

RETURN = r"""
_raw:
  description: The folder, or an empty text.
  type: list
  elements: str
"""

import os
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase


def find_mirror(named: str, plugin: str = __file__) -> str:
    """The folder that is named, or the one that lies beside the checkout, or nothing."""
    if named:
        return str(Path(named).expanduser().absolute())
    beside = Path(plugin).resolve().parents[3] / "shared" / "mirror"
    return str(beside) if beside.is_dir() else ""


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: Any, variables: Any = None, **kwargs: Any) -> list[str]:
        return [find_mirror(os.environ.get("FASTPATH_MIRROR", ""))]
