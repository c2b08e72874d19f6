# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests compared whole, and promises that hold for each of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.nfv.fastpath.plugins.module_utils._agent_config import AgentPod
from ansible_collections.nfv.fastpath.plugins.module_utils._cluster_objects import (
    COMPONENT,
    MANAGED_BY,
    covers,
    marked,
    selector,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_plugin_groups import (
    GROUP_LABEL,
    Member,
    NodeView,
    plan_groups,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._device_pools import PoolDevices
from ansible_collections.nfv.fastpath.plugins.module_utils._images import image
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_kinds import key_of, kind_of
from ansible_collections.nfv.fastpath.tests.unit.manifests import CHECKOUT, golden, rendered

MULTUS_VARS = yaml.safe_load((CHECKOUT / "roles/multus/vars/main.yml").read_text())
PLACES = {
    "multus_bin_dir": "/opt/cni/bin",
    "multus_config_dir": "/etc/cni/net.d",
    "multus_kubelet_dir": "/var/lib/kubelet",
}


def multus(variant: str, **more: Any) -> list[dict[str, Any]]:
    config = MULTUS_VARS["__multus_daemon_defaults"]
    given = {**PLACES, "multus_image": image(f"multus-{variant}"), "__multus_daemon_config": config}
    return rendered("multus", "objects.yaml.j2", **{**given, "multus_variant": variant, **more})


def whereabouts() -> list[dict[str, Any]]:
    return rendered(
        "networks",
        "whereabouts.yaml.j2",
        networks_whereabouts_image=image("whereabouts"),
        networks_config_dir="/etc/cni/net.d",
    )


def device_plugin(*groups: dict[str, Any]) -> list[dict[str, Any]]:
    return rendered(
        "device_plugin",
        "objects.yaml.j2",
        __device_plugin_groups=list(groups),
        device_plugin_image=image("sriov-network-device-plugin"),
        device_plugin_kubelet_dir="/var/lib/kubelet",
    )


def group(*devices: PoolDevices) -> dict[str, Any]:
    """As the planner hands it to the template."""
    member = Member("node1", devices, "f", {}, "example.com")
    return plan_groups([member], [NodeView("node1")], {}).as_json()[0]


def node_agent(*pods: AgentPod) -> list[dict[str, Any]]:
    return rendered(
        "node_agent",
        "objects.yaml.j2",
        __node_agent_groups=[pod.as_json() for pod in pods],
        node_agent_image=image("node-agent"),
        node_agent_image_pull_policy="IfNotPresent",
        node_agent_kubelet_dir="/var/lib/kubelet",
        node_agent_bin_dir="/opt/cni/bin",
        node_agent_config_dir="/etc/cni/net.d",
    )


LISTENING = '{"listen": "127.0.0.1:9465"}\n'
AGENTS = [
    AgentPod(LISTENING, devices=True, hugepages={"hugepages-2Mi": "256Mi"}, resources=("example.com/vdpa_a",)),
    AgentPod(LISTENING, ovs=True, ports={"example.com/ovs_a": 8}, resources=("example.com/ovs_a",)),
]
GROUPS = [
    group(PoolDevices("igb_dpdk", "0000:81:00.0", (0, 1), "vfio-pci")),
    group(PoolDevices("igb_kernel", "0000:01:00.0", (0, 1, 2, 3))),
]
ALL = {
    "device-plugin": device_plugin(*GROUPS),
    "multus-thick": multus("thick"),
    "node-agent": node_agent(*AGENTS),
    "multus-thin": multus("thin"),
    "whereabouts": whereabouts(),
}
DAEMONS = [(name, item) for name, items in ALL.items() for item in items if item["kind"] == "DaemonSet"]


@pytest.mark.parametrize("name", sorted(ALL))
def test_as_recorded(name):
    assert ALL[name] == golden(name, ALL[name])


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_object_can_be_made_and_has_its_own_name(name):
    keys = [key_of(item) for item in ALL[name] if kind_of(item)]
    assert len(set(keys)) == len(keys)
    for item in ALL[name]:
        assert covers(marked(item, name), item)


@pytest.mark.parametrize(("name", "item"), DAEMONS, ids=[item["metadata"]["name"] for _name, item in DAEMONS])
def test_daemons(name, item):
    spec = item["spec"]["template"]["spec"]
    assert item["spec"]["selector"]["matchLabels"].items() <= item["spec"]["template"]["metadata"]["labels"].items()
    assert {"operator": "Exists"} in spec["tolerations"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["imagePullPolicy"] == "IfNotPresent"
        assert not container["image"].endswith((":latest", ":snapshot", ":snapshot-thick"))
        assert container["resources"]["requests"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    used = [
        mount["name"] for one in [*spec.get("initContainers", []), *spec["containers"]] for mount in one["volumeMounts"]
    ]
    assert set(used) == volumes


@pytest.mark.parametrize("variant", ["thick", "thin"])
def test_quantities_are_as_the_api_server_keeps_them(variant):
    """Else an object would seem to differ for ever."""
    (daemon,) = [item for item in multus(variant) if item["kind"] == "DaemonSet"]
    for container in daemon["spec"]["template"]["spec"]["containers"]:
        for amounts in container["resources"].values():
            assert all(str(value).endswith(("m", "Mi", "Gi")) for value in amounts.values())


@pytest.mark.parametrize("name", ["multus-thick", "multus-thin", "whereabouts"])
def test_what_runs_on_all_nodes_leaves_out_those_that_cannot_run_it(name):
    (daemon,) = [item for item in ALL[name] if item["kind"] == "DaemonSet"]
    assert daemon["spec"]["template"]["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_thin_renews_its_token_and_takes_its_configuration_along():
    (daemon,) = [item for item in ALL["multus-thin"] if item["kind"] == "DaemonSet"]
    assert "--cleanup-config-on-exit=true" in daemon["spec"]["template"]["spec"]["containers"][0]["args"]


def test_the_daemons_configuration():
    (config,) = [item for item in ALL["multus-thick"] if item["kind"] == "ConfigMap"]
    assert json.loads(config["data"]["daemon-config.json"]) == MULTUS_VARS["__multus_daemon_defaults"]


def test_another_configuration_is_another_pod():
    def template(config: dict[str, Any]) -> Any:
        (daemon,) = [item for item in multus("thick", __multus_daemon_config=config) if item["kind"] == "DaemonSet"]
        return daemon["spec"]["template"]["metadata"]

    assert template({"a": 1, "b": 2}) == template({"b": 2, "a": 1})
    assert template({"a": 1}) != template({"a": 2})


def test_the_plugins_have_one_path_on_host_and_in_the_daemon():
    (daemon,) = [item for item in multus("thick", multus_bin_dir="/usr/lib/cni") if item["kind"] == "DaemonSet"]
    spec = daemon["spec"]["template"]["spec"]
    (volume,) = [item for item in spec["volumes"] if item["name"] == "cnibin"]
    (mount,) = [item for item in spec["containers"][0]["volumeMounts"] if item["name"] == "cnibin"]
    assert volume["hostPath"]["path"] == mount["mountPath"] == "/usr/lib/cni"


def test_no_group_is_no_object():
    assert device_plugin() == []


def test_a_plugin_pod_says_what_it_was_started_with():
    """Found by the label of its component, on nodes of its group only, never two on one node."""
    for item, one in zip([item for item in ALL["device-plugin"] if item["kind"] == "DaemonSet"], GROUPS):
        template = item["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert selector("device_plugin") == ",".join(f"{key}={labels[key]}" for key in (MANAGED_BY, COMPONENT))
        assert template["spec"]["nodeSelector"] == {GROUP_LABEL: one["name"]}
        assert item["metadata"]["name"].endswith(one["name"])
        (term,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()
        assert item["spec"]["selector"]["matchLabels"][GROUP_LABEL] == one["name"]


def test_the_plugin_reads_the_very_configuration():
    maps = {item["metadata"]["name"]: item for item in ALL["device-plugin"] if item["kind"] == "ConfigMap"}
    for one in GROUPS:
        item = maps[f"sriov-device-plugin-{one['name']}"]
        assert item["data"] == {"config.json": one["config"]}
        assert item["metadata"]["labels"] == {GROUP_LABEL: one["name"]}


def test_an_agent_is_found_by_its_component_and_never_two_on_a_node():
    for item in [item for item in ALL["node-agent"] if item["kind"] == "DaemonSet"]:
        template = item["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert selector("node_agent") == ",".join(f"{key}={labels[key]}" for key in (MANAGED_BY, COMPONENT))
        (term,) = template["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["labelSelector"]["matchLabels"].items() <= labels.items()


def test_an_agent_has_the_paths_of_its_node_and_few_rights():
    rules = [item["rules"] for item in ALL["node-agent"] if item["kind"] == "ClusterRole"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules[0]] == [
        (["pods"], ["get"]),
        (["pods/status"], ["patch"]),
        (["events"], ["create"]),
    ]
    for item in [item for item in ALL["node-agent"] if item["kind"] == "DaemonSet"]:
        spec = item["spec"]["template"]["spec"]
        paths = {one["name"]: one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one}
        mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
        assert {name: mounts[name] for name in paths} == paths
        assert "hostPID" not in spec and "hostIPC" not in spec


def test_no_agent_is_no_object():
    assert node_agent() == []
