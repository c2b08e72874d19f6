# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import PATIENCE_SECONDS
from ansible_collections.nfv.fastpath.plugins.plugin_utils._cluster_apply import apply_objects


class ActionModule(ActionBase):
    """The module of the same name plans, kubernetes.core carries out."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            {
                "kubeconfig": {"type": "path", "required": True},
                "context": {"type": "str"},
                "api_timeout": {"type": "int", "default": PATIENCE_SECONDS},
                "component": {"type": "str", "required": True},
                "objects": {"type": "list", "elements": "dict", "default": []},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "beside": {"type": "str", "default": ""},
                "wait": {"type": "bool", "default": True},
                "wait_timeout": {"type": "int", "default": 300},
            }
        )

        def execute(name: str, options: dict[str, Any]) -> dict[str, Any]:
            return dict(self._execute_module(module_name=name, module_args=options, task_vars=task_vars))

        result.update(apply_objects(execute, arguments, bool(self._task.check_mode)))
        return result
