# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules dpdk, bundle, artefact and abi_info as Ansible calls them."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cpu_baseline import flags_of
from ansible_collections.nfv.fastpath.plugins.modules import abi_info, artefact, bundle, dpdk
from ansible_collections.nfv.fastpath.tests.unit.dpdk_node import DpdkNode, make_bundle
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run


@pytest.fixture
def node(tmp_path, monkeypatch):
    found = DpdkNode(tmp_path / "node")
    for module in (dpdk, abi_info):
        monkeypatch.setattr(module, "Host", lambda: found.host)
    return found


def test_dpdk_from_packages_and_back(node):
    foretold = run(dpdk, check=True, spec={})
    done = run(dpdk, spec={})
    assert set(done) >= KEYS
    assert {key: done[key] for key in KEYS} == {key: foretold[key] for key in KEYS}
    assert run(dpdk, spec={})["changed"] is False
    assert run(dpdk, state="absent")["changed"]
    assert "dpdk" not in node.packages


def test_dpdk_from_a_bundle(node, tmp_path):
    manifest, archive = make_bundle(tmp_path)
    options = {"spec": {"provider": "source"}, "bundle": manifest.as_json()}
    assert run(dpdk, **options)["archive_needed"]
    assert run(dpdk, **options, archive=archive)["changed"]
    again = run(dpdk, **options)
    assert (again["changed"], again["archive_needed"]) == (False, False)


def test_dpdk_refuses_with_all_problems(node):
    result = run(dpdk, spec={"provider": "git", "modules": ["x"]})
    assert result["failed"]
    assert [problem["variable"] for problem in result["problems"]] == [
        "fastpath_dpdk.provider",
        "fastpath_dpdk.modules",
    ]


def test_abi_info(node):
    result = run(abi_info)
    assert result["changed"] is False
    assert (result["abi"]["glibc"], result["abi"]["os_id"]) == ("2.41", "debian")


def test_bundle_in_check_mode_takes_what_abi_info_returns(node, tmp_path):
    abi = run(abi_info)["abi"]
    result = run(bundle, check=True, nodes=[abi], cache=str(tmp_path / "cache"))
    assert result["changed"]
    assert result["bundles"]["dpdk"]["manifest"]["cpu_flags"] == list(flags_of("x86-64-v3"))


def test_bundle_refuses(tmp_path):
    result = run(bundle, spec={"jobs": -1}, nodes=[], cache=str(tmp_path))
    assert result["failed"]
    assert result["problems"][0]["variable"] == "fastpath_dpdk_build.jobs"


def test_artefact_twice(tmp_path):
    (tmp_path / "dpdk-1.tar.xz").write_bytes(b"x")
    overrides = {"dpdk": {"version": "1", "sha256": hashlib.sha256(b"x").hexdigest()}}
    options = {"names": ["dpdk"], "mirror": str(tmp_path), "overrides": overrides, "cache": str(tmp_path / "cache")}
    assert run(artefact, **options)["changed"]
    again = run(artefact, **options)
    assert (again["changed"], again["artefacts"]["dpdk"]["cached"]) == (False, True)


def test_artefact_says_what_it_tried(tmp_path):
    result = run(artefact, names=["sriov-cni"], mirror=str(tmp_path), cache=str(tmp_path / "cache"))
    assert result["failed"]
    assert len(result["tried"]) == 2
