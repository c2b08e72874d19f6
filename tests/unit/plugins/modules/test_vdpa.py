# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vdpa on a model of a node: options in, results out."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nfv.fastpath.plugins.modules import vdpa
from ansible_collections.nfv.fastpath.tests.unit.vdpa_node import NAMES, SPEC, VdpaNode, entry

KEYS = {"changed", "diff", "operations", "reboot_required", "reboot_reason", "disruptive"}


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = VdpaNode(tmp_path)
    node.add_virtio_pf()
    monkeypatch.setattr(vdpa, "Host", lambda: node)
    return node


def run(capsys, **options):
    with patch_module_args(options), pytest.raises(SystemExit):
        vdpa.main()
    return json.loads(capsys.readouterr().out)


def test_twelve_steps(node, capsys):
    other = [entry(bus="virtio_vdpa")]
    for options in ({"spec": SPEC}, {"spec": other, "disruption_ok": True}, {"state": "absent"}):
        predicted = run(capsys, **options, _ansible_check_mode=True)
        result = run(capsys, **options)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(capsys, **options, _ansible_check_mode=True)["changed"]
        assert not run(capsys, **options)["changed"]


def test_the_diff(node, capsys):
    result = run(capsys, spec=SPEC)
    assert result["diff"]["before"] == {"devices": {}}
    assert set(result["diff"]["after"]["devices"]) == set(NAMES)


def test_all_problems_at_once(node, capsys):
    result = run(capsys, spec=[{"pf": {"address": 1080.0}, "bus": "vhost"}])
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert [problem["variable"] for problem in result["problems"]] == [
        "fastpath_vdpa[0].bus",
        "fastpath_vdpa[0].pf.address",
    ]


def test_without_consent_it_shows_what_it_would_do(node, capsys):
    run(capsys, spec=SPEC)
    result = run(capsys, spec=[entry(bus="virtio_vdpa")])
    assert result["failed"] and result["disruptive"] and "disruption_ok" in result["msg"]


def test_in_check_mode_vfs_may_be_missing(node, capsys, monkeypatch):
    warnings: list[str] = []
    monkeypatch.setattr(vdpa.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    node._remove_vfs(node.functions["0000:02:00.0"])
    result = run(capsys, spec=SPEC, _ansible_check_mode=True)
    assert result["changed"] and ["is not there yet" in text for text in warnings] == [True, True]
    assert run(capsys, spec=SPEC)["failed"]


def test_options_are_as_documented():
    documented = yaml.safe_load(vdpa.DOCUMENTATION)
    assert set(documented["options"]) == {"spec", "state", "disruption_ok"}
    assert {"check_mode", "diff_mode", "idempotent"} <= set(documented["attributes"])
    assert all("returned" in value for value in yaml.safe_load(vdpa.RETURN).values())
    for task in yaml.safe_load(vdpa.EXAMPLES):
        assert set(task["nfv.fastpath.vdpa"]) <= set(documented["options"])
