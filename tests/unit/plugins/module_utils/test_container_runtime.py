# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containerd's configuration becomes, what needs consent, and what is refused."""

from __future__ import annotations

import pytest
import tomllib
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.containerd_node import (
    CONFIG,
    DOCKER,
    HOSTS,
    LAB,
    NEW,
    OLD,
    ContainerdNode,
    actions,
    cri,
    run,
)
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.test_toml_lines import DEBIAN


@pytest.fixture
def node(tmp_path):
    return ContainerdNode(tmp_path)


def test_containerd_2_without_a_configuration(tmp_path):
    node = ContainerdNode(tmp_path, NEW)
    start = node.tree()
    run(node, {**LAB, "cni_config_dir": "/etc/cni/net.d"})
    plugins = tomllib.loads(node.text(CONFIG) or "")
    assert plugins["version"] == 3
    runtime = plugins["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["containerd"]["runtimes"]["runc"]["options"] == {"SystemdCgroup": True}
    assert runtime["cni"] == {"bin_dirs": ["/opt/cni/bin"], "conf_dir": "/etc/cni/net.d"}
    images = plugins["plugins"]["io.containerd.cri.v1.images"]
    assert images == {
        "pinned_images": {"sandbox": "10.77.0.1:5000/pause:3.10"},
        "registry": {"config_path": "/etc/containerd/certs.d"},
    }
    run(node)
    assert node.tree() == start


def test_containerd_2_reads_a_configuration_of_version_2(tmp_path):
    node = ContainerdNode(tmp_path, NEW)
    node.put(CONFIG, DEBIAN)
    run(node, LAB)
    assert cri(node)["cni"]["bin_dirs"] == ["/opt/cni/bin"]


def test_a_configuration_without_kubernetes(node):
    """As some packages of containerd have it: the part that Kubernetes speaks to is switched off."""
    node.put(CONFIG, DOCKER)
    run(node, {})
    document = tomllib.loads(node.text(CONFIG) or "")
    assert (document["version"], document["disabled_plugins"]) == (2, [])
    assert not run(node, {}).changed
    run(node)
    assert node.text(CONFIG) == DOCKER


def test_other_plugins_stay_off(node):
    node.put(CONFIG, 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "btrfs"]\n')
    run(node, {})
    assert tomllib.loads(node.text(CONFIG) or "")["disabled_plugins"] == ["btrfs"]


def test_what_is_right_already_is_nobody_elses_business(node):
    text = (
        "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc]\nruntime_type='theirs'\n"
        "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.runc.options]\nSystemdCgroup=true\n"
        "[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path='/etc/containerd/certs.d:/etc/docker/certs.d'\n"
    )
    node.put(CONFIG, text)
    plan = run(node, {"registries": LAB["registries"]})
    assert actions(plan)[1:] == [("write_file", "certs.d/10.77.0.1:5000/hosts.toml")]
    assert node.commands == []
    run(node)
    assert node.text(CONFIG) == text


def test_hosts_files_need_no_restart(node):
    run(node, LAB)
    more = {
        **LAB,
        "registries": [
            *LAB["registries"],
            {
                "name": "docker.io",
                "server": "https://registry-1.docker.io",
                "mirrors": [
                    {
                        "url": "https://mirror.example.com",
                        "ca": "/etc/ssl/own.pem",
                        "skip_verify": True,
                        "override_path": True,
                    }
                ],
            },
        ],
    }
    node.commands.clear()
    run(node, more)
    assert node.commands == []
    assert tomllib.loads(node.text(HOSTS.format("docker.io")) or "") == {
        "server": "https://registry-1.docker.io",
        "host": {
            "https://mirror.example.com": {
                "capabilities": ["pull", "resolve"],
                "ca": "/etc/ssl/own.pem",
                "skip_verify": True,
                "override_path": True,
            }
        },
    }
    fewer = run(node, LAB)
    assert ("remove_file", "certs.d/docker.io/hosts.toml") in actions(fewer)
    assert not run(node, LAB).changed


def test_a_hosts_file_that_was_there_comes_back(node):
    node.put(HOSTS.format("10.77.0.1:5000"), "# theirs\n")
    start = node.tree()
    run(node, LAB)
    plan = run(node, {})
    assert ("restore_file", "certs.d/10.77.0.1:5000/hosts.toml") in actions(plan)
    assert node.text(HOSTS.format("10.77.0.1:5000")) == "# theirs\n"
    run(node)
    assert node.tree() == start


def test_a_value_that_is_no_longer_wanted_goes_the_way_back(node):
    node.put(CONFIG, DEBIAN)
    run(node, LAB)
    run(node, {})
    assert "sandbox_image" not in cri(node) and cri(node)["cni"]["bin_dir"] == "/usr/lib/cni"
    assert not run(node, {}).changed


def test_somebody_edited_the_configuration_since(node):
    node.put(CONFIG, DEBIAN)
    run(node, LAB)
    node.put(CONFIG, (node.text(CONFIG) or "") + "[metrics]\naddress = '127.0.0.1:1338'\n")
    plan = run(node)
    assert any("changed by somebody" in warning for warning in plan.warnings)
    document = tomllib.loads(node.text(CONFIG) or "")
    assert document["metrics"] == {"address": "127.0.0.1:1338"}
    assert document["plugins"]["io.containerd.grpc.v1.cri"]["cni"]["bin_dir"] == "/usr/lib/cni"
    assert "sandbox_image" not in (node.text(CONFIG) or "") and "SystemdCgroup" not in (node.text(CONFIG) or "")


def test_somebody_edited_our_value_since_and_it_stays_at_teardown(node):
    node.put(CONFIG, DEBIAN)
    run(node, LAB)
    node.put(CONFIG, (node.text(CONFIG) or "").replace("pause:3.10", "pause:3.11"))
    run(node)
    assert cri(node)["sandbox_image"] == "10.77.0.1:5000/pause:3.11"


def test_another_driver_below_running_containers_needs_consent(node):
    node.containers(3)
    with pytest.raises(FastpathError, match="3 containers run in control groups of the other driver"):
        run(node, LAB)
    assert node.text(CONFIG) is None
    assert run(node, LAB, consent=True).changed


def test_other_changes_below_running_containers_need_none(node):
    run(node, {})
    node.containers(3)
    plan = run(node, LAB)
    assert not plan.disruptive and actions(plan)[-1][0] == "restart_containerd"


def test_nothing_is_installed(tmp_path):
    node = ContainerdNode(tmp_path, containerd="", kubelet="")
    with pytest.raises(Refused, match="is not on this node: name a package"):
        run(node, {})
    plan = run(node, LAB, dry_run=True, ahead=True)
    assert actions(plan)[1:] == [("write_file", "certs.d/10.77.0.1:5000/hosts.toml"), ("write_file", "config.toml")]


@pytest.mark.parametrize(
    ("containerd", "kubelet", "words"),
    [
        ("containerd c 1.5.9 x", "Kubernetes v1.30.0", "is older than 1.6"),
        (NEW, "Kubernetes v1.22.17", "use containerd 1.7"),
        (OLD, "Kubernetes v1.37.0", "use containerd 2"),
    ],
)
def test_versions_that_do_not_go_together(tmp_path, containerd, kubelet, words):
    with pytest.raises(Refused, match=words):
        run(ContainerdNode(tmp_path, containerd, kubelet), {})


def test_the_wanted_version_counts_before_a_kubelet_is_there(tmp_path):
    with pytest.raises(Refused, match="use containerd 2"):
        run(ContainerdNode(tmp_path, OLD, ""), {"kubernetes_version": "1.37.0"})


def test_the_last_version_that_goes_together_is_told(tmp_path):
    assert "go to containerd 2 before" in run(ContainerdNode(tmp_path, OLD), {}).warnings[0]
    assert run(ContainerdNode(tmp_path / "2", NEW), {}).warnings == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[plugins.cri]\nx = 1\n", "is of version 1"),
        ("version = 3\n", "which containerd 1.7.24 cannot read"),
        (
            "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'x']\nendpoint=['y']\n",
            "registry.mirrors",
        ),
        ("version = 2\nplugins = {a = 1}\n", "a table of its own"),
        ("version = 2\n[plugins\n", "no header"),
    ],
)
def test_a_configuration_that_cannot_be_edited_is_refused(node, text, words):
    node.put(CONFIG, text)
    before = node.tree()
    with pytest.raises(Refused, match=words):
        run(node, LAB)
    assert node.tree() == before
