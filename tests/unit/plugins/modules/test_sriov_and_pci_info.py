# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules themselves, on a model of a node: options in, results out."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.modules import pci_info, sriov
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run

SPEC = [{"pf": {"netdev": "ens1"}, "num_vfs": 2, "vfs": [{"indexes": 0, "driver": "vfio-pci"}]}]


@pytest.fixture
def node(tmp_path, monkeypatch):
    node = FakeNode(tmp_path)
    node.add_pf(numa_node=1)
    node.add_function("0000:00:1f.0", "abcd", "0009", class_code="60100")
    monkeypatch.setattr(sriov, "Host", lambda: node)
    monkeypatch.setattr(pci_info, "Host", lambda sysfs_root: node)
    return node


def test_sriov_in_twelve_steps(node):
    for options in ({"spec": SPEC}, {"spec": [{**SPEC[0], "num_vfs": 3}], "disruption_ok": True}, {"state": "absent"}):
        predicted = run(sriov, **options, check=True)
        result = run(sriov, **options)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(sriov, **options, check=True)["changed"]
        assert not run(sriov, **options)["changed"]


def test_sriov_counts_on_coming_drivers_in_check_mode_alone(node):
    spec = [{"pf": SPEC[0]["pf"], "num_vfs": 1, "vfs": [{"indexes": 0, "driver": "mlx5_core"}]}]
    assert run(sriov, spec=spec, coming_drivers=["mlx5_core"], check=True)["changed"]
    assert run(sriov, spec=spec, check=True)["failed"]
    assert "not installed" in run(sriov, spec=spec, coming_drivers=["mlx5_core"])["msg"]
    run(sriov, spec=SPEC, coming_drivers=["vfio-pci"])
    assert not run(sriov, spec=SPEC, coming_drivers=["vfio-pci"], check=True)["changed"]


def test_sriov_refuses_with_all_problems(node):
    result = run(sriov, spec=[{"pf": {"address": 1080.0}, "num_vfs": -1}])
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert {problem["variable"] for problem in result["problems"]} == {
        "fastpath_sriov[0].pf.address",
        "fastpath_sriov[0].num_vfs",
    }


def test_sriov_without_consent_shows_what_it_would_do(node):
    run(sriov, spec=SPEC)
    result = run(sriov, spec=[{**SPEC[0], "num_vfs": 5}])
    assert result["failed"] and result["disruptive"] and "disruption_ok" in result["msg"]


@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        ({}, ["0000:00:1f.0", "0000:81:00.0"]),
        ({"class_id": "02"}, ["0000:81:00.0"]),
        ({"class_id": "0601"}, ["0000:00:1f.0"]),
        ({"vendor": "ABCD"}, ["0000:00:1f.0"]),
        ({"vendor": "8086", "class_id": "06"}, []),
    ],
)
def test_pci_info(node, options, addresses):
    result = run(pci_info, **options)
    assert not result["changed"]
    assert [device["address"] for device in result["devices"]] == addresses


def test_pci_info_returns_every_documented_field(node):
    documented = yaml.safe_load(pci_info.RETURN)["devices"]["contains"]
    device = run(pci_info, class_id="02")["devices"][0]
    assert set(device) == set(documented)
    assert (device["sriov_totalvfs"], device["numa_node"], device["netdevs"]) == (7, 1, ["ens1"])
