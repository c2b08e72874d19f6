# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What kubeadm is given to read, and what is wrong with a spec of membership."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_spec import parse_join
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.join_node import TOKEN, WITH_TOKEN, JoinNode, run


@pytest.fixture
def node(tmp_path):
    return JoinNode(tmp_path)


def test_an_older_kubeadm_reads_an_older_configuration(node):
    node.versions = {"kubelet": "Kubernetes v1.30.4", "kubeadm": "v1.30.4"}
    spec = {
        "join": "kubeadm",
        "endpoint": "a.example.com:6443",
        "unsafe_skip_ca": True,
        "node_ip": "192.0.2.1",
        "swap_ok": True,
    }
    run(node, spec, WITH_TOKEN)
    (document,) = node.configurations
    assert document["apiVersion"] == "kubeadm.k8s.io/v1beta3"
    assert document["nodeRegistration"]["kubeletExtraArgs"] == {"node-ip": "192.0.2.1"}
    assert document["discovery"]["bootstrapToken"]["unsafeSkipCAVerification"] is True
    assert node.commands[-1][-1] == "--ignore-preflight-errors=Swap"


def test_a_control_plane(node):
    spec = {
        "join": "init",
        "version": "1.36.3",
        "endpoint": "192.0.2.1:6443",
        "node_ip": "192.0.2.1",
        "pod_subnet": "10.244.0.0/16",
        "service_subnet": "10.96.0.0/16",
        "image_repository": "registry.example.com",
    }
    run(node, spec, WITH_TOKEN)
    init, cluster, kubelet = node.configurations
    assert init["localAPIEndpoint"] == {"advertiseAddress": "192.0.2.1"} and init["bootstrapTokens"] == [
        {"token": TOKEN}
    ]
    assert cluster["kubernetesVersion"] == "v1.36.3" and cluster["imageRepository"] == "registry.example.com"
    assert cluster["networking"] == {
        "podSubnet": "10.244.0.0/16",
        "serviceSubnet": "10.96.0.0/16",
        "dnsDomain": "cluster.local",
    }
    assert kubelet["cgroupDriver"] == "systemd"
    assert not run(node, spec).changed
    run(node)
    assert node.text("etc/kubernetes/admin.conf") is None


OURS = {"key": "nfv.fastpath/not-ready", "effect": "NoSchedule"}
NEW = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
FORMER = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}


def test_kubeadm_lets_a_node_join_with_our_taint(node):
    spec = {"join": "kubeadm", "endpoint": "192.0.2.1:6443", "unsafe_skip_ca": True}
    run(node, spec, WITH_TOKEN, taint=True)
    assert node.configurations[0]["nodeRegistration"]["taints"] == [OURS]


@pytest.mark.parametrize(
    ("version", "taints"), [("1.36.3", [NEW]), ("1.24.1", [NEW, FORMER]), ("1.23.9", [FORMER]), ("1.22.0", [FORMER])]
)
def test_a_control_plane_keeps_its_own_taint_beside_ours(node, version, taints):
    """kubeadm adds its own only where it is given no list."""
    node.versions = {"kubelet": f"Kubernetes v{version}", "kubeadm": f"v{version}"}
    run(node, {"join": "init"}, taint=True)
    assert node.configurations[0]["nodeRegistration"]["taints"] == [*taints, OURS]


def test_without_being_asked_kubeadm_has_its_own_way(node):
    run(node, {"join": "init"})
    assert "taints" not in node.configurations[0]["nodeRegistration"]


def test_every_problem_at_once():
    _spec, problems = parse_join(
        {
            "join": "kubeadm",
            "source": "git",
            "version": 1.36,
            "endpoint": "a",
            "ca_hash": "b",
            "node_ip": "c",
            "node_name": "D",
            "cluster_dns": "e",
            "cluster_domain": "F",
            "pod_subnet": "g",
            "service_subnet": 1,
            "swap_ok": "no",
            "ca": "h",
        }
    )
    names = [problem.variable.removeprefix("fastpath_kubernetes.") for problem in problems]
    assert set(names) == {
        "source",
        "version",
        "endpoint",
        "ca_hash",
        "node_ip",
        "node_name",
        "cluster_dns",
        "cluster_domain",
        "pod_subnet",
        "service_subnet",
        "swap_ok",
        "ca",
    }
    assert parse_join([])[1] and parse_join({"join": "help"})[1]
    (problem,) = parse_join({"join": "init", "version": "1.20.3"})[1]
    assert "whose kubeadm reads" in problem.message
    assert "server-side apply" in parse_join({"version": "1.15.0"})[1][0].message
