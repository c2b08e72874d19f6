# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Brings a bundle's archive to a node, but only if the node's module asks for it."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase

NEEDED = "archive_needed"


def run_with_archive(action: ActionBase, module: str, arguments: dict[str, Any], task_vars: Any) -> dict[str, Any]:
    """Ask the module first, without the archive: it refuses before anything is copied, or has all it needs."""
    archive = arguments.get("archive")
    without = {**arguments, "archive": None}
    result = dict(action._execute_module(module_name=module, module_args=without, task_vars=task_vars))
    if result.get("failed") or not result.get(NEEDED):
        return result
    if not archive or not os.path.isfile(archive):
        return {"failed": True, "changed": False, "msg": f"The archive {archive or ''} is not on the controller."}
    shell = action._connection._shell
    if not shell.tmpdir:
        action._make_tmp_path()
    there = action._transfer_file(archive, shell.join_path(shell.tmpdir, "bundle.tar.xz"))
    action._fixup_perms2((shell.tmpdir, there))
    arguments = {**arguments, "archive": there}
    return dict(action._execute_module(module_name=module, module_args=arguments, task_vars=task_vars))
