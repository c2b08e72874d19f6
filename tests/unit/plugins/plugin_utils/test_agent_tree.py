# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent runs from what is put into its image, and from nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.nfv.fastpath.plugins.plugin_utils._agent_tree import PROGRAM, agent_tree

IMPORT_ALL = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import fastpath_agent
left_out = (".__main__", ".rpc")
for module in pkgutil.walk_packages(fastpath_agent.__path__, "fastpath_agent."):
    if not module.name.endswith(left_out):
        importlib.import_module(module.name)
taken = [name for name in sys.modules if name == "ansible" or name.startswith("ansible.")]
sys.exit(f"imported: {taken}" if taken else 0)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    for path, text in agent_tree().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def run(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=60, check=False)


def test_every_module_can_be_imported_without_ansible_and_without_other_packages(tree):
    """Isolated and without site: only the standard library and what is in the tree."""
    done = run("-IS", "-c", IMPORT_ALL, str(tree))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_program_starts(tree):
    done = run("-Es", str(tree / PROGRAM), "--config", str(tree / "none.json"), "check")
    assert done.returncode == 2
    assert "cannot be read as JSON" in done.stderr
    (tree / "config.json").write_text('{"pools": [{"name": "a"}]}')
    done = run("-Es", str(tree / PROGRAM), "--config", str(tree / "config.json"), "check")
    assert (done.returncode, done.stdout) == (0, f"{tree}/config.json: 1 pools\n")


def test_the_engine_that_is_shared_is_the_same_text(tree):
    made = agent_tree()
    shared = [path for path in made if path.startswith("ansible_collections/") and not path.endswith("__init__.py")]
    assert "ansible_collections/nfv/fastpath/plugins/module_utils/_ovs_plan.py" in shared
    assert not any("_module.py" in path for path in shared)
    assert made == agent_tree()
