# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""VFs on igb_uio, which no kernel brings: built by its package on a stock node, kept over a reboot, given back."""

from __future__ import annotations

import pytest
from nodes import difference, fingerprint, lab, must_be_running, playbook, ssh, with_spec

pytestmark = [pytest.mark.one_node, pytest.mark.slow]
PF = {"vendor": "8086", "device": "10c9", "numa_node": 1}
SPEC = {
    "fastpath_hugepages": [],
    "fastpath_sriov": [{"pf": PF, "num_vfs": 2, "vfs": [{"indexes": "0-1", "driver": "igb_uio"}]}],
    "fastpath_dpdk": {"modules": ["igb_uio"], "tools": False},
}


def devices(node: str) -> str:
    return ssh(node, "ls /sys/bus/pci/drivers/igb_uio | grep -c :; ls /dev | grep -c '^uio'")


def test_from_a_stock_node_and_back(fresh_node):
    start = fingerprint(fresh_node)
    limit = ("--limit", fresh_node)
    playbook("plan", *limit, *with_spec(**SPEC)).must_pass()
    assert difference(start, fingerprint(fresh_node)) == []
    translating = with_spec(**SPEC, fastpath_kernel_args={})
    playbook("site", *limit, *translating).must_fail("igb_uio", "physical addresses", "passthrough")
    assert difference(start, fingerprint(fresh_node)) == []

    playbook("site", *limit, *with_spec(**SPEC), timeout=2400).must_pass()
    assert devices(fresh_node).split() == ["2", "2"]
    assert playbook("site", *limit, *with_spec(**SPEC)).must_pass().changed() == {fresh_node: 0}

    lab("reset", fresh_node)
    must_be_running(fresh_node)
    assert devices(fresh_node).split() == ["2", "2"]

    playbook("teardown", *limit, *with_spec(**SPEC), timeout=2400).must_pass()
    assert difference(start, fingerprint(fresh_node)) == []
