# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups meet a cluster whose plugin pods find devices as the real ones do: at their start and never again."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import plan_objects
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_cluster import (
    DevicePluginTask,
    offered_resources,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import GROUP_LABEL, SEEN_ANNOTATION
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices, fingerprint
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._images import image
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import node
from ansible_collections.nfv.fastpath.tests.unit.device_plugin_model import Vf, advertised
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from ansible_collections.nfv.fastpath.tests.unit.manifests import rendered

PF = "0000:81:00.0"


class Site:
    """A cluster with nodes that have VFs, and what the roles do to it."""

    def __init__(self, *names: str) -> None:
        self.cluster = FakeCluster(*[node(name) for name in names])
        self.cluster.on_sleep.append(self.kubelets)
        self.vfs: dict[str, list[Vf]] = {name: [] for name in names}
        self.started: dict[str, list[Vf]] = {}
        self.registers_at: dict[str, float] = {}

    def kubelets(self) -> None:
        """A node offers what its plugin pod found when it started."""
        for item in self.cluster.of("Node"):
            name = item["metadata"]["name"]
            if self.cluster.now < self.registers_at.get(name, 0):
                continue
            own = [pod for pod in self.cluster.of("Pod") if pod["spec"]["nodeName"] == name]
            item["status"]["allocatable"] = {"cpu": "4"}
            for pod in own:
                if pod["metadata"].get("deletionTimestamp"):
                    continue
                found = self.started.setdefault(pod["metadata"]["uid"], list(self.vfs[name]))
                group = pod["metadata"]["labels"][GROUP_LABEL]
                config = self.cluster.find("ConfigMap", f"sriov-device-plugin-{group}", "kube-system")
                offered = advertised(config["data"]["config.json"], found)
                item["status"]["allocatable"].update({key: str(len(value)) for key, value in offered.items()})

    def member(self, name: str, dpdk: tuple[int, ...], kernel: tuple[int, ...] = ()) -> dict[str, Any]:
        """As the module on the node returns it."""

        def part(pool: str, indexes: tuple[int, ...], driver: str) -> PoolDevices:
            state = tuple(
                {"address": f"{PF}-{vf.index}", "driver": vf.driver} for vf in self.vfs[name] if vf.index in indexes
            )
            return PoolDevices(pool, PF, indexes, driver, None, pool, state)

        parts = [part("dpdk", dpdk, "vfio-pci"), part("kernel", kernel, "kernel")]
        devices = [one for one in parts if one.indexes]
        return {"devices": [one.as_json() for one in devices], "fingerprint": fingerprint(devices), "prefix": "e.com"}

    def make(self, name: str, dpdk: tuple[int, ...], kernel: tuple[int, ...] = ()) -> dict[str, Any]:
        """Give a node VFs with the drivers that the pools want."""
        self.vfs[name] = [Vf(PF, index, "vfio-pci") for index in dpdk] + [Vf(PF, index, "igbvf") for index in kernel]
        return self.member(name, dpdk, kernel)

    def roll(self, present: bool = True, timeout: float = 60, **members: dict[str, Any]) -> dict[str, Any]:
        """The tasks of the role."""
        kube = self.cluster.kube()
        groups = DevicePluginTask(members, present).result(kube, False)["groups"]
        objects = rendered(
            "device_plugin",
            "objects.yaml.j2",
            __device_plugin_groups=groups,
            device_plugin_image=image("sriov-network-device-plugin"),
            device_plugin_kubelet_dir="/var/lib/kubelet",
        )
        ours = {
            key: item
            for key, item in self.cluster.items.items()
            if key[0] in ("ConfigMap", "DaemonSet", "ServiceAccount")
        }
        plan = plan_objects(objects, ours, "device_plugin", (), present)
        for item in plan.apply:
            self.cluster.apply(item)
        for item in plan.remove:
            self.cluster.drop(item)
        result = DevicePluginTask(members, present, True, timeout).result(kube, False)
        return {**result, "objects": len(plan.apply) + len(plan.remove)}

    def reboot(self, name: str, registers_after: float = 0) -> None:
        """The container starts anew in the same pod, and finds what is there at that moment."""
        for uid in self.pods(name):
            self.started[uid] = list(self.vfs[name])
        self.cluster.find("Node", name)["status"]["allocatable"] = {"cpu": "4"}
        self.registers_at[name] = self.cluster.now + registers_after
        if not registers_after:
            self.kubelets()

    def offered(self, name: str) -> dict[str, str]:
        have = self.cluster.find("Node", name)["status"]["allocatable"]
        return {key: value for key, value in have.items() if "/" in key}

    def pods(self, name: str) -> list[str]:
        return [pod["metadata"]["uid"] for pod in self.cluster.of("Pod") if pod["spec"]["nodeName"] == name]


def test_first_run_second_run_teardown():
    site = Site("node1", "node2", "node3")
    members = {name: site.make(name, (0, 1), (2, 3)) for name in ("node1", "node2")}
    members["node3"] = site.make("node3", ())
    first = site.roll(**members)
    assert first["changed"]
    assert [step["target"] for step in first["operations"]] == ["node1", "node2"]
    assert len(first["groups"]) == 1
    for name in ("node1", "node2"):
        assert site.offered(name) == {"e.com/dpdk": "2", "e.com/kernel": "2"}
    assert site.offered("node3") == {}
    before = (site.pods("node1"), site.cluster.items[("Node", "", "node1")]["metadata"]["resourceVersion"])
    site.cluster.forget_calls()
    second = site.roll(**members)
    assert (second["changed"], second["objects"], site.cluster.writes) == (False, 0, [])
    assert before[0] == site.pods("node1")
    site.roll(present=False)
    assert {key[0] for key in site.cluster.items} == {"Node"}
    for item in site.cluster.of("Node"):
        assert GROUP_LABEL not in item["metadata"]["labels"]
        assert item["metadata"]["annotations"] == {}


def test_when_the_plugin_was_taken_off_no_node_offers_devices_and_its_objects_still_name_them():
    site = Site("node1", "node2")
    site.roll(**{name: site.make(name, (0, 1)) for name in ("node1", "node2")})
    kube = site.cluster.kube()
    result = DevicePluginTask(present=False, assign=True).result(kube, False)
    assert [step["target"] for step in result["operations"]] == ["node1", "node2"]
    assert (site.offered("node1"), site.offered("node2"), site.cluster.of("Pod")) == ({}, {}, [])
    assert offered_resources(site.cluster.of("ConfigMap")) == {"e.com/dpdk"}
    site.cluster.forget_calls()
    assert not DevicePluginTask(present=False, assign=True).result(kube, False)["changed"]
    assert site.cluster.writes == []


def test_a_plugin_that_does_not_end_on_a_node_that_is_up():
    site = Site("node1")
    site.roll(node1=site.make("node1", (0, 1)))
    (plugin,) = site.cluster.of("Pod")
    site.cluster.items["Node", "", "node1"]["metadata"]["labels"].pop(GROUP_LABEL)
    # Its DaemonSet does not want it any more; it stays all the same.
    site.cluster.put({**plugin, "metadata": {**plugin["metadata"], "ownerReferences": []}})
    with pytest.raises(FastpathError, match=f"did not end after 10 s: {plugin['metadata']['name']}"):
        DevicePluginTask(present=False, assign=True, wait_timeout=10).result(site.cluster.kube(), False)
    site.cluster.items["Node", "", "node1"]["status"]["conditions"][0]["status"] = "Unknown"
    DevicePluginTask(present=False, assign=True, wait_timeout=10).result(site.cluster.kube(), False)


def test_the_pool_moves_node_by_node():
    """From 2+4 to 4+2; the node whose turn has not come keeps its plugin pod and what it offers."""
    site = Site("node1", "node2")
    site.roll(**{name: site.make(name, (0, 1), (2, 3, 4, 5)) for name in ("node1", "node2")})
    (other,) = site.pods("node2")
    one = site.roll(node1=site.make("node1", (0, 1, 2, 3), (4, 5)))
    assert site.offered("node1") == {"e.com/dpdk": "4", "e.com/kernel": "2"}
    assert site.offered("node2") == {"e.com/dpdk": "2", "e.com/kernel": "4"}
    assert site.pods("node2") == [other]
    assert len(one["groups"]) == 2
    two = site.roll(node2=site.make("node2", (0, 1, 2, 3), (4, 5)))
    assert site.offered("node2") == {"e.com/dpdk": "4", "e.com/kernel": "2"}
    assert len(two["groups"]) == 1
    assert len(site.cluster.of("ConfigMap")) == 1


def test_a_node_never_has_two_plugins():
    site = Site("node1")
    site.roll(node1=site.make("node1", (0, 1)))
    most: list[int] = []
    site.cluster.on_sleep.append(lambda: most.append(len(site.pods("node1"))))
    site.roll(node1=site.make("node1", (0, 1, 2)))
    assert max(most) == 1


def test_a_vf_changed_and_nothing_else():
    """A VF gets the right driver only now: same configuration, but the plugin has to look again."""
    site = Site("node1", "node2")
    both = {name: site.make(name, (0, 1)) for name in ("node1", "node2")}
    site.vfs["node1"] = [Vf(PF, 0, "vfio-pci")]
    both["node1"] = site.member("node1", (0, 1))
    site.roll(**both)
    assert site.offered("node1") == {"e.com/dpdk": "1"}
    (old,), other = site.pods("node1"), site.pods("node2")
    result = site.roll(node1=site.make("node1", (0, 1)), node2=both["node2"])
    assert [step["action"] for step in result["operations"]] == ["restart_device_plugin"]
    assert site.offered("node1") == {"e.com/dpdk": "2"}
    assert site.pods("node1") != [old]
    assert site.pods("node2") == other


def lost_and_found(site: Site) -> dict[str, dict[str, Any]]:
    """node1's VFs went, its plugin started without them, and then the same VFs were made."""
    both = {name: site.make(name, (0, 1)) for name in ("node1", "node2")}
    site.roll(**both)
    site.vfs["node1"] = []
    site.reboot("node1")
    assert site.offered("node1") == {}
    assert site.make("node1", (0, 1)) == both["node1"]
    return both


def test_equal_vfs_come_back_and_the_plugin_started_without_them():
    site = Site("node1", "node2")
    both = lost_and_found(site)
    other = site.pods("node2")
    ahead = DevicePluginTask(both, assign=True).result(site.cluster.kube(), True)
    result = site.roll(**both)
    assert [(step["action"], step["target"]) for step in result["operations"]] == [("restart_device_plugin", "node1")]
    assert ahead["operations"] == result["operations"]
    assert site.offered("node1") == {"e.com/dpdk": "2"}
    assert site.pods("node2") == other
    site.cluster.forget_calls()
    moment = site.cluster.now
    assert (site.roll(**both)["changed"], site.cluster.writes, site.cluster.now) == (False, [], moment)


def test_a_plugin_that_has_just_started_has_its_time_to_register():
    site = Site("node1")
    members = {"node1": site.make("node1", (0, 1))}
    site.roll(**members)
    before = site.pods("node1")
    site.reboot("node1", registers_after=30)
    site.cluster.forget_calls()
    assert (site.roll(**members)["changed"], site.cluster.writes) == (False, [])
    assert (site.offered("node1"), site.pods("node1")) == ({"e.com/dpdk": "2"}, before)


@pytest.mark.parametrize("down", ["node", "pod"])
def test_where_nothing_runs_there_is_nothing_to_restart(down):
    site = Site("node1", "node2")
    both = lost_and_found(site)
    item = (
        site.cluster.find("Node", "node1")
        if down == "node"
        else site.cluster.find("Pod", f"{site.cluster.names('DaemonSet')[0]}-node1", "kube-system")
    )
    item["status"]["conditions"][0]["status"] = "False"
    site.cluster.forget_calls()
    assert (site.roll(**both)["changed"], site.cluster.writes) == (False, [])


def test_a_plugin_that_finds_nothing_is_started_once_a_run():
    site = Site("node1", "node2")
    both = lost_and_found(site)
    site.vfs["node1"] = []
    site.cluster.forget_calls()
    with pytest.raises(FastpathError, match="node1: e.com/dpdk is 0, expected 2"):
        site.roll(timeout=100, **both)
    assert len(site.cluster.writes) == 1


def test_cut_off_before_the_mark_the_plugin_is_started_again():
    site = Site("node1")
    site.roll(node1=site.make("node1", (0, 1)))
    del site.cluster.find("Node", "node1")["metadata"]["annotations"][SEEN_ANNOTATION]
    result = site.roll(node1=site.member("node1", (0, 1)))
    assert [step["action"] for step in result["operations"]] == ["restart_device_plugin"]
    assert not site.roll(node1=site.member("node1", (0, 1)))["changed"]


def test_requests_do_not_depend_on_the_number_of_nodes():
    counts = []
    for number in (2, 40):
        names = [f"node{index}" for index in range(number)]
        site = Site(*names)
        members = {name: site.make(name, (0, 1)) for name in names}
        site.roll(**members)
        site.cluster.forget_calls()
        site.roll(**members)
        counts.append(len(site.cluster.calls))
    assert counts[0] == counts[1]


def test_check_mode():
    site = Site("node1")
    members = {"node1": site.make("node1", (0, 1))}
    ahead = DevicePluginTask(members, assign=True).result(site.cluster.kube(), True)
    assert site.cluster.writes == []
    real = site.roll(node1=members["node1"])
    assert ahead["operations"] == real["operations"]
    assert ahead["changed"] is real["changed"] is True


def test_without_assign_nodes_are_left_alone():
    site = Site("node1")
    result = DevicePluginTask({"node1": site.make("node1", (0, 1))}).result(site.cluster.kube(), False)
    assert (result["changed"], result["operations"], site.cluster.writes) == (False, [], [])
    assert len(result["groups"]) == 1


def test_waiting_in_vain():
    site = Site("node1")
    site.cluster.images_pull = False
    with pytest.raises(FastpathError) as failed:
        site.roll(timeout=20, node1=site.make("node1", (0, 1)))
    assert "node1: main: ImagePullBackOff (no such image)" in failed.value.message
    assert failed.value.message.startswith("The device plugin is not ready after 20 s")


def test_devices_that_the_plugin_does_not_find():
    site = Site("node1")
    member = site.make("node1", (0, 1))
    site.vfs["node1"] = site.vfs["node1"][:1]
    with pytest.raises(FastpathError, match="node1: e.com/dpdk is 1, expected 2"):
        site.roll(timeout=20, node1=member)


def test_a_node_that_is_down_is_not_waited_for():
    site = Site("node1")
    site.cluster.find("Node", "node1")["status"]["conditions"][0]["status"] = "Unknown"
    site.cluster.images_pull = False
    site.roll(timeout=20, node1=site.make("node1", (0, 1)))


def test_a_plugin_that_does_not_end():
    site = Site("node1")
    site.roll(node1=site.make("node1", (0, 1)))
    for pod in site.cluster.of("Pod"):
        pod["metadata"]["finalizers"] = ["x"]
    site.vfs["node1"] = []
    with pytest.raises(FastpathError, match="did not end after 20 s: sriov-device-plugin-"):
        site.roll(timeout=20, node1=site.member("node1", (0, 1)))


def test_refusals():
    site = Site("node1")
    with pytest.raises(Refused, match="fastpath_node_name = 'node9'"):
        DevicePluginTask({"node9": site.make("node1", (0, 1))}).result(site.cluster.kube(), False)
    wrong = {**site.make("node1", (0,)), "prefix": "E.com", "pools": {"dpdk": {"x": 1}}}
    with pytest.raises(Refused) as refused:
        DevicePluginTask({"node1": wrong}).result(site.cluster.kube(), False)
    assert {problem.variable for problem in refused.value.problems} == {
        "fastpath_pools.dpdk.x",
        "fastpath_resource_prefix",
    }
    assert site.cluster.writes == []


def test_a_node_that_is_yet_to_join_is_foreseen_and_waited_for_by_nobody():
    site = Site("node1")
    site.vfs["node2"] = [Vf(PF, 0, "vfio-pci")]
    members = {"node2": site.member("node2", (0,))}
    coming = {"node2": {**members["node2"], "joins": True}}
    ahead = DevicePluginTask(coming, assign=True).result(site.cluster.kube(), True)
    assert [(step["action"], step["target"]) for step in ahead["operations"]] == [("move_device_plugin", "node2")]
    assert ahead["warnings_found"] == ["Node node2 is yet to join the cluster."]
    for given, dry_run in ((members, True), (coming, False)):
        with pytest.raises(Refused, match="is no node of the cluster"):
            DevicePluginTask(given, assign=True).result(site.cluster.kube(), dry_run)
    site.cluster.put(node("node2"))
    assert DevicePluginTask(coming).result(site.cluster.kube(), True)["warnings_found"] == []
