# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Open vSwitch could not run with is refused on a stock node, before anything is changed."""

from __future__ import annotations

import re

import pytest
from nodes import OWN, difference, fingerprint, lab, playbook
from ovs_spec import SPEC, spec

pytestmark = pytest.mark.one_node


def wrong(keys, *ports):
    bridge = SPEC["fastpath_ovs"]["bridges"][0]
    return {
        "other_config": {**SPEC["fastpath_ovs"]["other_config"], **keys},
        "bridges": [{**bridge, "ports": [*bridge["ports"], *ports]}],
    }


BOND_OF_ONE = {"name": "bond0", "type": "bond", "members": [{"name": "dpdk1", "type": "dpdk", "pci": "0000:81:10.2"}]}
BOUND_TO_KERNEL = {"name": "dpdk1", "type": "dpdk", "pci": "0000:01:00.0"}
IN_NO_FOLDER = {"name": "vhost1", "type": "dpdkvhostuserclient", "socket": "/sys/kernel/vhost1.sock"}
# What a spec says of itself is refused before a node is looked at, so there are two lots.
REFUSALS = {
    "of the spec": (
        wrong({"pmd-cpu-mask": "0x2"}, BOND_OF_ONE),
        [r"pmd-cpu-mask\W+0x2.*list", "members.*at least 2 members of a bond"],
    ),
    "of the node": (
        wrong({"pmd-cpu-mask": "9", "dpdk-socket-mem": {0: 4096}}, BOUND_TO_KERNEL, IN_NO_FOLDER),
        [
            "pmd-cpu-mask.*CPU 9.*not there",
            "dpdk-socket-mem.*4096 MiB on NUMA node 0.*will have 384 MiB",
            "0000:01:00.0.*driver igb.*vfio-pci",
            "/sys/kernel/vhost1.sock",
        ],
    ),
}


@pytest.fixture(scope="module")
def node(lab_is_up):
    lab("restore", OWN)
    return OWN


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_input_is_refused_before_anything_is_changed(node, name):
    start = fingerprint(node)
    changes, lines = REFUSALS[name]
    wanted = spec(fastpath_dpdk={}, fastpath_ovs={**SPEC["fastpath_ovs"], **changes})
    refused = playbook("site", "--limit", node, *wanted).must_fail("nothing was changed", node)
    said = re.sub(r"\s+", " ", refused.out)
    for line in lines:
        assert re.search(line, said), f"{line!r} is not in the output:\n{refused.out[-6000:]}"
    assert difference(start, fingerprint(node)) == []


@pytest.mark.slow
def test_a_pair_of_versions_that_does_not_belong_together_is_refused(node):
    start = fingerprint(node)
    other = {"dpdk": {"version": "23.11.2", "sha256": "0" * 64, "url": "https://example.org/dpdk.tar.xz"}}
    source = spec(fastpath_ovs_provider="source", fastpath_artefacts=other)
    playbook("site", "--limit", node, *source).must_fail("Open vSwitch 3.6.3 with DPDK 23.11.2", "DPDK 24.11")
    assert difference(start, fingerprint(node)) == []
