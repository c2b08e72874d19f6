# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any story of the vDPA concern ends well: one spec after another, and a power cut anywhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import VdpaNode
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import (
    VFS,
    apply,
    entry,
    record,
    tear_down,
    virtio_node,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
BUSES = st.sampled_from(["vhost_vdpa", "virtio_vdpa"])
FEATURES = st.sampled_from([["MAC", "VERSION_1"], ["VERSION_1"]])


@st.composite
def specs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any valid spec for the four VFs of the model."""
    owners = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    entries = []
    for owner in sorted(set(owners) - {0}):
        indexes = [index for index, number in enumerate(owners) if number == owner]
        more = draw(st.fixed_dictionaries({"bus": BUSES}, optional={"features": FEATURES}))
        if len(indexes) == 1 and draw(st.booleans()):
            more["name"] = f"vdpa{owner}"
        entries.append(entry(indexes=indexes, **more))
    return entries


def fresh(foreign: bool) -> VdpaNode:
    node = virtio_node(tempfile.mkdtemp(prefix="fastpath-", dir=MEMORY))
    if foreign:
        node.load("virtio_vdpa")
        node.add_foreign("vdpa-0000-02-00.0-vf3", VFS[3])
    return node


def without_features_on_foreign(spec: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A device of others on VF 3 can only be taken as it is, by its name."""
    return [
        {**item, "features": None} if 3 in item["indexes"] else item
        for item in spec
        if 3 not in item["indexes"] or "name" not in item
    ]


thorough = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@thorough
@given(first=specs(), second=specs(), foreign=st.booleans())
def test_any_spec_after_any_other_is_kept_and_can_be_given_back(first, second, foreign):
    node = fresh(foreign)
    before = node.snapshot()
    for spec in (first, second):
        wanted = without_features_on_foreign(spec) if foreign else spec
        apply(node, wanted, disruption_ok=True)
        assert not apply(node, wanted).changed
        count = sum(len(item["indexes"]) for item in wanted)
        kept = foreign and not any(3 in item["indexes"] for item in wanted)
        assert len(node.devices) == count + kept
    tear_down(node)
    assert node.snapshot() == before
    shutil.rmtree(node.root)


@thorough
@given(former=specs(), spec=specs(), cut=st.integers(0, 40), reboots=st.booleans())
def test_a_run_that_is_cut_anywhere_is_finished_by_the_next(former, spec, cut, reboots):
    node = fresh(False)
    before = node.snapshot()
    apply(node, former, disruption_ok=True)
    with node.cut_off(cut) as power:
        apply(node, spec, disruption_ok=True)
    if power.gone and reboots:
        node.reboot()
        node.add_vfs()
    apply(node, spec, disruption_ok=True)
    assert not apply(node, spec).changed
    for name, device in node.devices.items():
        made = record(node)["devices"][name]
        assert device.features == made.get("features")
    tear_down(node)
    assert node.snapshot() == before
    shutil.rmtree(node.root)


@thorough
@given(spec=specs(), cut=st.integers(0, 30))
def test_a_teardown_that_is_cut_anywhere_is_finished_by_the_next(spec, cut):
    node = fresh(True)
    before = node.snapshot()
    apply(node, without_features_on_foreign(spec), disruption_ok=True)
    with node.cut_off(cut) as power:
        tear_down(node)
    if power.gone:
        tear_down(node)
    assert node.snapshot() == before
    assert node.listdir("/var/lib/fastpath") == node.listdir("/etc/fastpath") == []
    shutil.rmtree(node.root)
