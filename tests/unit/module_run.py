# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module as Ansible calls it: options in, what it says out."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

# What every module returns that brings a concern about.
KEYS = {"changed", "diff", "operations", "reboot_required", "reboot_reason", "disruptive"}


def run(module: ModuleType, check: bool = False, **options: Any) -> dict[str, Any]:
    said = io.StringIO()
    arguments = patch_module_args({**options, "_ansible_check_mode": check})
    with arguments, redirect_stdout(said), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(said.getvalue())
    return result
