# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The concern against a real Open vSwitch on this machine, in a folder and a network namespace of its own.

DPDK runs without hugepages and devices, so this shows what no model can: that the real programs take it.
"""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError
from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern
from ansible_collections.nfv.fastpath.tests.ovs_sandbox import EAL, make_sandbox


@pytest.fixture(name="ovs")
def sandbox(tmp_path_factory):
    made = make_sandbox(tmp_path_factory.mktemp("ovs") / "node")
    made.start_server()
    yield made
    made.stop()


def spec(folder, **config):
    keys = {"dpdk-init": True, "pmd-cpu-mask": "1", "dpdk-extra": EAL, "per-port-memory": True, **config}
    ports = [{"name": "v0", "type": "dpdkvhostuserclient", "socket": f'{folder}/a "b" \\c.sock', "mtu_request": 1400}]
    flows = ["priority=5,in_port=LOCAL,actions=output:1", "priority=0,actions=drop"]
    return {"other_config": keys, "bridges": [{"name": "br0", "flows": flows, "ports": ports}]}


def apply(ovs, wanted, **options):
    return converge(OvsDpdkConcern(ovs, timeout=20), Request(spec=wanted, **options))


def test_the_whole_way(ovs):
    wanted = spec(ovs.folder)
    assert apply(ovs, wanted).changed
    assert ovs.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized") == "true"
    assert [check.id for check in verify(OvsDpdkConcern(ovs), wanted) if not check.ok] == []
    transactions = ovs.transactions()
    assert not apply(ovs, wanted).changed
    assert ovs.transactions() == transactions
    with pytest.raises(
        FastpathError, match=r"Unable to initialize DPDK.*former configuration was restored, and .* runs"
    ):
        apply(ovs, spec(ovs.folder, **{"dpdk-extra": "--no-such-option"}), disruption_ok=True)
    assert [step.action for step in apply(ovs, wanted).operations] == ["save_desired"]
    ovs.kill()
    assert [step.action for step in apply(ovs, wanted).operations] == ["start_vswitchd"]
    converge(OvsDpdkConcern(ovs, timeout=20), Request(present=False, disruption_ok=True))
    assert ovs.vsctl("list-br") == ""
    assert ovs.vsctl("get", "Open_vSwitch", ".", "other_config") == "{}"
    assert ovs.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized") == "false"
