# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pod and its networks, as a runtime and the API show them."""

from __future__ import annotations

from typing import Any

CONTAINER = "4d578250ad8d760c0722be78badb4b4b6d57fed8f95dea23aaa0065aa8657b29"
SHORT = CONTAINER[:12]
UID = "0a1b2c3d-1111-2222-3333-444455556666"
NAMESPACE, POD = "apps", "vdpa-pod-1"
DEVICE = "0000:83:00.5"
NETNS = "/var/run/netns/cni-1"
VHOST = "/var/run/vdpa/vhost"


def pod(volume: dict[str, Any] | None = None, mount: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod whose container mounts shared-dir as it should: its own folder only."""
    return {
        "metadata": {"namespace": NAMESPACE, "name": POD, "uid": UID, "annotations": {}, **metadata},
        "spec": {
            "volumes": [{"name": "shared-dir", **(volume or {"hostPath": {"path": f"{VHOST}/"}})}],
            "containers": [
                {
                    "name": "app",
                    "env": [{"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
                    "volumeMounts": [
                        {
                            "name": "shared-dir",
                            "mountPath": "/var/lib/cni/usrspcni/",
                            **({"subPathExpr": "$(POD_UID)"} if mount is None else mount),
                        }
                    ],
                }
            ],
        },
    }


def vdpa_conf(**changes: Any) -> dict[str, Any]:
    """The first example's network, as Multus hands it over."""
    conf = {
        "type": "vdpa",
        "cniVersion": "0.3.1",
        "name": "vdpa-network-a",
        "deviceID": DEVICE,
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logLevel": "debug",
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


def userspace_conf(mode: str = "server", **changes: Any) -> dict[str, Any]:
    """The network of the guide for Open vSwitch with DPDK."""
    conf = {
        "cniVersion": "0.3.1",
        "type": "userspace",
        "name": "ovs-dpdk-br0",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig",
        "logFile": "/var/log/userspace-ovs-dpdk-br0.log",
        "logLevel": "debug",
        "host": {
            "engine": "ovs-dpdk",
            "iftype": "vhostuser",
            "netType": "bridge",
            "vhost": {"mode": mode},
            "bridge": {"bridgeName": "br0"},
        },
        "container": {
            "engine": "ovs-dpdk",
            "iftype": "vhostuser",
            "netType": "interface",
            "vhost": {"mode": "client" if mode == "server" else "server"},
        },
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


def vpp_conf(**changes: Any) -> dict[str, Any]:
    host = {
        "engine": "vpp",
        "iftype": "memif",
        "netType": "bridge",
        "memif": {"role": "master", "mode": "ethernet"},
        "bridge": {"bridgeName": "4"},
    }
    return userspace_conf(**{"host": host, "container": {"engine": "vpp", "iftype": "memif"}, **changes})


def vhostuser_conf(tool: str = "ovs", **changes: Any) -> dict[str, Any]:
    """The first guide's network; only the version is added."""
    conf = {
        "cniVersion": "0.3.1",
        "type": "vhostuser",
        "name": "vhostuser-network",
        "if0name": "net1",
        "vhost": {"vhost_tool": tool},
        "ipam": {
            "type": "host-local",
            "subnet": "10.56.217.0/24",
            "rangeStart": "10.56.217.131",
            "rangeEnd": "10.56.217.190",
            "routes": [{"dst": "0.0.0.0/0"}],
            "gateway": "10.56.217.1",
        },
        **changes,
    }
    return {key: value for key, value in conf.items() if value is not None}


IPAM = {"type": "host-local", "subnet": "10.56.217.0/24"}
DEVICE_INFO = "/var/run/k8s.cni.cncf.io/devinfo/cni/apps-net-x_net1"
OVS_PODS = "/var/run/openvswitch/pods"


def ovs_pod(**changes: Any) -> dict[str, Any]:
    return pod(volume={"hostPath": {"path": OVS_PODS}}, **changes)
