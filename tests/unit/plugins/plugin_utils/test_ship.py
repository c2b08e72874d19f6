# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An archive travels only when the node's module asks for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.nfv.fastpath.plugins.action import cni_plugins, dpdk, ovs_bundle
from ansible_collections.nfv.fastpath.plugins.plugin_utils._ship import run_with_archive

NEEDS = {"changed": False, "archive_needed": True}
DONE = {"changed": True, "archive_needed": False}


class FakeAction:
    """Answers the module's runs in order, and writes down what travelled."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.runs = []
        self.sent = []
        shell = SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts))
        self._connection = SimpleNamespace(_shell=shell)

    def _execute_module(self, module_name, module_args, task_vars):
        self.runs.append(module_args["archive"])
        return self.answers.pop(0)

    def _make_tmp_path(self):
        self._connection._shell.tmpdir = "/tmp/there"

    def _transfer_file(self, local, remote):
        self.sent.append((local, remote))
        return remote

    def _fixup_perms2(self, paths):
        assert paths == ("/tmp/there", "/tmp/there/bundle.tar.xz")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "b.tar.xz"
    path.write_bytes(b"x")
    return str(path)


def run(action, archive):
    return run_with_archive(action, "nfv.fastpath.dpdk", {"archive": archive, "spec": {}}, {})


def test_nothing_travels_where_nothing_is_needed(archive):
    action = FakeAction(DONE)
    assert run(action, archive) == DONE
    assert (action.runs, action.sent) == ([None], [])


def test_asked_brought_done(archive):
    action = FakeAction(NEEDS, DONE)
    assert run(action, archive) == DONE
    assert action.runs == [None, "/tmp/there/bundle.tar.xz"]
    assert action.sent == [(archive, "/tmp/there/bundle.tar.xz")]


def test_a_refusal_comes_before_anything_travels(archive):
    refused = {"failed": True, "msg": "Refused", "archive_needed": True}
    action = FakeAction(refused)
    assert run(action, archive) == refused
    assert action.sent == []


@pytest.mark.parametrize("path", [None, "/none.tar.xz"])
def test_an_archive_that_the_controller_does_not_have(path):
    result = run(FakeAction(NEEDS), path)
    assert result["failed"]
    assert "not on the controller" in result["msg"]


@pytest.mark.parametrize("action", [cni_plugins, dpdk, ovs_bundle])
def test_the_action_runs_in_check_mode_too(action):
    assert action.ActionModule._supports_check_mode
    assert action.ActionModule.TRANSFERS_FILES
