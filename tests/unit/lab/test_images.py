# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is in the images of the lab's cluster, and how they are called."""

from __future__ import annotations

import pytest
from ansible_collections.nfv.fastpath.plugins.module_utils import _artefact_list
from fastpath_lab import components, extras, images, process, services
from fastpath_lab.components import Components
from fastpath_lab.oci import Layout, with_folders


@pytest.fixture
def made(tmp_path, monkeypatch):
    """All programs as small files, and the images of them by name."""
    monkeypatch.setattr(process, "output", lambda argv: "[\nbusybox\nls\nsh\n")
    monkeypatch.setattr(extras, "libraries", lambda root, program: {"/lib64/ld.so": root / "ld.so"})
    root = tmp_path / "root"
    for name in ("usr/bin/busybox", "usr/sbin/nft", "ld.so", "usr/share/misc/pci.ids"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    sets = {
        "kubernetes": components.kubernetes_set().programs,
        "multus-thick": components.multus_thick_set().programs,
        "multus-thin": components.multus_thin_set().programs,
        "pause": components.pause_set().programs,
        **components.FROM_SOURCE,
    }
    folders, versions = {}, {}
    for group, programs in sets.items():
        folders[group] = tmp_path / group
        folders[group].mkdir()
        for name in (*programs, *(path.rpartition("/")[2] for path in components.FILES.get(group, ()))):
            (folders[group] / name).write_text(name)
        if group in components.FROM_SOURCE:
            versions[group] = f"v{_artefact_list.ARTEFACTS[group]['version']}"
    parts = Components(folders, versions, {}, {})
    return parts, root, {image.name: image for image in images.wanted(parts, root)}


def paths(image):
    return {f"/{item.path}" for item in with_folders(image.items)}


def test_names(made):
    assert sorted(made[2]) == [
        "k8snetworkplumbingwg/multus-cni:v4.2.0-thick",
        "k8snetworkplumbingwg/multus-cni:v4.2.4",
        "k8snetworkplumbingwg/sriov-network-device-plugin:v3.11.0",
        "k8snetworkplumbingwg/whereabouts:v0.9.4",
        f"kube-proxy:{components.kubernetes_version()}",
        services.PAUSE,
        "tools:1",
    ]


def test_they_are_the_images_that_the_collection_asks_for(made):
    for name, entry in _artefact_list.IMAGES.items():
        if name == "node-agent":
            continue  # The collection's own, which is apart: see test_agent_images.
        repository = entry["repository"].partition("/")[2]
        assert f"{repository}:{entry['tag']}" in made[2]


def test_what_cannot_be_built_has_no_image(made):
    parts, root, _all = made
    for name in components.FROM_SOURCE:
        del parts.folders[name]
    assert {image.name.partition(":")[0] for image in images.wanted(parts, root)} == {
        "k8snetworkplumbingwg/multus-cni",
        "kube-proxy",
        "pause",
        "tools",
    }


def test_multus_lies_where_its_own_installer_looks(made):
    thick = made[2]["k8snetworkplumbingwg/multus-cni:v4.2.0-thick"]
    folder = "/usr/src/multus-cni/bin"
    names = ("install_multus", "multus-daemon", "multus-shim")
    assert {f"{folder}/{name}" for name in names} <= paths(thick)
    thin = made[2]["k8snetworkplumbingwg/multus-cni:v4.2.4"]
    assert {"/install_multus", "/thin_entrypoint", f"{folder}/multus", f"{folder}/passthru"} <= paths(thin)


def test_every_image_that_looks_up_users_has_some(made):
    """Multus from nothing ends with a nil pointer without them, and finds no network namespace without /var/run."""
    for name, image in made[2].items():
        if name != services.PAUSE:
            assert {"/etc/passwd", "/var/run", "/tmp"} <= paths(image), name


def test_proxy_has_what_it_runs(made):
    assert {"/usr/sbin/nft", "/lib64/ld.so", "/usr/local/bin/kube-proxy"} <= paths(
        made[2][f"kube-proxy:{components.kubernetes_version()}"]
    )


def test_device_plugin_knows_the_names_of_devices(made):
    items = {item.path: item for item in made[2]["k8snetworkplumbingwg/sriov-network-device-plugin:v3.11.0"].items}
    assert items["/usr/share/misc/pci.ids"].mode == 0o644
    assert "/usr/bin/sriovdp" in items


def test_shell_has_a_name_for_each_of_its_tools(made):
    items = {item.path: item for item in made[2]["tools:1"].items}
    assert {path for path, item in items.items() if item.link == "busybox"} == {"/bin/[", "/bin/ls", "/bin/sh"}


def test_all_can_be_written(made, tmp_path):
    layout = Layout(tmp_path / "layout")
    for image in made[2].values():
        layout.add(image)
    assert sorted(layout.images()) == sorted(made[2])
