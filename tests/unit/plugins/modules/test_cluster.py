# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that talk to a cluster, and those that serve it on nodes: options in, results out."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host
from ansible_collections.nfv.fastpath.plugins.module_utils._kube import CONNECTION_OPTIONS, Kube, NoAnswer
from ansible_collections.nfv.fastpath.plugins.modules import (
    cluster_objects,
    cluster_spec_info,
    cluster_verify,
    cni_bundle,
    cni_plugins,
    device_plugin,
    member_info,
    node_service,
)
from ansible_collections.nfv.fastpath.tests.unit.fake_cluster import FakeCluster, daemonset, node, pod
from ansible_collections.nfv.fastpath.tests.unit.fake_node import FakeNode

KEYS = {"changed", "diff", "operations", "reboot_required", "reboot_reason", "disruptive"}
OF_CLUSTER = (cluster_objects, cluster_verify, device_plugin, node_service)
ALL = (*OF_CLUSTER, cluster_spec_info, cni_bundle, cni_plugins, member_info)
ACCESS = {"kubeconfig": "/nonexistent"}


@pytest.fixture
def cluster(monkeypatch):
    cluster = FakeCluster(node("node1"), pod("a"))
    for module in OF_CLUSTER:
        monkeypatch.setattr(module, "connect", lambda kubeconfig, context: cluster.request)
        monkeypatch.setattr(
            module, "Kube", lambda request, patience: Kube(request, patience, lambda: cluster.now, cluster.sleep)
        )
    return cluster


@pytest.fixture
def warnings(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text, *_more, **_how: said.append(str(text)))
    return said


def run(module: Any, capsys: Any, **options: Any) -> dict[str, Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)


def test_objects(cluster, capsys):
    options = {**ACCESS, "component": "multus", "objects": [daemonset("agent")]}
    result = run(cluster_objects, capsys, **options)
    assert set(result) >= KEYS | {"apply", "remove", "scope"}
    assert run(cluster_objects, capsys, **options, _ansible_check_mode=True)["operations"] == result["operations"]
    assert cluster.writes == []
    assert run(cluster_objects, capsys, **options, only_wait=True)["changed"] is False


def test_a_refusal_has_all_problems(cluster, capsys):
    cluster.put(daemonset("agent"))
    result = run(cluster_objects, capsys, **ACCESS, component="multus", objects=[daemonset("agent")])
    assert result["failed"] and "nothing was changed" in result["msg"]
    assert result["problems"][0]["value"] == "DaemonSet kube-system/agent"


def test_a_cluster_that_does_not_answer_is_one_message(cluster, capsys, monkeypatch):
    def away(ask: Any) -> Any:
        raise NoAnswer("connection refused")

    for module, options in (
        (cluster_objects, {"component": "a"}),
        (node_service, {"node": "node1", "state": "out"}),
        (device_plugin, {}),
    ):
        monkeypatch.setattr(module, "connect", lambda kubeconfig, context: away)
        result = run(module, capsys, **ACCESS, **options, api_timeout=0)
        assert result["failed"]
        assert "did not answer" in result["msg"] and "connection refused" in result["msg"]


def test_out_of_service_and_back(cluster, capsys):
    options = {**ACCESS, "node": "node1", "drain_timeout": 10, "wait_timeout": 10}
    for state in ("out", "back"):
        predicted = run(node_service, capsys, **options, state=state, _ansible_check_mode=True)
        result = run(node_service, capsys, **options, state=state)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(node_service, capsys, **options, state=state)["changed"]


def test_what_waits_is_a_warning(cluster, warnings, capsys):
    cluster.put(
        {
            "kind": "PodDisruptionBudget",
            "apiVersion": "policy/v1",
            "metadata": {"name": "pdb", "namespace": "apps"},
            "spec": {"selector": {"matchLabels": {}}},
            "status": {"disruptionsAllowed": 0},
        }
    )
    run(node_service, capsys, **ACCESS, node="node1", state="out", _ansible_check_mode=True)
    assert any("waits for its disruption budget pdb" in warning for warning in warnings)


def test_groups_of_the_device_plugin(cluster, capsys):
    members = {"node1": {"devices": [], "fingerprint": "f", "pools": {"a": {"selectors": [{"drivers": ["x"]}]}}}}
    result = run(device_plugin, capsys, **ACCESS, members=members)
    assert set(result) >= KEYS | {"groups", "members"}
    (group,) = result["groups"]
    assert result["members"] == {group["name"]: ["node1"]}
    ahead = run(device_plugin, capsys, **ACCESS, members=members, assign=True, _ansible_check_mode=True)
    assert [step["action"] for step in ahead["operations"]] == ["move_device_plugin"]
    assert cluster.writes == []


def test_verification(cluster, capsys):
    hosts = {"host1": {"fastpath_sriov": []}}
    result = run(cluster_verify, capsys, **ACCESS, hosts=hosts, nodes=["host1"], names={"host1": "node1"}, multus=False)
    assert (result["failed_checks"], result["changed"], result["report_as"]) == (0, False, "cluster")
    assert run(cluster_verify, capsys, **ACCESS, hosts=hosts, nodes=["host1"])["failed_checks"] == 1


def test_the_spec_of_a_cluster(warnings, capsys):
    sriov = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "p"}]}]
    local = {"type": "host-local", "subnet": "192.0.2.0/24"}
    networks = [{"name": "a", "type": "sriov", "pool": "p", "ipam": local}]
    hosts = {name: {"fastpath_sriov": sriov, "fastpath_networks": networks} for name in ("n1", "n2")}
    result = run(cluster_spec_info, capsys, hosts=hosts)
    assert result["plugins"] == ["host-local", "sriov"]
    assert any("host-local hands out addresses" in warning for warning in warnings)
    wrong = run(cluster_spec_info, capsys, hosts={"n1": {"fastpath_networks": networks}})
    assert wrong["failed"] and wrong["problems"][0]["variable"] == "fastpath_networks[0].pool"


def test_what_a_node_brings(tmp_path, monkeypatch, capsys):
    fake = FakeNode(tmp_path)
    fake.add_pf(numa_node=1)
    monkeypatch.setattr(member_info, "Host", lambda: fake)
    spec = [{"pf": {"netdev": "ens1"}, "num_vfs": 1, "vfs": [{"indexes": 0, "pool": "p"}]}]
    result = run(member_info, capsys, sriov=spec)
    documented = yaml.safe_load(member_info.RETURN)["devices"]["contains"]
    assert set(result["devices"][0]) == set(documented)
    late = run(member_info, capsys, sriov=spec, multus="thick", wait_timeout=0)
    assert late["failed"] and "Multus does not answer" in late["msg"]
    assert run(member_info, capsys, sriov=[{"pf": {"address": 1080.0}, "num_vfs": 1}])["problems"]


def test_plugins_from_the_archive_to_the_node(tmp_path, monkeypatch, capsys):
    source = tmp_path / "own.tar"
    with tarfile.open(source, "w") as target:
        item = tarfile.TarInfo("mine")
        item.size = 4
        target.addfile(item, io.BytesIO(b"\x7fELF"))
    options = {"names": ["mine"], "archives": [str(source)], "cache": str(tmp_path / "cache")}
    assert run(cni_bundle, capsys, **options, _ansible_check_mode=True)["archive"] == ""
    made = run(cni_bundle, capsys, **options)
    assert made["manifest"]["plugins"] == {"mine": hashlib.sha256(b"\x7fELF").hexdigest()}
    (tmp_path / "node").mkdir()
    monkeypatch.setattr(cni_plugins, "Host", lambda: Host(root=str(tmp_path / "node")))
    given = {"bundle": made["manifest"], "archive": made["archive"]}
    for step in (given, {"state": "absent"}):
        predicted = run(cni_plugins, capsys, **step, _ansible_check_mode=True)
        result = run(cni_plugins, capsys, **step)
        assert result["changed"] and set(result) >= KEYS
        assert {key: predicted[key] for key in KEYS} == {key: result[key] for key in KEYS}
        assert not run(cni_plugins, capsys, **step)["changed"]
    assert run(cni_plugins, capsys, bundle={"schema": "x"})["problems"]


def test_refusals_of_plugins(tmp_path, capsys):
    result = run(cni_bundle, capsys, names=["nowhere"], cache=str(tmp_path))
    assert result["failed"] and "fastpath_cni_archives" in result["msg"]


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_the_documentation_says_what_the_module_takes(module, monkeypatch):
    seen: dict[str, Any] = {}

    class Stop(Exception):
        pass

    def init(self: Any, argument_spec: Any, **more: Any) -> None:
        seen.update(argument_spec=argument_spec, **more)
        raise Stop

    monkeypatch.setattr(module.AnsibleModule, "__init__", init)
    with pytest.raises(Stop):
        module.main()
    documented = yaml.safe_load(module.DOCUMENTATION)
    spec = seen["argument_spec"]
    assert set(spec) == set(documented["options"])
    for name, option in spec.items():
        page = documented["options"][name]
        assert option["type"] == page["type"], name
        assert option.get("default") == page.get("default"), name
        assert option.get("choices") == page.get("choices"), name
        assert bool(option.get("required")) == bool(page.get("required")), name
    assert seen["supports_check_mode"] is True
    assert set(documented["attributes"]) >= {"check_mode", "diff_mode", "idempotent"}
    if module in OF_CLUSTER:
        assert set(CONNECTION_OPTIONS) <= set(spec)
