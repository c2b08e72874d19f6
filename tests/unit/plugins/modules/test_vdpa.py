# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vdpa on a model of a node: options in, results out."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern
from ansible_collections.nfv.fastpath.plugins.modules import vdpa
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run
from ansible_collections.nfv.fastpath.tests.unit.vdpa_words import NAMES, SPEC, VFS, entry, virtio_node


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = virtio_node(tmp_path)
    monkeypatch.setattr(vdpa, "Host", lambda: node)
    return node


def test_twelve_steps(node):
    other = [entry(bus="virtio_vdpa")]
    for options in ({"spec": SPEC}, {"spec": other, "disruption_ok": True}, {"state": "absent"}):
        predicted = run(vdpa, **options, check=True)
        result = run(vdpa, **options)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(vdpa, **options, check=True)["changed"]
        assert not run(vdpa, **options)["changed"]


def test_the_diff(node):
    result = run(vdpa, spec=SPEC)
    assert result["diff"]["before"] == {"devices": {}}
    assert set(result["diff"]["after"]["devices"]) == set(NAMES)


def test_all_problems_at_once(node):
    result = run(vdpa, spec=[{"pf": {"address": 1080.0}, "bus": "vhost"}])
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert [problem["variable"] for problem in result["problems"]] == [
        "fastpath_vdpa[0].bus",
        "fastpath_vdpa[0].pf.address",
    ]


def test_without_consent_it_shows_what_it_would_do(node):
    run(vdpa, spec=SPEC)
    result = run(vdpa, spec=[entry(bus="virtio_vdpa")])
    assert result["failed"] and result["disruptive"] and "disruption_ok" in result["msg"]


def test_in_check_mode_vfs_may_be_missing(node, monkeypatch):
    warnings: list[str] = []
    monkeypatch.setattr(vdpa.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    node._remove_vfs(node.functions["0000:02:00.0"])
    result = run(vdpa, spec=SPEC, check=True)
    assert result["changed"] and ["is not there yet" in text for text in warnings] == [True, True]
    assert run(vdpa, spec=SPEC)["failed"]


def test_in_check_mode_vfs_may_still_have_another_driver(node, monkeypatch):
    warnings: list[str] = []
    monkeypatch.setattr(vdpa.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    node.give(VFS[1], "virtio-pci")
    assert run(vdpa, spec=SPEC, check=True)["changed"]
    assert [("vf 1 has driver virtio-pci" in text, "would be refused" in text) for text in warnings] == [(True, True)]
    assert run(vdpa, spec=SPEC)["failed"]


def test_check_mode_foresees_what_becomes_of_vfs(node):
    run(vdpa, spec=SPEC)
    vfs = [{"pf": {"netdev": "ens2"}, "num_vfs": 3, "vfs": [{"indexes": "0-2", "driver": "vp-vdpa"}]}]
    seen = run(vdpa, spec=SPEC, sriov=vfs, check=True)
    assert [step["action"] for step in seen["operations"]] == ["add_device", "bind_device"] * 2
    assert not run(vdpa, spec=SPEC, sriov=vfs)["changed"]
    assert VdpaConcern(node).store.desired() == SPEC
