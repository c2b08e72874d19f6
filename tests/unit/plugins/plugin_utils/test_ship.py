# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""An archive travels only when the node's module asks for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.nfv.fastpath.plugins.action import cni_plugins, dpdk, images, kube_tools, ovs_bundle
from ansible_collections.nfv.fastpath.plugins.plugin_utils._ship import ShippingAction

NEEDS = {"changed": False, "archive_needed": True}
DONE = {"changed": True, "archive_needed": False}
THERE = "/tmp/there/bundle.tar.xz"


class FakeAction(ShippingAction):
    """Answers the module's runs in order, and writes down what travelled and what was cleared away."""

    def __init__(self, archive, *answers) -> None:
        self.answers = list(answers)
        self.runs = []
        self.sent = []
        self.removed = []
        shell = SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts))
        self._connection = SimpleNamespace(_shell=shell)
        self._task = SimpleNamespace(args={"archive": archive, "spec": {}})

    def _execute_module(self, module_args, task_vars):
        assert module_args == {"archive": module_args["archive"], "spec": {}}
        assert task_vars == {"a": 1}
        self.runs.append(module_args["archive"])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _make_tmp_path(self):
        self._connection._shell.tmpdir = "/tmp/there"

    def _transfer_file(self, local_path, remote_path):
        self.sent.append((local_path, remote_path))
        return remote_path

    def _fixup_perms2(self, paths):
        assert paths == ("/tmp/there", THERE)

    def _remove_tmp_path(self, path):
        self.removed.append(path)


@pytest.fixture(autouse=True)
def nothing_before(monkeypatch):
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "b.tar.xz"
    path.write_bytes(b"x")
    return str(path)


def run(action):
    return action.run(None, {"a": 1})


def test_nothing_travels_where_nothing_is_needed(archive):
    action = FakeAction(archive, DONE)
    assert run(action) == DONE
    assert (action.runs, action.sent) == ([None], [])


def test_asked_brought_done(archive):
    action = FakeAction(archive, NEEDS, DONE)
    assert run(action) == DONE
    assert (action.runs, action.sent) == ([None, THERE], [(archive, THERE)])
    assert action.removed == ["/tmp/there"]


def test_a_refusal_comes_before_anything_travels(archive):
    refused = {"failed": True, "msg": "Refused", "archive_needed": True}
    action = FakeAction(archive, refused)
    assert run(action) == refused
    assert action.sent == []


def test_nothing_is_left_on_the_node_after_a_failure(archive):
    action = FakeAction(archive, NEEDS, ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        run(action)
    assert action.removed == ["/tmp/there"]


@pytest.mark.parametrize("path", [None, "/none.tar.xz"])
def test_an_archive_that_the_controller_does_not_have(path):
    result = run(FakeAction(path, NEEDS))
    assert result["failed"]
    assert "not on the controller" in result["msg"]


@pytest.mark.parametrize("action", [cni_plugins, dpdk, images, kube_tools, ovs_bundle])
def test_the_action_runs_in_check_mode_too(action):
    assert issubclass(action.ActionModule, ShippingAction)
    assert action.ActionModule._supports_check_mode
    assert action.ActionModule.TRANSFERS_FILES
