# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node agent in the playbooks as a whole, on a cluster in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import pod
from playbook_site import playbook_site

pytestmark = pytest.mark.no_nodes
PORTS = {"name": "ports", "backend": "ovs", "bridge": "br0", "ports": 4}
SOCKETS: dict[str, Any] = {
    "fastpath_node_agent": {"pools": [PORTS]},
    "fastpath_ovs": {"other_config": {"dpdk-init": True}, "bridges": [{"name": "br0"}]},
    "fastpath_networks": [{"name": "fast", "namespace": "apps", "type": "vdpa", "pool": "ports"}],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with playbook_site(tmp_path_factory.mktemp("site")) as made:
        yield made


def test_1_wrong_input_is_refused_before_anything_is_changed(site):
    wrong = {**SOCKETS, "fastpath_ovs": {"bridges": []}}
    site.run("site", **wrong).must_fail("fastpath_node_agent.pools[0].bridge = 'br0': is no bridge of fastpath_ovs")
    assert site.cluster.writes == []
    assert site.calls() == {"preflight": 2}


def test_2_sockets_come_with_the_nodes_are_found_again_and_go(site):
    site.run("plan", **SOCKETS).must_pass()
    assert site.cluster.writes == []
    site.run("site", **SOCKETS).must_pass()
    for node in site.cluster.of("Node"):
        assert node["status"]["allocatable"]["nfv.fastpath/ports"] == "4"
    assert len([name for name in site.cluster.names("DaemonSet") if name.startswith("node-agent-")]) == 1
    (network,) = site.cluster.of("NetworkAttachmentDefinition")
    assert json.loads(network["spec"]["config"])["pool"] == "ports"
    site.run("site", **SOCKETS).must_pass()
    assert site.cluster.writes == []
    site.run("site", fastpath_node_agent={"pools": []}).must_pass()
    for node in site.cluster.of("Node"):
        assert "nfv.fastpath/ports" not in node["status"]["allocatable"]
        assert "nfv.fastpath/node-agent" not in node["metadata"]["labels"]
    assert not [name for name in site.cluster.names("DaemonSet") if name.startswith("node-agent-")]


def test_3_teardown_takes_pods_with_sockets_away_before_their_agent(site):
    site.run("site", **SOCKETS).must_pass()
    site.cluster.put(pod("socketed", on="node1", resources={"nfv.fastpath/ports": "1"}))
    site.run("teardown", **SOCKETS).must_fail("apps/socketed (1 x nfv.fastpath/ports)", "fastpath_disruption_ok")
    site.run("teardown", **SOCKETS, fastpath_disruption_ok=True).must_pass()
    assert {key[0] for key in site.cluster.items} == {"Node", "Namespace"}
