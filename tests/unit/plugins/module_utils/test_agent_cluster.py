# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Agents on the nodes of a cluster in memory: groups, ports as resources, users, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_cluster import (
    NUMBER_ANNOTATION,
    AgentGroupsTask,
    agent_resources,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_groups import GROUP_LABEL, PORTS_ANNOTATION
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import plan_objects
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from ansible_collections.nfv.fastpath.tests.unit.manifests import rendered

VDPA = {"pools": [{"name": "fast"}]}
BOTH = {"pools": [{"name": "fast"}, {"name": "ports", "backend": "ovs", "bridge": "br0", "ports": 8}]}
FOLDERS = {
    "node_agent_kubelet_dir": "/var/lib/kubelet",
    "node_agent_bin_dir": "/opt/cni/bin",
    "node_agent_config_dir": "/etc/cni/net.d",
}
KINDS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet")


def member(agent: dict[str, Any] | None, pf: str = "0000:02:00.0") -> dict[str, Any]:
    state = tuple({"address": f"{pf[:-1]}{index}", "driver": "vfio-pci"} for index in (1, 2))
    part = PoolDevices("fast", pf, (0, 1), "vfio-pci", None, "fast", state)
    pages = [{"size": "2M", "count": 512}]
    return {"devices": [part.as_json()], "agent": agent, "hugepages": pages, "prefix": "e.com", "pools": None}


class Site:
    def __init__(self, *names: str) -> None:
        self.cluster = FakeCluster(*[node(name) for name in names])

    def roll(self, present: bool = True, only: tuple[str, ...] = (), **members: dict[str, Any]) -> dict[str, Any]:
        """The tasks of the role that talk to the cluster."""
        return self.roll_with({}, present, only, **members)

    def roll_with(
        self, options: dict[str, Any], present: bool = True, only: tuple[str, ...] = (), **members: dict[str, Any]
    ) -> dict[str, Any]:
        kube = self.cluster.kube()
        if present:
            ahead = AgentGroupsTask(members, **options).result(kube, False)
            self.objects(ahead["groups"])
        done = AgentGroupsTask(members, present, True, only, wait_timeout=30, **options).result(kube, False)
        return {**done, "warnings_found": [*(ahead["warnings_found"] if present else []), *done["warnings_found"]]}

    def objects(self, groups: list[dict[str, Any]]) -> int:
        image = {"node_agent_image": "e.com/agent:v1", "node_agent_image_pull_policy": "IfNotPresent"}
        items = rendered("node_agent", "objects.yaml.j2", __node_agent_groups=groups, **image, **FOLDERS)
        ours = {key: item for key, item in self.cluster.items.items() if key[0] in KINDS}
        plan = plan_objects(items, ours, "node_agent", (), bool(groups))
        for item in plan.apply:
            self.cluster.apply(item)
        for item in plan.remove:
            self.cluster.drop(item)
        return len(plan.apply) + len(plan.remove)

    def node(self, name: str) -> dict[str, Any]:
        found = self.cluster.find("Node", name)
        assert found is not None
        return found

    def offered(self, name: str) -> dict[str, str]:
        return {key: value for key, value in self.node(name)["status"]["allocatable"].items() if "/" in key}

    def agents(self, name: str) -> list[str]:
        pods = [one["metadata"]["name"] for one in self.cluster.of("Pod") if one["spec"]["nodeName"] == name]
        return [one for one in pods if one.startswith("node-agent-")]


def test_first_run_second_run_teardown():
    site = Site("node1", "node2", "node3")
    members = {"node1": member(BOTH), "node2": member(BOTH), "node3": member(None)}
    first = site.roll(**members)
    assert [step["action"] for step in first["operations"]] == ["move_node_agent"] * 2 + ["offer_ports"] * 2
    assert site.offered("node1") == {"e.com/ports": "8"}
    assert len(site.agents("node1")) == 1 and site.agents("node3") == []
    assert json.loads(site.node("node1")["metadata"]["annotations"][PORTS_ANNOTATION]) == ["e.com/ports"]
    site.cluster.forget_calls()
    again = site.roll(**members)
    assert not again["changed"] and site.cluster.writes == []
    maps = site.cluster.of("ConfigMap")
    assert agent_resources(maps) == {"e.com/fast", "e.com/ports"}
    gone = site.roll(present=False, only=("node1",))
    assert gone["changed"] and site.agents("node1") == [] and site.agents("node2")
    assert "e.com/ports" not in site.offered("node1") and site.offered("node2") == {"e.com/ports": "8"}
    site.roll(present=False)
    assert site.objects([]) > 0
    assert all(GROUP_LABEL not in item["metadata"]["labels"] for item in site.cluster.of("Node"))
    assert all(item["metadata"]["annotations"] == {} for item in site.cluster.of("Node"))


def test_a_dry_run_says_the_same_and_writes_nothing():
    site = Site("node1")
    kube = site.cluster.kube()
    ahead = AgentGroupsTask({"node1": member(BOTH)}, True, True).result(kube, True)
    assert site.cluster.writes == []
    assert site.roll(node1=member(BOTH))["operations"] == ahead["operations"]


def test_ports_that_are_fewer_or_none():
    site = Site("node1")
    site.roll(node1=member(BOTH))
    fewer = {"pools": [{"name": "ports", "backend": "ovs", "bridge": "br0", "ports": 2}]}
    site.roll(node1=member(fewer))
    assert site.offered("node1") == {"e.com/ports": "2"}
    site.roll(node1=member(VDPA))
    assert site.offered("node1") == {}
    site.node("node1")["status"]["capacity"] = {"e.com/theirs": "1"}
    assert not site.roll(node1=member(VDPA))["changed"]


def test_what_a_kubelet_forgot_comes_back():
    site = Site("node1")
    site.roll(node1=member(BOTH))
    site.node("node1")["status"]["capacity"]["e.com/ports"] = "0"
    assert [step["action"] for step in site.roll(node1=member(BOTH))["operations"]] == ["offer_ports"]
    assert site.offered("node1") == {"e.com/ports": "8"}


def test_pods_with_sockets_are_not_cut_off_without_consent():
    site = Site("node1")
    site.roll(node1=member(VDPA))
    agents = site.agents("node1")
    site.cluster.put(pod("app", on="node1", resources={"e.com/fast": "1"}))
    with pytest.raises(Refused) as refused:
        site.roll(node1=member(BOTH))
    assert "apps/app (1 x e.com/fast) on node1" in str(refused.value)
    assert site.agents("node1") == agents
    done = site.roll_with({"consent": True}, node1=member(BOTH))
    assert "apps/app" in done["warnings_found"][0]


def test_nodes_of_others_keep_their_group():
    site = Site("node1", "node2")
    site.roll(node1=member(VDPA), node2=member(BOTH))
    site.roll(node1=member(BOTH, "0000:81:00.0"))
    assert site.agents("node2") and len(site.cluster.names("ConfigMap")) == 2


def test_an_agent_that_does_not_come_is_an_error():
    site = Site("node1")
    site.cluster.images_pull = False
    with pytest.raises(FastpathError) as late:
        site.roll(node1=member(VDPA))
    assert "ImagePullBackOff" in late.value.message


def test_addresses_stay_with_their_node():
    agent = {**VDPA, "host_nic": [{"pool": "fast", "network": "192.0.2.0/24", "per_node": 2}]}
    site = Site("node1", "node2")
    (first,) = site.roll(node2=member(agent))["host_nics"].values()
    assert [entry["ipAddr"] for entry in first] == ["192.0.2.1", "192.0.2.2"]
    both = site.roll(node1=member(agent), node2=member(agent))["host_nics"]
    assert both["node2"] == first
    assert [entry["ipAddr"] for entry in both["node1"]] == ["192.0.2.3", "192.0.2.4"]
    assert site.node("node1")["metadata"]["annotations"][NUMBER_ANNOTATION] == "1"
    site.roll(present=False)
    assert NUMBER_ANNOTATION not in site.node("node1")["metadata"]["annotations"]


def test_a_node_that_is_none():
    with pytest.raises(Refused) as refused:
        Site("node1").roll(node9=member(VDPA))
    assert "fastpath_node_name = 'node9'" in str(refused.value)


def test_the_manifest_of_each_kind_of_agent():
    site = Site("node1", "node2")
    ports_only = {"pools": [BOTH["pools"][1]]}
    site.roll(node1=member(VDPA), node2=member(ports_only))
    by_privilege = {}
    for item in site.cluster.of("DaemonSet"):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        by_privilege[container["securityContext"].get("privileged", False)] = container
    assert by_privilege[True]["resources"]["limits"]["hugepages-2Mi"] == "128Mi"
    assert by_privilege[False]["securityContext"]["capabilities"]["add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    mounts = {mount["name"] for mount in by_privilege[False]["volumeMounts"]}
    assert "openvswitch" in mounts and "vfio" not in mounts
    assert "vfio" in {mount["name"] for mount in by_privilege[True]["volumeMounts"]}
