# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. All concerns of a node by name, in the order in which they are brought about.

A concern's code is imported when it is asked for: a boot, or a module, pays only for what it uses. Write these
imports as statements: what goes to the node is found by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Concern
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Host

Maker = Callable[[Host], Concern[Any, Any]]
Concerns = Mapping[str, Maker]


def _boot_engine(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._boot_engine import BootEngineConcern

    return BootEngineConcern(host)


def _hugepages(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern

    return HugepagesConcern(host)


def _hugepages_at_boot(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._hugepages_node import HugepagesConcern

    return HugepagesConcern(host, booting=True)


def _kernel_args(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._kernel_args import KernelArgsConcern

    return KernelArgsConcern(host)


def _sriov(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._sriov_concern import SriovConcern

    return SriovConcern(host)


def _vdpa(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern

    return VdpaConcern(host)


def _vdpa_at_boot(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern

    return VdpaConcern(host, booting=True)


def _vdpa_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._vdpa_concern import VdpaConcern

    return VdpaConcern(host, looking_ahead=True)


def _dpdk(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern

    return DpdkConcern(host)


def _dpdk_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._dpdk_node import DpdkConcern

    return DpdkConcern(host, looking_ahead=True)


def _ovs_packages(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_packages_node import OvsPackagesConcern

    return OvsPackagesConcern(host)


def _ovs_bundle(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_node import OvsBundleConcern

    return OvsBundleConcern(host)


def _ovs_bundle_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_bundle_node import OvsBundleConcern

    return OvsBundleConcern(host, looking_ahead=True)


def _ovs_dpdk(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern

    return OvsDpdkConcern(host)


def _ovs_dpdk_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._ovs_concern import OvsDpdkConcern

    return OvsDpdkConcern(host, looking_ahead=True)


def _cni_plugins(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._cni_plugins_node import CniPluginsConcern

    return CniPluginsConcern(host)


def _container_runtime(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import ContainerRuntimeConcern

    return ContainerRuntimeConcern(host)


def _container_runtime_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import ContainerRuntimeConcern

    return ContainerRuntimeConcern(host, looking_ahead=True)


def _kube_join(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KubeJoinConcern

    return KubeJoinConcern(host)


def _kube_join_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._kube_join_node import KubeJoinConcern

    return KubeJoinConcern(host, looking_ahead=True)


def _kubelet(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern

    return KubeletConcern(host)


def _kubelet_ahead(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._kubelet_node import KubeletConcern

    return KubeletConcern(host, looking_ahead=True)


def _images(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._images_node import ImagesConcern

    return ImagesConcern(host)


def _node_agent(host: Host) -> Concern[Any, Any]:
    from ansible_collections.nfv.fastpath.plugins.module_utils._agent_node import AgentNodeConcern

    return AgentNodeConcern(host)


@dataclass(frozen=True)
class Entry:
    """``make`` for all uses but two; ``at_boot`` brings the concern back, None where a boot must not.

    ``ahead`` plans while what other concerns would bring may still be absent; None where ``make`` does.
    """

    make: Maker
    at_boot: Maker | None = None
    ahead: Maker | None = None


REGISTRY: dict[str, Entry] = {
    "boot_engine": Entry(_boot_engine),
    "hugepages": Entry(_hugepages, _hugepages_at_boot),
    # A boot neither edits boot files nor asks for another boot.
    "kernel_args": Entry(_kernel_args),
    "sriov": Entry(_sriov, _sriov),
    "vdpa": Entry(_vdpa, _vdpa_at_boot, _vdpa_ahead),
    # Packages, bundles and the database of Open vSwitch outlast a boot by themselves.
    "dpdk": Entry(_dpdk, ahead=_dpdk_ahead),
    "ovs_packages": Entry(_ovs_packages),
    "ovs_bundle": Entry(_ovs_bundle, ahead=_ovs_bundle_ahead),
    "ovs_dpdk": Entry(_ovs_dpdk, ahead=_ovs_dpdk_ahead),
    # Files, which a boot does not touch.
    "cni_plugins": Entry(_cni_plugins),
    "container_runtime": Entry(_container_runtime, ahead=_container_runtime_ahead),
    "kube_join": Entry(_kube_join, ahead=_kube_join_ahead),
    "kubelet": Entry(_kubelet, ahead=_kubelet_ahead),
    "images": Entry(_images),
    # Its mount is systemd's own work at boot.
    "node_agent": Entry(_node_agent),
}

CONCERNS: Concerns = {name: entry.make for name, entry in REGISTRY.items()}
AHEAD: Concerns = {name: entry.ahead or entry.make for name, entry in REGISTRY.items()}
