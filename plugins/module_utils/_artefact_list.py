# Copyright: nfv.fastpath contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PRIVATE. Everything that is fetched from outside: the one list, of archives and of container images.

Data only, so that anything can read it. ``file`` is the name in a mirror folder; a mirror's file may have any of the
checksums of its entry, since mirrors also hold repacked archives. ``sources`` are tried in order after the mirror. One
without a checksum is not used before the user gives one (``fastpath_artefacts``): nothing unchecked is installed.
``package`` names what stands in from the distribution where nothing else can be had.
"""

from __future__ import annotations

from typing import Any

ARTEFACTS: dict[str, dict[str, Any]] = {
    "dpdk": {
        "version": "24.11.6",
        "file": "dpdk-24.11.6.tar.xz",
        "sha256": ["81ee541b83883a8e95a5a8130b292f2e2dffdb2705248a063f1d38ba07c9330c"],
        "sources": [{"url": "https://fast.dpdk.org/rel/dpdk-24.11.6.tar.xz"}],
        "package": "dpdk-dev",
    },
    "openvswitch": {
        "version": "3.6.3",
        "file": "openvswitch-3.6.3.tar.xz",
        "sha256": ["7ba6387b9b6826113e751298c9ce3b9ba786b421ccafc07caf54c697c3e45beb"],
        "sources": [{"url": "https://www.openvswitch.org/releases/openvswitch-3.6.3.tar.gz"}],
        "package": "openvswitch-switch-dpdk",
    },
    "sriov-network-device-plugin": {
        "version": "3.11.0",
        "file": "sriov-network-device-plugin-3.11.0.tar.xz",
        "sha256": ["3b99438b862975f260d190a29557c0af7d5fc4ac4b417510738e33425707fab6"],
        "sources": [
            {
                "url": "https://github.com/k8snetworkplumbingwg/sriov-network-device-plugin"
                "/archive/refs/tags/v3.11.0.tar.gz"
            },
            {
                "go": "github.com/k8snetworkplumbingwg/sriov-network-device-plugin",
                "version": "v0.0.0-20221127172732-a5a7395122e3",
                "sha256": ["95be272a8de060f7c5b3108712f463c0e2a77aec0abdce29c127b2db2bd04d6e"],
                "replaces": "is version 3.5.1 with 13 commits more",
            },
        ],
    },
    "cni-plugins": {
        "version": "1.9.1",
        "file": "cni-plugins-linux-amd64-v1.9.1.tgz",
        "sha256": ["b98f74a0f8522f0a83867178729c1aa70f2158f90c45a2ca8fa791db1c76b303"],
        "sources": [
            {
                "url": "https://github.com/containernetworking/plugins/releases/download/v1.9.1"
                "/cni-plugins-linux-amd64-v1.9.1.tgz"
            }
        ],
    },
    "sriov-cni": {
        "version": "1b7acc5b",
        "file": "sriov-cni-1b7acc5b.tar.xz",
        "sha256": ["dd72eb74bb25fa17e4a4427ae85e776ab7e0d27916cca09f801516265f2a9aac"],
        "sources": [{"url": "https://github.com/k8snetworkplumbingwg/sriov-cni/archive/1b7acc5b.tar.gz"}],
    },
    "whereabouts": {
        "version": "0.9.4",
        "file": "whereabouts-0.9.4.tar.xz",
        "sha256": ["5e7e39f31ca45bd3bee8bf3b5ffc4231f93d75126b2a25bfebc3c80afe24c32f"],
        "sources": [
            {"url": "https://github.com/k8snetworkplumbingwg/whereabouts/archive/refs/tags/v0.9.4.tar.gz"},
            {
                "go": "github.com/k8snetworkplumbingwg/whereabouts",
                "version": "v0.9.4",
                "sha256": ["235be84279752bd91e2655ea956b0d8c4b0144815c251dac36b03a163418ae9c"],
            },
        ],
    },
    "kubernetes-node": {
        "version": "1.36.3",
        "file": "kubernetes-node-linux-amd64-1.36.3.tar.gz",
        # Used only with a checksum that the user gives, and not part of a mirror before.
        "sha256": [],
        "sources": [{"url": "https://dl.k8s.io/v1.36.3/kubernetes-node-linux-amd64.tar.gz"}],
    },
    "seastar": {
        "version": "525fcc86e",
        "file": "seastar-525fcc86e.tar.xz",
        "sha256": ["71256f56a02461854972088c8784980788d2a7a74e474b135d1a201399246813"],
        "sources": [{"url": "https://github.com/scylladb/seastar/archive/525fcc86e.tar.gz"}],
    },
}

# Images by what they are for. Their versions are pinned by tag; manifests of the same releases name moving tags.
IMAGES: dict[str, dict[str, str]] = {
    # From 4.2.1 to 4.3.0 the daemon loses addresses of the default network: guides/kubernetes.md.
    "multus-thick": {"repository": "ghcr.io/k8snetworkplumbingwg/multus-cni", "tag": "v4.2.0-thick"},
    "multus-thin": {"repository": "ghcr.io/k8snetworkplumbingwg/multus-cni", "tag": "v4.2.4"},
    "sriov-network-device-plugin": {
        "repository": "ghcr.io/k8snetworkplumbingwg/sriov-network-device-plugin",
        "tag": "v3.11.0",
    },
    "whereabouts": {"repository": "ghcr.io/k8snetworkplumbingwg/whereabouts", "tag": "v0.9.4"},
    # Of the collection itself: the role images builds it, and where there is no registry loads it by this name.
    "node-agent": {"repository": "localhost/fastpath/node-agent", "tag": "v0.1.0"},
}
