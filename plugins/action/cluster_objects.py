# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects_task import OBJECTS_OPTIONS
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS
from ansible_collections.nfv.fastpath.plugins.plugin_utils._cluster_apply import apply_objects


class ActionModule(ActionBase):
    """The module of the same name plans, kubernetes.core carries out."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({**CONNECTION_OPTIONS, **OBJECTS_OPTIONS})

        def execute(name: str, options: dict[str, Any]) -> dict[str, Any]:
            return dict(self._execute_module(module_name=name, module_args=options, task_vars=task_vars))

        result.update(apply_objects(execute, arguments, bool(self._task.check_mode)))
        return result
