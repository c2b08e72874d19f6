# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane's processes: their command lines and what they read. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .topology import Topology

# The parts, each found again by its mark.
PROCESSES = ("door", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "registry", "etcd")
ETCD = "http://127.0.0.1:2379"
CONTAINERD = "unix:///run/containerd/containerd.sock"
PAUSE = "pause:3.10"


@dataclass(frozen=True)
class Place:
    """Where things lie: ``programs`` and ``pki`` in the cache, ``folder`` in the lab's own."""

    programs: Path
    pki: Path
    folder: Path

    @property
    def data(self) -> Path:
        """All that etcd keeps, and the mark that the cluster is set up."""
        return self.folder / "etcd"

    @property
    def audit(self) -> Path:
        """The API server's log of writes."""
        return self.folder / "audit.log"


def endpoint(topology: Topology) -> str:
    """Return the API server's address for nodes."""
    return f"{topology.network.gateway}:{topology.cluster.api_port}"


def registry(topology: Topology) -> str:
    """Return the registry's address, which the names of its images start with."""
    return f"{topology.network.gateway}:{topology.cluster.registry_port}"


def etcd(place: Place) -> list[str]:
    """Return the argv of etcd. A lab need not outlive the machine's power, so nothing is flushed."""
    return [
        str(place.programs / "etcd"),
        f"--data-dir={place.data}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(place: Place, topology: Topology) -> list[str]:
    """Return the argv of the API server."""
    address, cluster = topology.network.gateway, topology.cluster
    return [
        str(place.programs / "kube-apiserver"),
        f"--etcd-servers={ETCD}",
        f"--advertise-address={address}",
        "--bind-address=0.0.0.0",
        f"--secure-port={cluster.api_port}",
        f"--service-cluster-ip-range={cluster.services}",
        f"--client-ca-file={place.pki}/ca.crt",
        f"--tls-cert-file={place.pki}/apiserver.crt",
        f"--tls-private-key-file={place.pki}/apiserver.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={place.pki}/sa.pub",
        f"--service-account-signing-key-file={place.pki}/sa.key",
        f"--kubelet-client-certificate={place.pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={place.pki}/apiserver-kubelet-client.key",
        # Nobody answers for the names of nodes here.
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-bootstrap-token-auth",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        "--enable-admission-plugins=NodeRestriction",
        f"--requestheader-client-ca-file={place.pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={place.pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={place.pki}/front-proxy-client.key",
        f"--audit-policy-file={place.folder}/audit-policy.json",
        f"--audit-log-path={place.audit}",
    ]


def controller_manager(place: Place) -> list[str]:
    """Return the argv of the controller manager. Alone, it need not wait to be elected."""
    config = f"{place.folder}/controller-manager.kubeconfig"
    return [
        str(place.programs / "kube-controller-manager"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--cluster-signing-cert-file={place.pki}/ca.crt",
        f"--cluster-signing-key-file={place.pki}/ca.key",
        f"--root-ca-file={place.pki}/ca.crt",
        f"--service-account-private-key-file={place.pki}/sa.key",
        "--use-service-account-credentials",
        "--controllers=*,bootstrapsigner,tokencleaner",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    ]


def scheduler(place: Place) -> list[str]:
    """Return the argv of the scheduler."""
    config = f"{place.folder}/scheduler.kubeconfig"
    return [
        str(place.programs / "kube-scheduler"),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    ]


def audit_policy() -> str:
    """Return the policy: every write, but not the signs of life that nodes and controllers give."""
    rules: list[dict[str, Any]] = [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "resources": [{"group": "", "resources": ["events"]}, {"group": "events.k8s.io"}]},
        {"level": "Metadata"},
    ]
    policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
    return json.dumps(policy, indent=1) + "\n"


def registry_config(topology: Topology, folder: Path) -> str:
    """Return the registry's configuration: JSON, which is YAML too."""
    values = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": registry(topology)},
    }
    return json.dumps(values, indent=1) + "\n"


def kubeadm_config(topology: Topology, version: str) -> str:
    """Return what ``kubeadm init phase`` reads. Nodes would look for certificates that it names."""
    cluster, address = topology.cluster, topology.network.gateway
    proxy = {"mode": "nftables", "conntrack": {"maxPerCore": 0}}
    documents: list[dict[str, Any]] = [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": address, "bindPort": cluster.api_port},
            "nodeRegistration": {"name": "lab", "criSocket": CONTAINERD},
            "bootstrapTokens": [{"token": cluster.token, "ttl": "0s"}],
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "kubernetesVersion": version,
            "controlPlaneEndpoint": endpoint(topology),
            "imageRepository": registry(topology),
            "networking": {"podSubnet": str(cluster.pods), "serviceSubnet": str(cluster.services)},
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "systemd",
            "clusterDNS": [str(cluster.services[10])],
        },
        {"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", **proxy},
    ]
    return "---\n".join(json.dumps(document, indent=1) + "\n" for document in documents)


# Each makes objects that `kubeadm join` reads or that a node needs; they are the same however often they are run.
KUBEADM_PHASES = (
    ("upload-config", "kubeadm"),
    ("upload-config", "kubelet"),
    ("bootstrap-token",),
    ("addon", "kube-proxy"),
)


def kubeadm_phase(place: Place, phase: tuple[str, ...]) -> list[str]:
    """Return the argv of a phase of ``kubeadm init``."""
    return [
        str(place.programs / "kubeadm"),
        "init",
        "phase",
        *phase,
        f"--config={place.folder}/kubeadm.yaml",
        f"--kubeconfig={place.folder}/admin.kubeconfig",
    ]


def join_argv(topology: Topology, authority_hash: str) -> list[str]:
    """Return the command that a node joins with."""
    return [
        "kubeadm",
        "join",
        endpoint(topology),
        f"--token={topology.cluster.token}",
        f"--discovery-token-ca-cert-hash={authority_hash}",
    ]


def pod_routes(topology: Topology) -> list[str]:
    """Return the routes from one node's pods to another's, as lines for ``ip -batch``: the lab is their router."""
    nodes = topology.nodes.values()
    return [f"route replace {topology.cluster.pods_of(node)} via {node.address}" for node in nodes]
