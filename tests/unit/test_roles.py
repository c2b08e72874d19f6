# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Promises that hold for every role: one description of its variables, thin tasks, docs, a scenario."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (CHECKOUT / "roles").iterdir() if path.is_dir())
TASKS_A_ROLE = 15

pytestmark = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def load(path: Path):
    return yaml.safe_load(path.read_text()) if path.exists() else None


def options(role: Path) -> dict:
    return load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})


def leaf_tasks(tasks: list) -> list:
    found = []
    for task in tasks or []:
        blocks = [name for name in ("block", "rescue", "always") if name in task]
        found += [leaf for name in blocks for leaf in leaf_tasks(task[name])] if blocks else [task]
    return found


def all_tasks(role: Path) -> list:
    return [task for path in sorted((role / "tasks").glob("*.yml")) for task in leaf_tasks(load(path))]


def test_argument_specs_and_defaults_say_the_same(role):
    defaults = load(role / "defaults/main.yml") or {}
    specified = options(role)
    required = {name for name, option in specified.items() if option.get("required")}
    assert set(defaults) == set(specified) - required
    stated = {name: option["default"] for name, option in specified.items() if "default" in option}
    assert stated == {name: defaults[name] for name in stated}
    templated = {name for name, value in defaults.items() if isinstance(value, str) and "{{" in value}
    assert set(defaults) - set(stated) == templated | {name for name, value in defaults.items() if value is None}


def test_every_option_is_described_and_named_after_its_role(role):
    for name, option in options(role).items():
        assert name.startswith(f"{role.name}_"), name
        assert option.get("description"), name
        assert option.get("type"), name


def test_a_role_is_thin(role):
    assert len(all_tasks(role)) <= TASKS_A_ROLE


def test_no_shell_no_computed_facts_and_no_loops_over_the_node(role):
    for task in all_tasks(role):
        forbidden = {"ansible.builtin.shell", "ansible.builtin.raw", "ansible.builtin.set_fact", "loop", "with_items"}
        assert not forbidden & set(task), task["name"]


def test_every_role_has_a_page_and_a_scenario(role):
    readme = (role / "README.md").read_text().splitlines()
    assert len(readme) <= 80
    assert (CHECKOUT / "molecule" / role.name / "molecule.yml").exists()
    for name in ("converge.yml", "verify.yml", "cleanup.yml"):
        assert (CHECKOUT / "molecule" / role.name / name).exists(), name
