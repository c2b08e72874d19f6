# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node gets when it joins the lab's cluster."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

from fastpath_lab import join, services, topology
from fastpath_lab.components import Components

TOPOLOGY = topology.load()
NODE = TOPOLOGY.nodes["node2"]


def test_default_network_is_the_nodes_own():
    config = json.loads(join.default_network(TOPOLOGY, NODE))
    bridge, portmap = config["plugins"]
    assert (bridge["type"], portmap["type"]) == ("bridge", "portmap")
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.244.2.0/24"}]]
    assert f"route replace 10.244.2.0/24 via {NODE.address}" in services.pod_routes(TOPOLOGY)


def test_pods_keep_their_addresses_on_the_way():
    """The lab routes between the nodes: hiding a pod behind its node would show others the wrong sender."""
    assert "ipMasq" not in json.loads(join.default_network(TOPOLOGY, NODE))["plugins"][0]


def test_every_plugin_of_the_default_network_is_built():
    from fastpath_lab import components

    config = json.loads(join.default_network(TOPOLOGY, NODE))
    types = {plugin["type"] for plugin in config["plugins"]} | {config["plugins"][0]["ipam"]["type"], "loopback"}
    assert types <= set(components.cni_set().programs)


def test_registry_is_plain_http():
    text = join.registry_hosts(TOPOLOGY)
    assert text.count("http://10.77.0.1:5000") == 2
    assert "/etc/containerd/certs.d/10.77.0.1:5000/hosts.toml" in join.files(TOPOLOGY, NODE)


def test_kubelet_unit():
    unit = join.files(TOPOLOGY, NODE)["/etc/systemd/system/kubelet.service"]
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    # The names of kubeadm's own unit, by which the role kubernetes finds its way in.
    assert start == (
        "ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS"
    )
    assert 'Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"' in unit


def test_containerd_as_debian_makes_it():
    """The edits hit lines of `containerd config default` of version 1.7."""
    default = (
        '    sandbox_image = "registry.k8s.io/pause:3.8"\n'
        '      bin_dir = "/opt/cni/bin"\n'
        '      config_path = ""\n'
        "            SystemdCgroup = false\n"
    )
    text = default
    for pattern, new in re.findall(r"s#(.*?)#(.*?)#", join.containerd_script(TOPOLOGY)):
        assert re.search(pattern, text), pattern
        text = re.sub(pattern, new, text)
    assert 'sandbox_image = "10.77.0.1:5000/pause:3.10"' in text
    assert "SystemdCgroup = true" in text
    assert 'config_path = "/etc/containerd/certs.d"' in text


def test_plugins_of_all_sources(tmp_path):
    folders = {}
    for group, names in {
        "cni": ["bridge", "build.log"],
        "sriov-cni": ["sriov"],
        "whereabouts": ["whereabouts"],
    }.items():
        folders[group] = tmp_path / group
        folders[group].mkdir()
        for name in names:
            (folders[group] / name).touch()
    parts = Components(folders, {}, {}, {})
    assert [path.name for path in join.plugins(parts)] == ["bridge", "sriov", "whereabouts"]
    del folders["whereabouts"], folders["sriov-cni"]
    assert [path.name for path in join.plugins(parts)] == ["bridge"]


def test_what_is_sent_lies_where_it_is_used(tmp_path):
    (tmp_path / "kubelet").write_bytes(b"\x7fELF")
    texts = join.files(TOPOLOGY, NODE)
    stream = io.BytesIO(b"".join(join.packed({"/usr/local/bin/kubelet": tmp_path / "kubelet"}, texts)))
    with tarfile.open(fileobj=stream) as archive:
        found = {f"/{item.name}": item for item in archive}
        sent = {f"/{item.name}": archive.extractfile(item).read().decode(errors="replace") for item in archive}
    assert found["/usr/local/bin/kubelet"].mode == 0o755
    assert {path: sent[path] for path in texts} == texts
    assert all(found[path].mode == 0o644 for path in texts)


def test_packages_and_programs_have_no_double():
    assert not set(join.PROGRAMS) & set(join.PACKAGES)
    assert all(isinstance(Path(path), Path) and path.startswith("/") for path in join.files(TOPOLOGY, NODE))
