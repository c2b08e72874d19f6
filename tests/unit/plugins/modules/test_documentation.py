# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module takes what it says that it takes, and says all that people look for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nfv.fastpath.tests.unit.module_docs import documentation
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS

FOLDER = Path(__file__).resolve().parents[4] / "plugins/modules"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
FACTS = ("type", "elements", "choices", "default", "required")


class Started(Exception):
    """A module's call of AnsibleModule, which is as far as it gets here."""

    def __init__(self, options, supports_check_mode):
        super().__init__("started")
        self.options = options
        self.supports_check_mode = supports_check_mode


@pytest.fixture(params=NAMES)
def module(request):
    return import_module(f"ansible_collections.nfv.fastpath.plugins.modules.{request.param}")


def test_the_modules_are_found():
    assert {"sriov", "verify", "report"} <= set(NAMES)


def test_options_are_as_documented(module, monkeypatch):
    if not hasattr(module, "main"):
        return  # Its action plugin does it all.

    def start(_module, argument_spec, supports_check_mode=False):
        raise Started(argument_spec, supports_check_mode)

    monkeypatch.setattr(AnsibleModule, "__init__", start)
    with pytest.raises(Started) as started:
        module.main()
    documented = documentation(module).get("options", {})
    assert set(started.value.options) == set(documented)
    for name, option in started.value.options.items():
        assert [option.get(fact) for fact in FACTS] == [documented[name].get(fact) for fact in FACTS], name
    assert started.value.supports_check_mode


def test_documentation_is_complete(module):
    documented = documentation(module)
    assert documented["module"] == module.__name__.rpartition(".")[2]
    assert documented["short_description"] and documented["description"]
    assert documented["version_added"] and documented["author"]
    assert "python >= 3.9" in documented["requirements"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documented["attributes"])
    assert all({"description", "support"} <= set(attribute) for attribute in documented["attributes"].values())
    assert all(option["description"] for option in documented.get("options", {}).values())


def test_examples_take_documented_options(module):
    documented = documentation(module)
    action = f"nfv.fastpath.{documented['module']}"
    tasks = [task for task in yaml.safe_load(module.EXAMPLES) if action in task]
    assert tasks
    for task in tasks:
        assert set(task[action] or {}) <= set(documented.get("options", {}))


def test_what_is_returned_is_documented(module):
    returned = yaml.safe_load(module.RETURN)
    assert all({"description", "returned", "type"} <= set(value) for value in returned.values())
    if "state" in documentation(module).get("options", {}):
        assert set(returned) >= KEYS - {"changed", "diff"}
