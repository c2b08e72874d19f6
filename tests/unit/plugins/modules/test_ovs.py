# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules ovs_dpdk and ovs_packages as Ansible calls them."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed, Host
from ansible_collections.nfv.fastpath.plugins.modules import ovs_bundle, ovs_dpdk, ovs_packages
from ansible_collections.nfv.fastpath.tests.unit.module_run import KEYS, run
from ansible_collections.nfv.fastpath.tests.unit.ovs_node import OvsNode

SPEC = {
    "other_config": {"dpdk-init": True, "pmd-cpu-mask": "5-6", "dpdk-socket-mem": [512, 512]},
    "bridges": [
        {"name": "br0", "ports": [{"name": "v0", "type": "dpdkvhostuserclient", "socket": "/run/vhost/v0.sock"}]}
    ],
}


@pytest.fixture
def node(tmp_path, monkeypatch):
    made = OvsNode(tmp_path)
    monkeypatch.setattr(ovs_dpdk, "Host", lambda: made)
    return made


def test_check_mode_says_what_the_run_does_and_the_second_run_nothing(node):
    foretold = run(ovs_dpdk, check=True, spec=SPEC)
    assert foretold["changed"] and node.commits() == 0
    done = run(ovs_dpdk, spec=SPEC)
    assert {key: done[key] for key in KEYS} == {key: foretold[key] for key in KEYS}
    assert node.commits() == 1
    assert not run(ovs_dpdk, spec=SPEC)["changed"]
    assert run(ovs_dpdk, state="absent", disruption_ok=True)["changed"]
    assert not run(ovs_dpdk, state="absent")["changed"]


def test_consent(node):
    run(ovs_dpdk, spec=SPEC)
    changed = {**SPEC, "other_config": {**SPEC["other_config"], "dpdk-extra": "--log-level=8"}}
    refused = run(ovs_dpdk, spec=changed)
    assert refused["failed"] and refused["disruptive"] and "v0 forward nothing" in refused["msg"]
    assert run(ovs_dpdk, spec=changed, disruption_ok=True)["changed"]


def test_bad_input_is_told_at_once(node):
    refused = run(ovs_dpdk, spec={"other_config": {"pmd-cpu-mask": "0x6"}, "bridges": [{"name": "a b"}]})
    assert refused["failed"] and len(refused["problems"]) == 2 and "nothing was changed" in refused["msg"]


def test_what_is_missing_is_a_refusal_but_in_check_mode_a_warning(node, warned):
    for number in (0, 1):
        node.pages(number, 0)
    assert "free hugepages have 0 MiB" in run(ovs_dpdk, spec=SPEC)["msg"]
    assert run(ovs_dpdk, check=True, spec=SPEC)["changed"]
    assert "free hugepages have 0 MiB" in str(warned)


def test_packages_are_refused_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(ovs_packages, "Host", lambda: Host(str(tmp_path), lambda *_: Completed(0, "", "")))
    refused = run(ovs_packages, ovs={})
    assert refused["failed"] and "is for Debian and Ubuntu" in refused["msg"]


def test_a_bundle_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(ovs_bundle, "Host", lambda: Host(str(tmp_path), lambda *_: Completed(0, "", "")))
    refused = run(ovs_bundle)
    assert refused["failed"] and [problem["variable"] for problem in refused["problems"]] == ["fastpath_ovs_provider"]
