# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.nfv.fastpath.plugins.module_utils._artefact_fetch import Fetcher, default_cache
from ansible_collections.nfv.fastpath.plugins.module_utils._artefacts import artefacts
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.plugin_utils._own_images import with_contexts


class ActionModule(ActionBase):
    """The module of the same name, with the folders that the collection's own images are built from."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        cache = arguments.get("cache") or os.path.join(os.path.dirname(default_cache()), "images")
        fetcher = Fetcher(default_cache(), arguments.get("mirror") or "")

        def fetch(name: str) -> str:
            return str(fetcher.fetch(artefacts(arguments.get("artefacts"))[name]).path)

        try:
            arguments["builds"] = with_contexts(arguments.get("builds"), cache, fetch)
        except FastpathError as error:
            return {**result, "failed": True, "changed": False, "msg": error.message}
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        return result
