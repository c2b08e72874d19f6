# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""vDPA devices that a program offers through VDUSE, which may come after the node's boot."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    NAMES,
    SPEC,
    VHOST,
    actions,
    apply,
    bus_driver,
    record,
    tear_down,
    virtio_node,
)

VDUSE = [{"mgmtdev": "vduse", "name": "soft"}]


node = pytest.fixture(virtio_node)


def test_a_vduse_device(node):
    with pytest.raises(Refused, match="start the program that makes it first"):
        apply(node, VDUSE)
    node.offer("soft")
    apply(node, VDUSE)
    assert node.devices["soft"].mgmtdev == "vduse" and bus_driver(node, "soft") == VHOST
    assert "vduse" in node.read("/etc/modules-load.d/fastpath-vdpa.conf")
    assert not apply(node, VDUSE).changed
    node.open("soft")
    with pytest.raises(Refused, match="used by vhost-vdpa:4711"):
        tear_down(node)
    node.close()
    tear_down(node)
    assert node.devices == {} and node.listdir("/sys/class/vduse") == ["soft"]


def test_a_vduse_program_that_is_not_ready(node):
    node.offer("soft", ready=False)
    with pytest.raises(FastpathError, match="has to set up its queues first"):
        apply(node, VDUSE)
    node.vduse["soft"] = True
    apply(node, VDUSE)


def test_at_boot_a_vduse_program_may_come_later(node):
    spec = [*SPEC, *VDUSE]
    node.offer("soft")
    apply(node, spec)
    recorded = record(node)
    node.reboot()
    node.add_vfs()

    def boot():
        return converge(VdpaConcern(node, booting=True), Request(spec=spec, persist=False))

    plan = boot()
    assert plan.warnings == ("soft: no program offers it through VDUSE yet.",)
    assert set(node.devices) == set(NAMES) and record(node) == recorded
    node.offer("soft")
    assert actions(boot()) == ["add_device", "bind_device"]
    assert set(node.devices) == {*NAMES, "soft"}
