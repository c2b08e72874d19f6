# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""vDPA devices that others made: left alone, refused, or adopted as they are and given back so."""

from __future__ import annotations

import os

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    SPEC,
    VFS,
    VHOST,
    actions,
    apply,
    bus_driver,
    entry,
    record,
    tear_down,
    virtio_node,
)

node = pytest.fixture(virtio_node)


def test_a_foreign_device_on_a_wanted_function_is_refused_with_both_ways_out(node):
    node.add_foreign("theirs", VFS[0])
    with pytest.raises(Refused, match="`vdpa dev del theirs`, or take it as it is with name: theirs"):
        apply(node, SPEC)
    assert list(node.devices) == ["theirs"] and node.changes == 0


def test_a_foreign_device_that_fits_is_adopted_and_given_back(node):
    node.load("virtio_vdpa")
    node.add_foreign("theirs", VFS[0], mtu=9000)
    before = node.snapshot()
    wanted = [entry(indexes=0, name="theirs")]
    with pytest.raises(FastpathError, match="through virtio_vdpa"):
        apply(node, wanted)
    plan = apply(node, wanted, disruption_ok=True)
    assert actions(plan) == ["save_desired", "write_file", "load_module", "bind_device"]
    assert record(node)["adopted"] == {"theirs": {"driver": "virtio_vdpa", "driver_override": None}}
    assert not apply(node, wanted).changed
    plan = tear_down(node)
    assert actions(plan) == ["bind_device", "remove_file", "forget"]
    assert node.snapshot() == before and bus_driver(node, "theirs") == ("virtio_vdpa", "(null)")


def test_an_adopted_device_is_given_back_when_it_is_no_longer_listed(node):
    node.add_foreign("theirs", VFS[0])
    apply(node, [entry(indexes=0, name="theirs")])
    assert actions(apply(node, [])) == ["save_desired", "remove_file", "bind_device", "release"]
    assert bus_driver(node, "theirs") == (None, "(null)")
    assert not record(node).get("adopted")


def test_a_foreign_device_that_differs_is_not_touched(node):
    node.add_foreign("theirs", VFS[0], mtu=1500)
    node.give(VFS[1], "vp-vdpa")
    with pytest.raises(
        Refused, match="is a vDPA device that is not ours, on pci/0000:02:10.0, and differs in its place"
    ):
        apply(node, [entry(indexes=1, name="theirs")], disruption_ok=True)
    assert node.devices["theirs"].config == {"mtu": 1500}


def test_a_device_that_its_driver_made_by_itself(node):
    """Kernels before 5.19 make one for each vp-vdpa function, and know no management device for it."""
    node.old_kernel = True
    node.add_foreign("vdpa0", VFS[0], managed=False)
    with pytest.raises(Refused, match="take it as it is with name: vdpa0"):
        apply(node, [entry(indexes=0)])
    apply(node, [entry(indexes=0, name="vdpa0")])
    assert bus_driver(node, "vdpa0") == VHOST
    tear_down(node)
    assert "vdpa0" in node.devices


def test_a_kernel_without_overrides(node):
    node.load("virtio_vdpa")
    node.add_foreign("theirs", VFS[0])
    os.unlink(node.path(f"{node.devices['theirs'].folder}/driver_override"))
    apply(node, [entry(indexes=0, name="theirs")], disruption_ok=True)
    assert bus_driver(node, "theirs") == ("vhost_vdpa", None)
    assert not apply(node, [entry(indexes=0, name="theirs")]).changed
