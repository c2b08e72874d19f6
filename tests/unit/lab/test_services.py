# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane's command lines and configurations."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fastpath_lab import services, topology

TOPOLOGY = topology.load()
GOLDEN = Path(__file__).parent / "golden"
PLACE = services.Place(Path("/programs"), Path("/lab/pki"), Path("/lab"))
COMMANDS = {
    "etcd": services.etcd(PLACE),
    "kube-apiserver": services.api_server(PLACE, TOPOLOGY),
    "kube-controller-manager": services.controller_manager(PLACE),
    "kube-scheduler": services.scheduler(PLACE),
}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_command_line(name):
    """Set FASTPATH_UPDATE_GOLDEN=1 to write the files anew, then read the difference."""
    text = "\n".join(COMMANDS[name]) + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("FASTPATH_UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_option_is_given_twice(name):
    options = [word.partition("=")[0] for word in COMMANDS[name][1:]]
    assert len(set(options)) == len(options)


def test_every_command_is_a_part_that_is_found_and_ended():
    assert set(COMMANDS) < set(services.PROCESSES)


def test_what_answers_ends_before_what_it_asks():
    order = {name: place for place, name in enumerate(services.PROCESSES)}
    assert order["door"] < order["kube-apiserver"] < order["etcd"]
    assert order["kube-scheduler"] < order["kube-apiserver"]


def documents(text):
    return [json.loads(document) for document in text.split("---\n")]


def test_kubeadm_config_names_no_folder_of_certificates():
    """A kubelet that joins would look for its authority there."""
    text = services.kubeadm_config(TOPOLOGY, "v1.36.3")
    assert "certificatesDir" not in text
    kinds = [document["kind"] for document in documents(text)]
    assert kinds == ["InitConfiguration", "ClusterConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"]


def test_kubeadm_config_says_what_the_api_server_does():
    init, cluster, kubelet, _proxy = documents(services.kubeadm_config(TOPOLOGY, "v1.36.3"))
    assert cluster["controlPlaneEndpoint"] == services.endpoint(TOPOLOGY) == "10.77.0.1:6443"
    assert f"--service-cluster-ip-range={cluster['networking']['serviceSubnet']}" in COMMANDS["kube-apiserver"]
    assert f"--secure-port={init['localAPIEndpoint']['bindPort']}" in COMMANDS["kube-apiserver"]
    assert kubelet["cgroupDriver"] == "systemd"
    assert init["bootstrapTokens"] == [{"token": TOPOLOGY.cluster.token, "ttl": "0s"}]


def test_audit_policy_counts_writes_and_no_signs_of_life():
    rules = json.loads(services.audit_policy())["rules"]
    assert rules[0] == {"level": "None", "verbs": ["get", "list", "watch"]}
    assert rules[-1] == {"level": "Metadata"}
    silent = [item["group"] for rule in rules[1:-1] for item in rule["resources"]]
    assert silent == ["coordination.k8s.io", "", "events.k8s.io"]
    assert rules[2]["resources"][0]["resources"] == ["events"]


def test_registry_keeps_everything_in_the_lab():
    config = json.loads(services.registry_config(TOPOLOGY, Path("/lab")))
    assert config["storage"]["filesystem"]["rootdirectory"] == "/lab/registry"
    assert config["http"]["addr"] == services.registry(TOPOLOGY) == "10.77.0.1:5000"


def test_every_node_has_a_way_for_its_pods():
    assert services.pod_routes(TOPOLOGY)[:2] == [
        "route replace 10.244.1.0/24 via 10.77.0.11",
        "route replace 10.244.2.0/24 via 10.77.0.12",
    ]
    assert len(services.pod_routes(TOPOLOGY)) == len(TOPOLOGY.nodes)


def test_join_checks_the_authority():
    assert services.join_argv(TOPOLOGY, "sha256:ab") == [
        "kubeadm",
        "join",
        "10.77.0.1:6443",
        f"--token={TOPOLOGY.cluster.token}",
        "--discovery-token-ca-cert-hash=sha256:ab",
    ]
