# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action does what any module's does, with the collector at rest meanwhile."""

from __future__ import annotations

import gc

import pytest
from ansible_collections.nfv.fastpath.plugins.action import ovs_dpdk


@pytest.fixture(autouse=True)
def thaw():
    yield
    gc.unfreeze()


def test_the_collector_rests(monkeypatch):
    monkeypatch.setattr(ovs_dpdk.Normal, "run", lambda self, tmp, task_vars: {"on": gc.isenabled(), "vars": task_vars})
    action = object.__new__(ovs_dpdk.ActionModule)
    assert action.run(None, {"a": 1}) == {"on": False, "vars": {"a": 1}}
    assert gc.isenabled()


def test_it_goes_on_after_a_failure(monkeypatch):
    def fail(self, tmp, task_vars):
        raise ValueError("no")

    monkeypatch.setattr(ovs_dpdk.Normal, "run", fail)
    with pytest.raises(ValueError, match="no"):
        object.__new__(ovs_dpdk.ActionModule).run()
    assert gc.isenabled()
