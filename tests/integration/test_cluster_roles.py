# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cluster's roles as playbooks run them, with the real clients, on an API server in memory. No nodes are needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from fake_api import api_server, two_nodes
from nodes import Play, playbook

pytestmark = pytest.mark.no_nodes
NETWORKS = [
    {"name": "fast", "namespace": "apps", "type": "host-device", "pool": "nic", "ipam": {"type": "static"}},
    {"name": "far", "type": "macvlan", "master": "eth0", "ipam": {"type": "whereabouts", "range": "192.0.2.0/24"}},
]
POOLS = {"nic": {"selectors": [{"vendors": ["8086"], "drivers": ["vfio-pci"]}]}}
ABSENT = {"multus_state": "absent", "networks_state": "absent", "device_plugin_state": "absent"}


class Site:
    """A cluster with two nodes and what runs on it."""

    def __init__(self, kubeconfig: str, cluster: FakeCluster, folder: Any) -> None:
        self.kubeconfig, self.cluster, self.folder = kubeconfig, cluster, folder

    def run(self, *argv: str, **variables: Any) -> Play:
        return self.play("cluster_roles", *argv, **{"fastpath_networks": NETWORKS, **variables})

    def play(self, name: str, *argv: str, **variables: Any) -> Play:
        given = {
            "fastpath_kubeconfig": self.kubeconfig,
            "fastpath_hosts": "all",
            "fastpath_pools": POOLS,
            "fastpath_wait_timeout": 20,
            **variables,
        }
        inventory = self.folder / "hosts"
        inventory.write_text("node1\nnode2\n")
        words = ("--inventory", str(inventory), "--extra-vars", json.dumps(given), *argv)
        return playbook(name, *words, timeout=300)

    def versions(self) -> dict[Any, str]:
        return {key: item["metadata"]["resourceVersion"] for key, item in self.cluster.items.items() if key[0] != "Pod"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    cluster = two_nodes()
    with api_server(cluster, folder) as kubeconfig:
        yield Site(kubeconfig, cluster, folder)


def test_1_refusals_come_before_anything_is_changed(site):
    before = site.versions()
    wrong = [{**NETWORKS[0], "pool": "none"}, {**NETWORKS[1], "vlan": 3}]
    site.run(fastpath_networks=wrong).must_fail("fastpath_networks[0].pool = 'none'", "fastpath_networks[1].vlan")
    assert site.versions() == before


def test_2_check_mode_writes_nothing(site):
    before = site.versions()
    site.cluster.forget_calls()
    site.run("--check", "--diff").must_pass()
    assert (site.cluster.writes, site.versions()) == ([], before)


def test_3_the_first_run(site):
    run = site.run().must_pass()
    assert run.changed()["node1"] > 0
    cluster = site.cluster
    assert cluster.names("NetworkAttachmentDefinition") == ["fast", "far"]
    fast = cluster.find("NetworkAttachmentDefinition", "fast", "apps")
    assert fast["metadata"]["annotations"]["k8s.v1.cni.cncf.io/resourceName"] == "nfv.fastpath/nic"
    assert json.loads(fast["spec"]["config"])["type"] == "host-device"
    assert {"kube-multus-ds", "whereabouts"} < set(cluster.names("DaemonSet"))
    assert len(cluster.names("DaemonSet")) == 3
    groups = {item["metadata"]["labels"]["nfv.fastpath/device-plugin"] for item in cluster.of("Node")}
    assert len(groups) == 1


def test_4_the_second_run_writes_nothing(site):
    before = site.versions()
    site.cluster.forget_calls()
    run = site.run().must_pass()
    assert set(run.changed().values()) == {0}
    assert (site.cluster.writes, site.versions()) == ([], before)


def test_5_one_network_goes_and_a_namespace_is_missing(site):
    site.run(fastpath_networks=[{**NETWORKS[0], "name": "new", "namespace": "nowhere"}]).must_fail(
        "namespace = 'nowhere': does not exist in the cluster"
    )
    assert site.cluster.names("NetworkAttachmentDefinition") == ["fast", "far"]
    site.run(fastpath_networks=NETWORKS[:1]).must_pass()
    assert site.cluster.names("NetworkAttachmentDefinition") == ["fast"]
    assert "whereabouts" not in site.cluster.names("DaemonSet")


@pytest.mark.parametrize(
    ("role", "variable"),
    [
        ("networks", "fastpath_networks"),
        ("cni_plugins", "fastpath_networks"),
        ("device_plugin", "fastpath_resource_prefix"),
    ],
)
def test_5_what_other_nodes_do_not_see_is_refused(site, role, variable):
    """Else nobody would want a network, and all would be removed."""
    site.cluster.forget_calls()
    site.play("own_variables", place="block", role=role, wanted=NETWORKS[:1]).must_fail(
        f"{variable} = 'set': is set in a play, block or role, where other nodes do not see it"
    )
    assert site.cluster.writes == []


@pytest.mark.parametrize("variables", [{"place": "facts"}, {"place": "", "fastpath_networks": NETWORKS[:1]}])
def test_5_facts_and_extra_variables_are_seen_by_all(site, variables):
    site.cluster.forget_calls()
    site.play("own_variables", role="networks", wanted=NETWORKS[:1], **variables).must_pass()
    assert site.cluster.writes == []
    assert site.cluster.names("NetworkAttachmentDefinition") == ["fast"]


def test_6_nodes_are_drained_and_come_back(site):
    cluster = site.cluster
    cluster.put(pod("app", on="node1", resources={"nfv.fastpath/nic": "1"}))
    run = site.run(drained=True, fastpath_networks=NETWORKS[:1], rollout_disrupts=["VFs change"])
    run.must_fail("Pods would have to leave: apps/app (1 x nfv.fastpath/nic)", "fastpath_disruption_ok")
    assert cluster.find("Pod", "app", "apps")
    site.run(drained=True, fastpath_networks=NETWORKS[:1], fastpath_disruption_ok=True).must_pass()
    assert cluster.find("Pod", "app", "apps") is None
    for item in cluster.of("Node"):
        assert not item["spec"].get("unschedulable")
        assert not any(key.startswith("nfv.fastpath/rollout") for key in item["metadata"]["annotations"])


def test_7_teardown_leaves_the_cluster_as_it_was(site):
    site.run(**ABSENT).must_pass()
    assert {key[0] for key in site.cluster.items} == {"Node", "Namespace"}
    again = site.run(**ABSENT).must_pass()
    assert set(again.changed().values()) == {0}
