# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's cluster is made of, and where each program comes from.

Kubernetes, etcd, Multus and the CNI plugins are pinned by the ``go.mod`` and ``go.sum`` below ``tests/lab/go``. The
others are archives of the collection's own list of artefacts, which have pins of their own inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import golang
from .cache import Cache
from .golang import MODULES, GoSet, pinned
from .progress import say
from .sources import Unavailable, build_from_source, fetch, of_collection

_KUBERNETES = "k8s.io/kubernetes"
_VERSION = "k8s.io/component-base/version"
_MULTUS = "gopkg.in/k8snetworkplumbingwg/multus-cni.v4"
_PLUGINS = "github.com/containernetworking/plugins"

CONTROL = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_CNI = {
    "ipam": ("dhcp", "host-local", "static"),
    "main": ("bridge", "dummy", "host-device", "ipvlan", "loopback", "macvlan", "ptp", "tap", "vlan"),
    "meta": ("bandwidth", "firewall", "portmap", "sbr", "tuning", "vrf"),
}


def kubernetes_version() -> str:
    """Return the version of Kubernetes, such as ``v1.36.3``."""
    return pinned(MODULES / "kubernetes", _KUBERNETES)


def kubernetes_set() -> GoSet:
    """Kubernetes and the etcd that its own modules agree on, in one build: they share most of their code."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    names = (*CONTROL[1:], "kubectl", "kubeadm", "kubelet", "kube-proxy")
    programs = {"etcd": "go.etcd.io/etcd/server/v3", **{name: f"{_KUBERNETES}/cmd/{name}" for name in names}}
    values = (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean"))
    return GoSet("kubernetes", programs, tuple((f"{_VERSION}.{name}", value) for name, value in values))


def multus_version(variant: str) -> str:
    """Return the version of Multus, ``thick`` or ``thin``: not the same, see guides/kubernetes.md."""
    return pinned(MODULES / f"multus-{variant}", _MULTUS)


def _multus_set(variant: str, programs: dict[str, str]) -> GoSet:
    packages = {name: f"{_MULTUS}/cmd/{command}" for name, command in programs.items()}
    return GoSet(f"multus-{variant}", packages, ((f"{_MULTUS}/pkg/multus.version", multus_version(variant)),))


def multus_thick_set() -> GoSet:
    """Multus as a daemon, and the plugin that asks it."""
    return _multus_set("thick", {name: name for name in ("install_multus", "multus-daemon", "multus-shim")})


def multus_thin_set() -> GoSet:
    """Multus as a plugin that does all by itself."""
    names = ("install_multus", "multus", "thin_entrypoint")
    return _multus_set("thin", {**{name: name for name in names}, "passthru": "passthru-cni"})


def cni_set() -> GoSet:
    """All of the reference plugins for Linux."""
    names = {name: f"{_PLUGINS}/plugins/{kind}/{name}" for kind, found in _CNI.items() for name in found}
    version = pinned(MODULES / "cni", _PLUGINS)
    return GoSet("cni", names, ((f"{_PLUGINS}/pkg/utils/buildversion.BuildVersion", version),))


def pause_set() -> GoSet:
    """The program that holds a pod's namespaces."""
    return GoSet("pause", {"pause": "fastpath.local/pause"})


# Of the collection's list of artefacts: package within the source by the program's name.
FROM_SOURCE = {
    "sriov-network-device-plugin": {"sriovdp": "./cmd/sriovdp"},
    "sriov-cni": {"sriov": "./cmd/sriov"},
    "whereabouts": {
        "whereabouts": "./cmd",
        "ip-control-loop": "./cmd/controlloop",
        "node-slice-controller": "./cmd/nodeslicecontroller",
    },
}
FILES = {"whereabouts": ("script/install-cni.sh", "script/lib.sh", "script/token-watcher.sh")}
# What does the work where the source is nowhere to be had.
STAND_INS = {
    "sriov-cni": "host-device takes its place",
    "whereabouts": "nothing takes its place: use host-local or static",
    "sriov-network-device-plugin": "nothing takes its place",
}


def collection_image(name: str) -> str:
    """Return repository and tag of an image of the collection's list, without its registry."""
    entry = of_collection("_artefact_list").IMAGES[name]
    return f"{entry['repository'].partition('/')[2]}:{entry['tag']}"


@dataclass(frozen=True)
class Components:
    """Folders with programs and versions by set.

    ``without``: what could not be had; ``stands_in``: what is another version.
    """

    folders: dict[str, Path]
    versions: dict[str, str]
    without: dict[str, str]
    stands_in: dict[str, str]

    def program(self, group: str, name: str) -> Path:
        """Return the path of a program."""
        return self.folders[group] / name


def build(cache: Cache) -> Components:
    """Build all, or take it from the cache; say what is missing or another version."""
    folders, versions, without, stands_in = {}, {}, {}, {}
    sets: dict[str, Callable[[], GoSet]] = {
        "kubernetes": kubernetes_set,
        "multus-thick": multus_thick_set,
        "multus-thin": multus_thin_set,
        "cni": cni_set,
        "pause": pause_set,
    }
    for name, wanted in sets.items():
        folders[name] = golang.module(cache, wanted(), MODULES / name)
    for name, programs in FROM_SOURCE.items():
        try:
            archive = fetch(name)
        except Unavailable as reason:
            without[name] = f"{name} cannot be had; {STAND_INS[name]} ({reason})"
            say(without[name])
            continue
        if archive.replaces:
            stands_in[name] = f"{name}: {archive.where} stands in, which {archive.replaces}"
            say(stands_in[name])
        versions[name] = f"v{archive.version}"
        folders[name] = build_from_source(cache, GoSet(name, programs), archive, FILES.get(name, ()))
    return Components(folders, versions, without, stands_in)
