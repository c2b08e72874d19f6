# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. What is wanted of a node's membership in a cluster. No I/O.

Tokens and kubeconfigs of nodes are no part of it: it is written to the node, where everybody may read it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import version_problems
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import Problem, unknown_keys
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import Version, parse_version, shown
from ansible_collections.nfv.fastpath.plugins.module_utils._node_rollout import EFFECT, TAINT

VARIABLE = "fastpath_kubernetes"
NONE, KUBEADM, KUBECONFIG, INIT = "none", "kubeadm", "kubeconfig", "init"
WAYS = (NONE, KUBEADM, KUBECONFIG, INIT)
SOURCES = ("present", "packages", "archive")
KEYS = (
    "version",
    "source",
    "join",
    "endpoint",
    "ca_hash",
    "unsafe_skip_ca",
    "node_name",
    "node_ip",
    "cluster_dns",
    "cluster_domain",
    "pod_subnet",
    "service_subnet",
    "image_repository",
    "swap_ok",
)
CRI_SOCKET = "unix:///run/containerd/containerd.sock"
KUBEADM_OLDEST: Version = (1, 22, 0)
_V1BETA4: Version = (1, 31, 0)
# Of kubeadm's two names for the taint of a control plane 1.24 has both.
CONTROL_PLANE_TAINT, FORMER_TAINT = "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"
_FIRST_WITH_TAINT: Version = (1, 24, 0)
_FIRST_WITHOUT_FORMER: Version = (1, 25, 0)
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})\Z")
_HASH = re.compile(r"sha256:[0-9a-f]{64}\Z")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
TOKEN = re.compile(r"[a-z0-9]{6}\.[a-z0-9]{16}\Z")


@dataclass(frozen=True)
class JoinSpec:
    """``join`` ``none``: the node is a member already, or somebody else makes it one.

    ``tainted``: whether pods stay off until the rollout brings the node into service. No part of what users say.
    """

    join: str = NONE
    source: str = "present"
    version: str = ""
    endpoint: str = ""
    ca_hash: str = ""
    unsafe_skip_ca: bool = False
    node_name: str = ""
    node_ip: str = ""
    cluster_dns: tuple[str, ...] = ("10.96.0.10",)
    cluster_domain: str = "cluster.local"
    pod_subnet: str = ""
    service_subnet: str = ""
    image_repository: str = ""
    swap_ok: bool = False
    tainted: bool = False


def parse_join(value: Any, variable: str = VARIABLE) -> tuple[JoinSpec, list[Problem]]:
    if value is None:
        return JoinSpec(), []
    if not isinstance(value, Mapping):
        return JoinSpec(), [Problem(variable, value, "must be a mapping, e.g. {join: kubeadm, endpoint: ...}")]
    problems = unknown_keys(value, KEYS, variable)
    if value.get("version") is not None:
        problems += version_problems(value["version"], f"{variable}.version")
    parser = _Parser(value, variable, problems)
    dns = value.get("cluster_dns", ["10.96.0.10"])
    addresses = list(dns) if isinstance(dns, (list, tuple)) else [dns]
    problems += [
        Problem(f"{variable}.cluster_dns", item, "must be an IP address") for item in addresses if not _is_address(item)
    ]
    spec = JoinSpec(
        join=parser.choice("join", WAYS, NONE),
        source=parser.choice("source", SOURCES, "present"),
        version=str(value.get("version") or ""),
        endpoint=parser.text("endpoint", _ENDPOINT.match, "must be host:port of the API server"),
        ca_hash=parser.text("ca_hash", _HASH.match, "must be sha256: and 64 hex digits, as kubeadm prints it"),
        unsafe_skip_ca=parser.flag("unsafe_skip_ca"),
        node_name=parser.text("node_name", _NAME.match, "must be a name of lower case letters, digits, - and ."),
        node_ip=parser.text("node_ip", _is_address, "must be an IP address"),
        cluster_dns=tuple(map(str, addresses)),
        cluster_domain=parser.text("cluster_domain", _NAME.match, "must be a domain") or "cluster.local",
        pod_subnet=parser.text("pod_subnet", _are_networks, "must be a network, such as 10.244.0.0/16"),
        service_subnet=parser.text("service_subnet", _are_networks, "must be a network, such as 10.96.0.0/16"),
        image_repository=parser.text("image_repository", bool, "must be a registry"),
        swap_ok=parser.flag("swap_ok"),
    )
    return spec, problems + _together(spec, variable)


def _together(spec: JoinSpec, variable: str) -> list[Problem]:
    problems = []
    if spec.join == KUBEADM and not spec.endpoint:
        problems.append(Problem(f"{variable}.endpoint", None, "is needed for join: kubeadm, e.g. 192.0.2.1:6443"))
    if spec.join == KUBEADM and not (spec.ca_hash or spec.unsafe_skip_ca):
        message = (
            "is needed for join: kubeadm, else anybody could answer as the API server (or say unsafe_skip_ca: true)"
        )
        problems.append(Problem(f"{variable}.ca_hash", None, message))
    version = parse_version(spec.version)
    if spec.join in (KUBEADM, INIT) and version is not None and version < KUBEADM_OLDEST:
        message = f"is older than {shown(KUBEADM_OLDEST)}, the first whose kubeadm reads what the role writes"
        problems.append(Problem(f"{variable}.version", spec.version, message))
    return problems


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def _are_networks(value: str) -> bool:
    try:
        return all(ipaddress.ip_network(part) for part in value.split(","))
    except ValueError:
        return False


@dataclass(frozen=True)
class _Parser:
    value: Mapping[Any, Any]
    variable: str
    problems: list[Problem]

    def choice(self, key: str, words: tuple[str, ...], default: str) -> str:
        given = self.value.get(key)
        if given in (None, *words):
            return str(given or default)
        self.problems.append(Problem(f"{self.variable}.{key}", given, f"must be one of {', '.join(words)}"))
        return default

    def text(self, key: str, is_right: Any, message: str) -> str:
        given = self.value.get(key)
        if given in (None, ""):
            return ""
        if isinstance(given, str) and is_right(given):
            return given
        self.problems.append(Problem(f"{self.variable}.{key}", given, message))
        return ""

    def flag(self, key: str) -> bool:
        given = self.value.get(key, False)
        if not isinstance(given, bool):
            self.problems.append(Problem(f"{self.variable}.{key}", given, "must be true or false"))
            return False
        return given


def join_configuration(spec: JoinSpec, version: Version, token: str) -> list[dict[str, Any]]:
    """What ``kubeadm join`` reads."""
    discovery: dict[str, Any] = {"apiServerEndpoint": spec.endpoint, "token": token}
    if spec.ca_hash:
        discovery["caCertHashes"] = [spec.ca_hash]
    else:
        discovery["unsafeSkipCAVerification"] = True
    return [
        {
            "apiVersion": _kubeadm_api(version),
            "kind": "JoinConfiguration",
            "discovery": {"bootstrapToken": discovery, "tlsBootstrapToken": token},
            "nodeRegistration": _registration(spec, version, []),
        }
    ]


def init_configuration(spec: JoinSpec, version: Version, token: str) -> list[dict[str, Any]]:
    """What ``kubeadm init`` reads."""
    api = _kubeadm_api(version)
    local = {"localAPIEndpoint": {"advertiseAddress": spec.node_ip}} if spec.node_ip else {}
    tokens = {"bootstrapTokens": [{"token": token}]} if token else {}
    networking = {"podSubnet": spec.pod_subnet, "serviceSubnet": spec.service_subnet, "dnsDomain": spec.cluster_domain}
    cluster = {
        "controlPlaneEndpoint": spec.endpoint,
        "imageRepository": spec.image_repository,
        "kubernetesVersion": f"v{spec.version.lstrip('v')}" if spec.version.count(".") == 2 else "",
        "networking": {key: text for key, text in networking.items() if text},
    }
    kubelet: dict[str, Any] = {"cgroupDriver": "systemd", "clusterDNS": list(spec.cluster_dns)}
    if spec.swap_ok:
        kubelet["failSwapOn"] = False
    return [
        {
            "apiVersion": api,
            "kind": "InitConfiguration",
            "nodeRegistration": _registration(spec, version, _control_plane_taints(version)),
            **local,
            **tokens,
        },
        {"apiVersion": api, "kind": "ClusterConfiguration", **{key: value for key, value in cluster.items() if value}},
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", **kubelet},
    ]


def kubelet_configuration(spec: JoinSpec, ca_file: str) -> dict[str, Any]:
    """The main file of a kubelet that no kubeadm configures."""
    said: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": ca_file},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": list(spec.cluster_dns),
        "clusterDomain": spec.cluster_domain,
        "rotateCertificates": True,
        "staticPodPath": "/etc/kubernetes/manifests",
    }
    if spec.swap_ok:
        said["failSwapOn"] = False
    return said


def kubelet_flags(spec: JoinSpec) -> list[str]:
    """Arguments, since these have no place in a configuration, or have it only in newer versions."""
    flags = [f"--container-runtime-endpoint={CRI_SOCKET}"]
    flags += [f"--hostname-override={spec.node_name}"] if spec.node_name else []
    flags += [f"--register-with-taints={TAINT}=:{EFFECT}"] if spec.tainted else []
    return flags + ([f"--node-ip={spec.node_ip}"] if spec.node_ip else [])


def _kubeadm_api(version: Version) -> str:
    return f"kubeadm.k8s.io/{'v1beta4' if version >= _V1BETA4 else 'v1beta3'}"


def _control_plane_taints(version: Version) -> list[str]:
    new = [CONTROL_PLANE_TAINT] if version >= _FIRST_WITH_TAINT else []
    return new + ([FORMER_TAINT] if version < _FIRST_WITHOUT_FORMER else [])


def _registration(spec: JoinSpec, version: Version, own_taints: list[str]) -> dict[str, Any]:
    """``own_taints``: what kubeadm would give the node by itself, and does not where a list of taints is given."""
    found: dict[str, Any] = {"criSocket": CRI_SOCKET}
    if spec.tainted:
        found["taints"] = [{"key": key, "effect": EFFECT} for key in (*own_taints, TAINT)]
    if spec.node_name:
        found["name"] = spec.node_name
    if spec.node_ip:
        listed = version >= _V1BETA4
        found["kubeletExtraArgs"] = (
            [{"name": "node-ip", "value": spec.node_ip}] if listed else {"node-ip": spec.node_ip}
        )
    return found
