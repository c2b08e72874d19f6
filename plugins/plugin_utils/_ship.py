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


class ShippingAction(ActionBase):
    """The module that the task names, with the archive copied to the node where that is needed."""

    TRANSFERS_FILES = True
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._run_with_archive(self._task.args.get("archive"), task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _run_with_archive(self, archive: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Ask the module first, without the archive: it refuses before anything is copied, or has all it needs."""
        result = self._run_module(None, task_vars)
        if result.get("failed") or not result.get(NEEDED):
            return result
        if not archive or not os.path.isfile(archive):
            return {"failed": True, "changed": False, "msg": f"The archive {archive or ''} is not on the controller."}
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        there = self._transfer_file(archive, shell.join_path(shell.tmpdir, "bundle.tar.xz"))
        self._fixup_perms2((shell.tmpdir, there))
        return self._run_module(there, task_vars)

    def _run_module(self, archive: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        arguments = {**self._task.args, "archive": archive}
        return dict(self._execute_module(module_args=arguments, task_vars=task_vars))
