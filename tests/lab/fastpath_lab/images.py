# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the lab's cluster: what is in each, made once, put where it is wanted."""

from __future__ import annotations

from pathlib import Path

from . import components, extras, process, services
from .cache import Cache
from .components import Components
from .feed import feed
from .node import Machine
from .oci import Image, Item, Layout
from .progress import step
from .topology import Topology

RECIPE = 1
# As the projects' own images are called, so that only the registry differs.
_PLUMBING = "k8snetworkplumbingwg"
_MULTUS_BIN = "/usr/src/multus-cni/bin"
_LOAD_SECONDS = 900

# A program from nothing looks these up.
_BASE = (
    Item("/etc/passwd", text="root:x:0:0:root:/root:/bin/sh\n", mode=0o644),
    Item("/etc/group", text="root:x:0:\n", mode=0o644),
    Item("/run"),
    Item("/tmp", mode=0o1777),
    Item("/var/run", link="/run"),
)


def _shell(root: Path) -> tuple[Item, ...]:
    """A shell and the usual small tools."""
    program = root / "usr/bin/busybox"
    names = set(process.output([str(program), "--list"]).split()) - {"busybox"}
    links = (Item(f"/bin/{name}", link="busybox") for name in sorted(names))
    return (Item("/bin/busybox", source=program), *links)


def _pause(parts: Components) -> Image:
    repository, tag = services.PAUSE.split(":")
    return Image(repository, tag, (Item("/pause", source=parts.program("pause", "pause")),), ("/pause",), "65535:65535")


def _proxy(parts: Components, root: Path) -> Image:
    items = [
        *_BASE,
        *_shell(root),
        Item("/usr/local/bin/kube-proxy", source=parts.program("kubernetes", "kube-proxy")),
        Item("/usr/sbin/nft", source=root / "usr/sbin/nft"),
        *(Item(path, source=lies) for path, lies in extras.libraries(root, "usr/sbin/nft").items()),
    ]
    return Image("kube-proxy", components.kubernetes_version(), tuple(items), ("/usr/local/bin/kube-proxy",))


def _multus(parts: Components) -> list[Image]:
    def programs(variant: str, folder: str, *names: str) -> list[Item]:
        return [Item(f"{folder}/{name}", source=parts.program(f"multus-{variant}", name)) for name in names]

    thick = programs("thick", _MULTUS_BIN, "install_multus", "multus-daemon", "multus-shim")
    thin = programs("thin", _MULTUS_BIN, "multus", "passthru")
    thin += programs("thin", "", "install_multus", "thin_entrypoint")
    repository = f"{_PLUMBING}/multus-cni"
    thick_tag = f"{components.multus_version('thick')}-thick"
    return [
        Image(repository, thick_tag, (*_BASE, *thick), (f"{_MULTUS_BIN}/multus-daemon",)),
        Image(repository, components.multus_version("thin"), (*_BASE, *thin), ("/thin_entrypoint",)),
    ]


def _device_plugin(parts: Components, root: Path) -> Image:
    items = (
        *_BASE,
        Item("/usr/bin/sriovdp", source=parts.program("sriov-network-device-plugin", "sriovdp")),
        Item("/usr/share/misc/pci.ids", source=(root / "usr/share/misc/pci.ids").resolve(), mode=0o644),
        Item("/usr/share/hwdata/pci.ids", link="../misc/pci.ids"),
    )
    name = "sriov-network-device-plugin"
    return Image(f"{_PLUMBING}/{name}", parts.versions[name], items, ("/usr/bin/sriovdp",))


def _whereabouts(parts: Components, root: Path) -> Image:
    folder = parts.folders["whereabouts"]
    programs = components.FROM_SOURCE["whereabouts"]
    scripts = [Path(name).name for name in components.FILES["whereabouts"]]
    items = [*_BASE, *_shell(root), *(Item(f"/{name}", source=folder / name) for name in (*programs, *scripts))]
    return Image(f"{_PLUMBING}/whereabouts", parts.versions["whereabouts"], tuple(items), ("/install-cni.sh",))


def wanted(parts: Components, root: Path) -> list[Image]:
    """Return all images that can be made of what there is."""
    found = [_pause(parts), _proxy(parts, root), *_multus(parts)]
    found.append(Image("tools", "1", (*_BASE, *_shell(root)), ("/bin/sh",)))
    if "sriov-network-device-plugin" in parts.folders:
        found.append(_device_plugin(parts, root))
    if "whereabouts" in parts.folders:
        found.append(_whereabouts(parts, root))
    return found


def layout(cache: Cache, parts: Components, root: Path) -> Layout:
    """Return all images in one folder of the cache."""

    def build(work: Path) -> None:
        with step("images"):
            made = Layout(work / "layout")
            for image in wanted(parts, root):
                made.add(image)

    inputs = {
        "recipe": RECIPE,
        "parts": {name: folder.name for name, folder in sorted(parts.folders.items())},
        "extras": root.parent.name,
    }
    return Layout(cache.get("images", inputs, build) / "layout")


def load(machine: Machine, images: Layout, topology: Topology) -> None:
    """Put all images into a node's containerd, under the names that they have in the registry."""
    with step(f"{machine.node.name}: images"):
        feed(machine, "ctr -n k8s.io images import -", images.archive(services.registry(topology)), _LOAD_SECONDS)
