# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action hands options on and runs what the planner says; it is as documented as its module."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.nfv.fastpath.plugins.action import cluster_objects
from ansible_collections.nfv.fastpath.plugins.modules import cluster_objects as module
from ansible_collections.nfv.fastpath.tests.unit.module_docs import documentation

PLANNED = {"changed": True, "apply": [], "remove": [], "unready": [], "warnings_found": [], "operations": []}


def run(check_mode: bool = False, answers: Any = (PLANNED,), **arguments: Any) -> tuple[dict[str, Any], list[Any]]:
    task = SimpleNamespace(
        args=arguments, async_val=0, check_mode=check_mode, diff=False, delegate_to=None, action="a", collections=[]
    )
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/"))
    action = cluster_objects.ActionModule(task, connection, SimpleNamespace(), None, None, None)
    made: list[Any] = []
    left = list(answers)

    def execute(module_name: str, module_args: Any, task_vars: Any) -> Any:
        made.append((module_name, module_args))
        return left.pop(0)

    action._execute_module = execute
    return action.run(task_vars={}), made


def test_options_reach_the_planner_with_their_defaults():
    result, made = run(kubeconfig="/k", component="multus")
    assert result["changed"] is True
    (call,) = made
    assert call[0] == "nfv.fastpath.cluster_objects"
    assert call[1] == {
        "kubeconfig": "/k",
        "context": None,
        "api_timeout": 120,
        "component": "multus",
        "objects": [],
        "state": "present",
        "beside": "",
        "wait": True,
        "wait_timeout": 300,
    }


def test_check_mode_runs_only_the_planner():
    planned = {**PLANNED, "apply": [{"kind": "ConfigMap"}]}
    result, made = run(True, (planned,), kubeconfig="/k", component="multus")
    assert (result["changed"], len(made)) == (True, 1)


def test_wrong_options():
    with pytest.raises(AnsibleError, match="kubeconfig"):
        run(component="multus")


def test_the_action_takes_what_the_module_documents():
    options = documentation(module)["options"]
    _result, ((_name, arguments),) = run(kubeconfig="/k", component="multus")
    assert set(arguments) == set(options) - {"only_wait"}
    for name, value in arguments.items():
        if name not in ("kubeconfig", "component"):
            assert options[name].get("default") == value
