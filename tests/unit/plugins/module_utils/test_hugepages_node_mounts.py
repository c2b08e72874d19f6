# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts of hugepages on a node."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern
from ansible_collections.nfv.fastpath.tests.unit.hugepages_node import HugepagesNode
from ansible_collections.nfv.fastpath.tests.unit.hugepages_words import (
    MOUNTED,
    SMALL,
    UNIT,
    apply,
    record,
    teardown,
)


@pytest.fixture
def node(tmp_path):
    return HugepagesNode(tmp_path)


def test_mount_unit(node):
    apply(node, {**SMALL, "mount": {"path": "/mnt/pages/huge-2m", "options": "mode=0770,gid=64055"}})
    text = (node.tree / UNIT).read_text()
    assert "Where=/mnt/pages/huge-2m\n" in text and "Options=pagesize=2M,mode=0770,gid=64055\n" in text
    assert node.calls == [("systemctl", "enable", "--now", "mnt-pages-huge\\x2d2m.mount")]
    assert all(check.ok for check in verify(HugepagesConcern(node), [MOUNTED]))


def test_mount_that_is_there_is_left_alone(node):
    apply(node, {**SMALL, "mount": "/dev/hugepages"})
    assert node.calls == [] and record(node)["mounts"] == []
    teardown(node)
    assert node.mounts() == node.former_mounts


def test_unit_of_somebody_else_is_refused(node):
    (node.tree / UNIT).write_text("[Mount]\nWhere=/mnt/pages/huge-2m\nWhat=/dev/sda\n")
    with pytest.raises(Refused, match="has a unit of somebody else"):
        apply(node, MOUNTED)


def test_other_options_need_a_new_mount(node):
    apply(node, MOUNTED)
    changed = {**SMALL, "mount": {"path": "/mnt/pages/huge-2m", "options": "mode=0700"}}
    with pytest.raises(FastpathError, match="with other options"):
        apply(node, changed)
    node.calls.clear()
    apply(node, changed, disruption_ok=True)
    assert [call[1] for call in node.calls] == ["enable", "restart"]
    assert not apply(node, changed).changed


def test_mount_goes_when_it_is_dropped(node):
    before = node.snapshot()
    apply(node, MOUNTED)
    apply(node, SMALL)
    assert not (node.tree / UNIT).exists() and not (node.tree / "mnt/pages").exists()
    assert not apply(node, SMALL).changed
    teardown(node)
    assert node.snapshot() == before


def test_folder_in_use_by_another_stays(node):
    apply(node, MOUNTED)
    (node.tree / "mnt/pages/other").mkdir()
    teardown(node)
    assert [path.name for path in (node.tree / "mnt/pages").iterdir()] == ["other"]


def test_busy_mount_fails_and_the_next_teardown_goes_on(node):
    before = node.snapshot()
    apply(node, MOUNTED)
    node.mount_busy = True
    with pytest.raises(FastpathError, match="target is busy"):
        teardown(node)
    node.mount_busy = False
    teardown(node)
    assert node.snapshot() == before
    assert not teardown(node).changed
