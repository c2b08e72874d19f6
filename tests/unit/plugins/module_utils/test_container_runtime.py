# SPDX-FileCopyrightText: nfv.fastpath contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""containerd: its configuration edited and given back, registries, versions, restarts, cut off anywhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import tomllib
from ansible_collections.nfv.fastpath.plugins.module_utils._concern import Request, converge, verify
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_node import (
    SOCKET,
    TASKS,
    ContainerRuntimeConcern,
)
from ansible_collections.nfv.fastpath.plugins.module_utils._container_runtime_spec import parse_runtime
from ansible_collections.nfv.fastpath.plugins.module_utils._errors import FastpathError, Refused
from ansible_collections.nfv.fastpath.plugins.module_utils._host import Completed
from ansible_collections.nfv.fastpath.plugins.module_utils._kube_versions import (
    parse_version,
    runtime_problem,
    runtime_warning,
    too_old,
    version_said,
)
from ansible_collections.nfv.fastpath.tests.unit.folder_node import FolderNode
from ansible_collections.nfv.fastpath.tests.unit.plugins.module_utils.test_toml_lines import DEBIAN
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CONFIG = "etc/containerd/config.toml"
HOSTS = "etc/containerd/certs.d/{}/hosts.toml"
DOCKER = '# a comment\ndisabled_plugins = ["cri"]\n#[plugins]\n'
LAB = {
    "sandbox_image": "10.77.0.1:5000/pause:3.10",
    "cni_bin_dir": "/opt/cni/bin",
    "registries": [{"name": "10.77.0.1:5000", "mirrors": ["http://10.77.0.1:5000"]}],
}
OLD, NEW = (
    "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6",
    "containerd github.com/containerd/containerd/v2 v2.2.1 dea7",
)


class Node(FolderNode):
    """``commands``: those that change something. ``loaded``: the configuration that containerd has read."""

    def __init__(self, root: Path, containerd: str = OLD, kubelet: str = "Kubernetes v1.36.3") -> None:
        super().__init__(root)
        self.said = {"containerd": containerd, "kubelet": kubelet}
        self.active = True
        self.comes_up = True
        self.commands: list[list[str]] = []
        self.loaded = ""
        self.put("proc/sys/kernel/random/boot_id", "boot-1\n")
        self.put(SOCKET[1:], "")

    def boot(self, number: int) -> None:
        self.put("proc/sys/kernel/random/boot_id", f"boot-{number}\n")
        self.loaded = self.text(CONFIG) or ""

    def containers(self, count: int) -> None:
        for number in range(count):
            os.makedirs(f"{self.root}{TASKS}/{number}", exist_ok=True)

    def _command(self, argv: Any, timeout: float, stdin: str) -> Completed:
        argv = list(argv)
        if argv[1:] == ["--version"]:
            said = self.said[argv[0]]
            return Completed(0 if said else 127, said, "")
        if argv == ["containerd", "config", "dump"]:
            return Completed(0, self.loaded, "")
        if argv[:2] == ["systemctl", "show"]:
            assert argv[2:] == ["containerd.service", "--property=ActiveState"]
            return Completed(0, f"ActiveState={'active' if self.active else 'inactive'}\n", "")
        assert argv in (["systemctl", "restart", "containerd.service"], ["systemctl", "start", "containerd.service"]), (
            argv
        )
        self.count_change()
        self.commands.append(argv)
        if not self.comes_up:
            return Completed(1, "", "Job for containerd.service failed")
        self.active = True
        self.loaded = self.text(CONFIG) or ""
        return Completed(0, "", "")


def run(node: Node, spec: Any = None, dry_run: bool = False, consent: bool = False, ahead: bool = False) -> Any:
    request = Request(spec, spec is not None, dry_run, consent)
    return converge(ContainerRuntimeConcern(node, ahead), request)


def actions(plan: Any) -> list[tuple[str, str]]:
    return [(step.action, step.target.rsplit("containerd/", 1)[-1]) for step in plan.operations]


def cri(node: Node) -> Any:
    return tomllib.loads(node.text(CONFIG) or "")["plugins"]["io.containerd.grpc.v1.cri"]


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_in_order(node):
    node.put(CONFIG, DEBIAN)
    start = node.tree()
    ahead = run(node, LAB, dry_run=True)
    assert node.tree() == start and node.commands == []
    first = run(node, LAB)
    assert first.operations == ahead.operations
    assert actions(first)[1:] == [
        ("write_file", "certs.d/10.77.0.1:5000/hosts.toml"),
        ("write_file", "config.toml"),
        ("restart_containerd", "containerd.service"),
    ]
    assert cri(node) == {
        "cni": {"bin_dir": "/opt/cni/bin", "conf_dir": "/etc/cni/net.d"},
        "containerd": {
            "runtimes": {"runc": {"runtime_type": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}}}
        },
        "sandbox_image": "10.77.0.1:5000/pause:3.10",
        "registry": {"config_path": "/etc/containerd/certs.d"},
    }
    hosts = tomllib.loads(node.text(HOSTS.format("10.77.0.1:5000")) or "")
    assert hosts == {"host": {"http://10.77.0.1:5000": {"capabilities": ["pull", "resolve"]}}}
    assert "# of the distribution" in (node.text(CONFIG) or "")
    after, changes = node.tree(), node.changes
    assert not run(node, LAB).changed
    assert (node.tree(), node.changes, len(node.commands)) == (after, changes, 1)
    assert run(node, dry_run=True).changed and node.tree() == after
    gone = run(node)
    assert actions(gone)[-1] == ("forget", "container_runtime")
    assert node.tree() == start
    assert len(node.commands) == 2
    assert not run(node).changed


def test_containerd_2_without_a_configuration(tmp_path):
    node = Node(tmp_path, NEW)
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
    node = Node(tmp_path, NEW)
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


def test_a_stopped_containerd_is_started(node):
    node.active = False
    assert actions(run(node, {}))[-1] == ("start_containerd", "containerd.service")
    node.active = False
    assert actions(run(node, {})) == [("start_containerd", "containerd.service")]


def test_one_that_does_not_come_up_is_told_and_tried_again(node):
    node.comes_up = False
    with pytest.raises(FastpathError, match="Job for containerd.service failed"):
        run(node, LAB)
    node.comes_up = True
    assert actions(run(node, LAB)) == [("restart_containerd", "containerd.service")]
    assert not run(node, LAB).changed


def test_a_reboot_is_a_restart(node):
    node.comes_up = False
    with pytest.raises(FastpathError):
        run(node, LAB)
    node.boot(2)
    assert not run(node, LAB).changed


@pytest.mark.parametrize("start", ["", DEBIAN, DOCKER])
def test_cut_off_anywhere(tmp_path, start):
    cut = 0
    while True:
        node = Node(tmp_path / f"{cut}")
        if start:
            node.put(CONFIG, start)
        before = node.tree()
        with node.cut_off(cut) as power:
            run(node, LAB)
        run(node, LAB)
        assert not run(node, LAB).changed
        assert cri(node)["sandbox_image"] == LAB["sandbox_image"] and node.loaded == node.text(CONFIG)
        with node.cut_off(cut) as teardown:
            run(node)
        if teardown.gone:
            run(node)
        assert node.tree() == before
        assert node.loaded in (start, "" if not power.gone else start)
        if not power.gone:
            break
        cut += 1
    assert cut > 3


def test_nothing_is_installed(tmp_path):
    node = Node(tmp_path, containerd="", kubelet="")
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
        run(Node(tmp_path, containerd, kubelet), {})


def test_the_wanted_version_counts_before_a_kubelet_is_there(tmp_path):
    with pytest.raises(Refused, match="use containerd 2"):
        run(Node(tmp_path, OLD, ""), {"kubernetes_version": "1.37.0"})


def test_the_last_version_that_goes_together_is_told(tmp_path):
    assert "go to containerd 2 before" in run(Node(tmp_path, OLD), {}).warnings[0]
    assert run(Node(tmp_path / "2", NEW), {}).warnings == ()


def test_version_words():
    assert version_said(OLD) == "1.7.24~ds1"
    assert version_said(NEW) == "2.2.1"
    assert version_said("Kubernetes v1.36.3\n") == "1.36.3"
    assert version_said("") is None
    assert parse_version("1.7.24~ds1") == (1, 7, 24)
    assert parse_version("v1.36") == (1, 36, 0)
    assert parse_version(1.3) is None and parse_version("one") is None
    assert "server-side apply" in too_old((1, 15, 12)) and too_old((1, 16, 0)) == ""
    assert runtime_problem(None, (1, 7, 0)) == "" and runtime_warning(None, (1, 7, 0)) == ""


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


def test_every_problem_at_once():
    _spec, problems = parse_runtime(
        {
            "systemd_cgroups": True,
            "systemd_cgroup": "yes",
            "sandbox_image": "pause",
            "cni_bin_dir": "opt/cni",
            "kubernetes_version": 1.36,
            "registries": [
                {"name": "http://x"},
                {"name": "a.example.com"},
                {
                    "name": "b.example.com",
                    "server": "b",
                    "mirrors": [{"url": "ftp://x", "capabilities": ["run"], "via": 1}],
                },
                {"name": "b.example.com", "mirrors": "http://x"},
                "c",
                {"name": "d.example.com", "mirrors": [3]},
            ],
        }
    )
    where = "fastpath_container_runtime"
    assert {problem.variable.removeprefix(f"{where}.") for problem in problems} == {
        "systemd_cgroups",
        "systemd_cgroup",
        "sandbox_image",
        "cni_bin_dir",
        "kubernetes_version",
        "registries[0].name",
        "registries[1]",
        "registries[2].server",
        "registries[2].mirrors[0].url",
        "registries[2].mirrors[0].capabilities",
        "registries[2].mirrors[0].via",
        "registries[3].name",
        "registries[3].mirrors",
        "registries[3]",
        "registries[4]",
        "registries[5].mirrors[0]",
        "registries[5]",
    }
    assert parse_runtime("x")[1] and parse_runtime({"registries": 3})[1]
    assert "server-side apply" in parse_runtime({"kubernetes_version": "1.15.1"})[1][0].message


def test_verify_looks_at_the_effect(node):
    run(node, LAB)
    checks = verify(ContainerRuntimeConcern(node), LAB)
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    node.loaded = DEBIAN
    node.active = False
    node.said["kubelet"] = "Kubernetes v1.37.0"
    node.put(HOSTS.format("10.77.0.1:5000"), "")
    failed = {check.id for check in verify(ContainerRuntimeConcern(node), LAB) if not check.ok}
    assert failed == {
        f"container_runtime.{name}"
        for name in ("version", "active", "registries", "systemd_cgroup", "runtime_type", "sandbox_image", "certs_dir")
    }
    node.loaded = "words"
    assert "container_runtime.readable" in {
        check.id for check in verify(ContainerRuntimeConcern(node), LAB) if not check.ok
    }


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "systemd_cgroup": st.booleans(),
        "sandbox_image": st.sampled_from(["r.example.com/pause:3.9", "r.example.com/pause:3.10"]),
        "cni_bin_dir": st.sampled_from(["/opt/cni/bin", "/usr/lib/cni"]),
        "registries": st.lists(
            st.sampled_from(["docker.io", "r.example.com:5000", "_default"]), unique=True, max_size=3
        ).map(lambda names: [{"name": name, "mirrors": [f"https://m.example.com/{name}"]} for name in names]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(specs=st.lists(SPECS, min_size=1, max_size=3), start=st.sampled_from(["", DEBIAN, DOCKER]), new=st.booleans())
def test_whatever_is_wanted_in_turn(tmp_path_factory, specs, start, new):
    node = Node(tmp_path_factory.mktemp("node"), NEW if new else OLD)
    if start:
        node.put(CONFIG, start)
    before = node.tree()
    for spec in specs:
        run(node, spec)
        assert not run(node, spec).changed
        assert all(check.ok for check in verify(ContainerRuntimeConcern(node), spec))
        tomllib.loads(node.text(CONFIG) or "")
    run(node)
    assert node.tree() == before
