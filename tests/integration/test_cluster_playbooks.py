# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks as a whole, with the real clients on an API server in memory; what works on nodes is stood in for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import Answer, Ask
from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import TAINT
from ansible_collections.nfv.fastpath.plugins.module_utils._plan import Operation
from ansible_collections.nfv.fastpath.tests.unit.cluster_items import pod
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster
from playbook_site import ANSWERS, playbook_site

pytestmark = pytest.mark.no_nodes
DISRUPTS = {**ANSWERS["preflight"], "disrupts": ["VFs change"]}
REBOOTS = {**ANSWERS["preflight"], "reboot_reasons": {"hugepages": "pages of 1G"}}
PF = {"address": "0000:81:00.0"}
VFS = [{"pf": PF, "num_vfs": 2, "vfs": [{"indexes": "0-1", "pool": "nic"}]}]
OF_POOL = {"name": "fast", "namespace": "apps", "type": "sriov", "pool": "nic", "ipam": {"type": "static"}}
# A node that is to join, on a cluster where all is to be done: refused, nothing of it may have begun.
NEW = {
    "fastpath_sriov": VFS,
    "fastpath_container_runtime": {"version": "2.2"},
    "fastpath_kubernetes": {"join": "kubeadm", "endpoint": "192.0.2.1:6443", "ca_hash": "sha256:0"},
}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown selector key": (
        {"fastpath_pools": {"nic": {"selectors": {"needVhost": True}}}},
        "fastpath_pools.nic.selectors.needVhost = True: is no selector that the device plugin knows",
    ),
    "two pools that claim one VF": (
        {"fastpath_vdpa": [{"pf": PF, "indexes": 1, "pool": "vdpa"}]},
        "fastpath_vdpa[0].pool = 'vdpa': claims VF 1 of address 0000:81:00.0, which fastpath_sriov[0].vfs[0] has "
        "already: a VF belongs to one pool",
    ),
    "a pool that does not exist": (
        {"fastpath_networks": [{**OF_POOL, "pool": "nick"}]},
        "fastpath_networks[0].pool = 'nick': is a pool that no node has. Did you mean nic?",
    ),
    "a wrong prefix of resources": (
        {"fastpath_resource_prefix": "Example.com/"},
        "fastpath_resource_prefix = 'Example.com/': must be",
    ),
    "a prefix that is not the pool's": (
        {"fastpath_networks": [{**OF_POOL, "pool": "example.com/nic"}]},
        "fastpath_networks[0].pool = 'example.com/nic': has another prefix than the pool: write nic, or "
        "nfv.fastpath/nic",
    ),
    "a namespace that is missing": (
        {"fastpath_networks": [{**OF_POOL, "namespace": "nowhere"}]},
        "namespace = 'nowhere': does not exist in the cluster, and fast is to be in it: create it, or name another",
    ),
}


@contextmanager
def refusing(cluster: FakeCluster, text: str, message: str) -> Iterator[None]:
    """Writes with this text are forbidden."""
    request = cluster.request

    def other(ask: Ask) -> Answer:
        return Answer(403, {"message": message}) if text in json.dumps(ask.body) else request(ask)

    cluster.request = other  # type: ignore[method-assign]
    try:
        yield
    finally:
        cluster.request = request  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with playbook_site(tmp_path_factory.mktemp("site")) as made:
        yield made


def test_1_without_a_cluster_every_node_is_looked_at_once(site):
    site.run("site", with_cluster=False).must_pass()
    assert site.calls()["preflight"] == 2
    assert site.cluster.writes == []


def test_2_a_plan_writes_nothing(site):
    site.run("plan").must_pass()
    assert site.cluster.writes == []


def test_2_a_plan_foresees_a_node_that_is_yet_to_join(site):
    joins = {"joins": True, "changed": True}
    answers = {"kube_join": {"node1": joins, "node2": {}}, "preflight": DISRUPTS}
    there = site.cluster.items.pop(("Node", "", "node1"))
    more = {"fastpath_kubernetes": {"join": "init"}, "fastpath_disruption_ok": True}
    done = site.run("plan", answers=answers, **more).must_pass()
    assert "Node node1 is yet to join the cluster." in done.out
    assert site.cluster.writes == []
    site.run("plan", **more).must_fail("is no node of the cluster")
    site.cluster.items = {("Node", "", "node1"): there, **site.cluster.items}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_2_wrong_input_is_one_message_before_anything_is_changed(site, name):
    variables, message = WRONG[name]
    refused = site.run("site", **{**NEW, "fastpath_networks": [OF_POOL], **variables}).must_fail(message)
    assert (refused.out.count("fatal: "), refused.out.count("variable: ")) == (1, 1)
    assert site.cluster.writes == []
    assert site.calls() == {"preflight": 2}


def test_2_a_cluster_that_is_too_old_is_refused_as_early(site, monkeypatch):
    monkeypatch.setattr(site.cluster, "version", "v1.15.12")
    refused = site.run("site", **NEW).must_fail("cluster = 'Kubernetes v1.15.12': is older than 1.24")
    assert (refused.out.count("fatal: "), refused.out.count("variable: ")) == (1, 1)
    assert site.cluster.writes == []
    assert site.calls() == {"preflight": 2}


def test_2_a_device_plugin_of_others_is_found_as_early(site):
    others = {"name": "theirs", "image": "registry.example.com/sriov-network-device-plugin:v3.9.0"}
    template = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [others]}}
    there = site.cluster.put(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "theirs", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": {"app": "theirs"}}, "template": template},
        }
    )
    try:
        site.run("site", **NEW).must_fail("DaemonSet kube-system/theirs", "runs registry.example.com/sriov-network")
        assert site.cluster.writes == []
        assert site.calls() == {"preflight": 2}
    finally:
        site.cluster.drop(there)


@pytest.mark.parametrize("empty", [{"fastpath_pools": {}, "fastpath_sriov": [], "fastpath_vdpa": []}, {}])
def test_2_no_pools_are_a_valid_configuration(site, empty):
    site.run("plan", **{**empty, "fastpath_networks": []}).must_pass()
    assert site.cluster.writes == []


def test_3_the_clusters_part_then_the_nodes_then_all_together(site):
    site.run("site").must_pass()
    assert site.cluster.names("NetworkAttachmentDefinition") == ["far"]
    assert site.calls()["preflight"] == 4
    assert site.calls()["verify"] == 4
    report = json.loads((site.folder / "report/report.json").read_text())
    assert "cluster" in json.dumps(report)


def test_3_a_node_that_joined_with_the_taint_gets_pods_though_it_needs_nothing_else(site):
    theirs = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    site.cluster.of("Node")[1]["spec"]["taints"] = [theirs, {"key": TAINT, "effect": "NoSchedule"}]
    site.run("site").must_pass()
    assert site.cluster.of("Node")[1]["spec"]["taints"] == [theirs]
    del site.cluster.of("Node")[1]["spec"]["taints"]


def test_4_pods_leave_by_consent_only_and_the_empty_node_is_looked_at_again(site):
    site.cluster.put(pod("app", on="node1"))
    site.run("site", answers={"preflight": DISRUPTS}).must_fail(
        "Pods would have to leave: apps/app", "fastpath_disruption_ok"
    )
    assert site.cluster.writes == []
    assert site.calls()["sriov"] == 0
    site.run("site", answers={"preflight": REBOOTS}, fastpath_reboot_ok=True).must_fail(
        "it reboots: hugepages: pages of 1G", "Pods would have to leave: apps/app", "fastpath_disruption_ok"
    )
    assert site.cluster.writes == []
    site.run("site", answers={"preflight": DISRUPTS}, fastpath_disruption_ok=True).must_pass()
    assert site.cluster.find("Pod", "app", "apps") is None
    assert site.calls()["preflight"] == 6
    assert not any(item["spec"].get("unschedulable") for item in site.cluster.of("Node"))


def test_5_a_node_that_failed_stays_out_and_says_why(site):
    answers = {
        "preflight": {**ANSWERS["preflight"], "disrupts": ["VFs change"]},
        "sriov": {"failed": True, "msg": "No."},
    }
    site.run("site", answers=answers, fastpath_disruption_ok=True).must_fail("No.")
    first, second = site.cluster.of("Node")
    assert first["spec"]["unschedulable"] and not second["spec"].get("unschedulable")
    assert "No." in first["metadata"]["annotations"]["nfv.fastpath/rollout-reason"]
    with refusing(site.cluster, '"failed"', "Nobody may write this down."):
        site.run("site", answers=answers, fastpath_disruption_ok=True).must_fail("Nobody may write this down.", "No.")
    site.run("site").must_pass()
    assert not site.cluster.of("Node")[0]["spec"].get("unschedulable")


def test_5_a_node_that_is_lost_in_its_turn_is_the_last_one_that_is_touched(site):
    lost = {"node1": {"unreachable": True, "msg": "No route to host."}, "node2": {}}
    done = site.run("site", answers={"hugepages": lost, "preflight": DISRUPTS}, fastpath_disruption_ok=True)
    done.must_fail("node1 did not answer any more", "node2 stays as it is", "unreachable=1")
    first, second = site.cluster.of("Node")
    assert first["spec"]["unschedulable"] and not second["spec"].get("unschedulable")
    assert site.calls()["hugepages"] == 1
    site.run("site").must_pass()
    assert not site.cluster.of("Node")[0]["spec"].get("unschedulable")
    torn = site.run("teardown", answers={"sriov": lost}).must_fail("node1 did not answer any more")
    assert site.calls()["sriov"] == 1, torn.out


def test_5_a_node_waits_for_the_multus_that_others_brought(site, tmp_path):
    given = {"rollout_multus": "existing", "fastpath_cni_config_dir": str(tmp_path), "fastpath_cni_bin_dir": "/bin"}
    site.run("site", fastpath_wait_timeout=4, **given).must_fail("Multus does not answer", "is none and not Multus")
    (tmp_path / "05-others.conf").write_text('{"type": "multus"}')
    (tmp_path / "multus").write_text("")
    (tmp_path / "multus").chmod(0o755)
    site.run("site", **{**given, "fastpath_cni_bin_dir": str(tmp_path)}).must_pass()


def test_6_teardown_moves_pods_away_from_devices_that_go_also_without_the_spec(site):
    """Nothing that a pod needs on its way out goes before it."""
    pools = {"nic": {"selectors": [{"vendors": ["8086"], "drivers": ["vfio-pci"]}]}}
    site.run("site", fastpath_pools=pools).must_pass()
    site.cluster.put(pod("app", on="node1", resources={"nfv.fastpath/nic": "1"}))
    site.cluster.put(pod("other", on="node1"))
    refused = site.run("teardown", fastpath_networks=[])
    refused.must_fail("Pods would have to leave: apps/app (1 x nfv.fastpath/nic)", "fastpath_disruption_ok")
    assert site.cluster.names("NetworkAttachmentDefinition") == ["far"]
    assert "kube-multus-ds" in site.cluster.names("DaemonSet")
    assert site.calls()["sriov"] == 0
    # From the start no node offers devices any more.
    assert not any("nfv.fastpath/device-plugin" in item["metadata"]["labels"] for item in site.cluster.of("Node"))
    site.run("teardown", fastpath_networks=[], fastpath_disruption_ok=True).must_pass()
    assert "EVICT apps/app" in site.cluster.writes and "EVICT apps/other" not in site.cluster.writes


def test_7_teardown_leaves_the_cluster_as_it_was(site):
    del site.cluster.items[("Pod", "apps", "other")]
    assert {key[0] for key in site.cluster.items} == {"Node", "Namespace"}
    assert not any(item["spec"].get("unschedulable") for item in site.cluster.of("Node"))


def test_8_the_second_teardown_writes_nothing(site):
    site.run("teardown").must_pass()
    assert site.cluster.writes == []


def leaving(way: str, joined: bool = True) -> dict[str, Any]:
    """What kube_join says of a node that leaves."""
    left = [asdict(Operation("leave_cluster", "cluster", way))] if joined else []
    return {"operations": left, "diff": {"before": {"joined": joined, "way": way}, "after": {"joined": False}}}


def test_9_a_node_leaves_when_it_is_empty_and_the_control_plane_last(site):
    answers = {"kube_join": {"node1": leaving("init"), "node2": leaving("kubeadm")}}
    site.cluster.put(pod("app", on="node1"))
    site.cluster.put(pod("other", on="node2"))
    refused = site.run("teardown", answers=answers)
    refused.must_fail("it leaves the cluster", "Pods would have to leave: apps/other", "fastpath_disruption_ok")
    assert site.cluster.find("Pod", "other", "apps") and site.cluster.names("Node") == ["node1", "node2"]
    done = site.run("teardown", answers=answers, fastpath_disruption_ok=True)
    done.must_pass()
    last = done.out[done.out.index("PLAY [Leave the cluster]") :]
    assert last.index("[node2]") < last.index("[node1]")
    assert site.cluster.find("Pod", "app", "apps") and site.cluster.find("Pod", "other", "apps") is None
    assert site.cluster.names("Node") == ["node1"]


def test_9_the_object_of_a_node_that_left_before_a_run_was_cut_off_goes_with_the_next(site):
    assert site.cluster.names("Node") == ["node1"]
    (condition,) = site.cluster.of("Node")[0]["status"]["conditions"]
    condition["status"] = "Unknown"
    site.run("teardown", answers={"kube_join": leaving("kubeadm", joined=False)}, fastpath_hosts="node1").must_pass()
    assert site.cluster.names("Node") == []


def test_9_a_node_that_left_is_no_reason_to_fail_a_second_time(site):
    done = site.run("teardown", answers={"kube_join": {"operations": []}}, fastpath_hosts="node1").must_pass()
    assert "Node node1 is no node of the cluster, so no pod was moved away from it." in done.out
    assert site.cluster.writes == []
